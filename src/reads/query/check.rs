//! A parsed condition to a checked one: attribute names, operators, the types of literals. Wordings are those of
//! Temporal's converter (common/persistence/visibility/store/sql/query_converter_legacy.go).

use std::borrow::Cow;
use std::collections::BTreeMap;

use proto::temporal::api::enums::v1::IndexedValueType as Kind;

use super::ast::{Expr, Is, Operator};
use super::filter::{words, Comparison, Field, Filter, System};
use super::literal::{duration_nanos, rfc3339_nanos, status};
use super::Invalid;
use crate::reads::search_attributes::{custom_kind, predefined_kind, type_name, Value, RESERVED_PREFIX};

type Checked<T> = Result<T, Invalid>;

/// A resolved name: as the query has it, and what it means.
struct Named<'e> {
    written: &'e str,
    field: Field,
}

impl Named<'_> {
    fn kind(&self) -> Kind {
        match &self.field {
            Field::Attribute { kind, .. } => *kind,
            Field::System(system) => system.kind(),
        }
    }

    fn is(&self, system: System) -> bool {
        self.field == Field::System(system)
    }
}

impl System {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "CloseTime" => Self::CloseTime,
            "ExecutionDuration" => Self::ExecutionDuration,
            "ExecutionStatus" => Self::ExecutionStatus,
            "ExecutionTime" => Self::ExecutionTime,
            "HistoryLength" => Self::HistoryLength,
            "HistorySizeBytes" => Self::HistorySizeBytes,
            "ParentRunId" => Self::ParentRunId,
            "ParentWorkflowId" => Self::ParentWorkflowId,
            "RootRunId" => Self::RootRunId,
            "RootWorkflowId" => Self::RootWorkflowId,
            "RunId" => Self::RunId,
            "StartTime" => Self::StartTime,
            "StateTransitionCount" => Self::StateTransitionCount,
            "TaskQueue" => Self::TaskQueue,
            "WorkflowId" => Self::WorkflowId,
            "WorkflowType" => Self::WorkflowType,
            _ => return None,
        })
    }

    fn kind(self) -> Kind {
        match self {
            Self::CloseTime | Self::ExecutionTime | Self::StartTime => Kind::Datetime,
            Self::ExecutionDuration | Self::HistoryLength | Self::HistorySizeBytes | Self::StateTransitionCount => {
                Kind::Int
            }
            Self::ExecutionStatus
            | Self::ParentRunId
            | Self::ParentWorkflowId
            | Self::RootRunId
            | Self::RootWorkflowId
            | Self::RunId
            | Self::TaskQueue
            | Self::WorkflowId
            | Self::WorkflowType => Kind::Keyword,
        }
    }
}

/// Checks one query against a namespace's attributes.
pub(super) struct Checker<'n> {
    custom: &'n BTreeMap<String, i32>,
    /// The query says itself which division of the namespace it wants.
    pub(super) names_division: bool,
}

pub(super) const DIVISION: &str = "TemporalNamespaceDivision";

impl<'n> Checker<'n> {
    pub(super) fn new(custom: &'n BTreeMap<String, i32>) -> Self {
        Self { custom, names_division: false }
    }

    pub(super) fn condition(&mut self, expr: &Expr) -> Checked<Filter> {
        match expr {
            Expr::And(parts) => Ok(Filter::And(self.conditions(parts)?)),
            Expr::Or(parts) => Ok(Filter::Or(self.conditions(parts)?)),
            Expr::Not(inner) => Ok(Filter::Not(Box::new(self.condition(inner)?))),
            Expr::Paren(inner) => self.condition(inner),
            Expr::Compare { operator, left, right } => self.compare(expr, *operator, left, right),
            Expr::Range { negated, left, from, to } => {
                let filter = self.range(left, from, to)?;
                Ok(negated_if(*negated, filter))
            }
            Expr::Is { left, what } => {
                let named = self.column(left)?;
                match what {
                    Is::Null => Ok(Filter::IsNull(named.field)),
                    Is::NotNull => Ok(Filter::Not(Box::new(Filter::IsNull(named.field)))),
                    Is::Truth => Err(Invalid::expression("'IS' operator can only be used with 'NULL' or 'NOT NULL'")),
                }
            }
            Expr::Function { .. } => Err(Invalid::unsupported("function expression")),
            Expr::Column(_) => Err(Invalid::expression("incomplete expression")),
            _ => Err(Invalid::unsupported(format!("expression of type {}", expr.type_name()))),
        }
    }

    fn conditions(&mut self, parts: &[Expr]) -> Checked<Vec<Filter>> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    /// The field of a GROUP BY.
    pub(super) fn group(&mut self, expr: &Expr) -> Checked<Field> {
        Ok(self.column(expr)?.field)
    }

    fn column<'e>(&mut self, expr: &'e Expr) -> Checked<Named<'e>> {
        let Expr::Column(written) = expr else {
            return Err(Invalid::expression(format!("must be a column name but was {}", expr.type_name())));
        };
        let field = resolve(self.custom, written)
            .ok_or_else(|| Invalid::expression(format!("column name '{written}' is not a valid search attribute")))?;
        self.names_division |= matches!(&field, Field::Attribute { name, .. } if name == DIVISION);
        Ok(Named { written, field })
    }

    fn compare(&mut self, expr: &Expr, operator: Operator, left: &Expr, right: &Expr) -> Checked<Filter> {
        let operation = Operation::of(operator)
            .ok_or_else(|| Invalid::expression(format!("invalid operator '{}' in `{expr}`", operator.text())))?;
        let named = self.column(left)?;
        let values = literals(right, &named)?;
        let allowed = match (named.kind(), &operation) {
            (Kind::Text, Operation::Compare(Comparison::Equal | Comparison::NotEqual)) => true,
            (Kind::Text, _) => false,
            (Kind::KeywordList, Operation::Compare(Comparison::Equal | Comparison::NotEqual)) => true,
            (Kind::KeywordList, Operation::In { .. }) => true,
            (Kind::KeywordList, _) => false,
            // Temporal matches the stored text of a time, which nobody can know.
            (Kind::Datetime, Operation::StartsWith { .. }) => false,
            _ => true,
        };
        if !allowed {
            let kind = type_name(named.kind());
            let operator = operator.text();
            return Err(Invalid::expression(format!(
                "operator '{operator}' not supported for {kind} type search attribute in `{expr}`"
            )));
        }
        match named.kind() {
            Kind::KeywordList => contains(named, &operation, right),
            Kind::Text => has_word(named, &operation, right),
            _ => plain(named, operation, operator, right, values),
        }
    }

    fn range(&mut self, left: &Expr, from: &Expr, to: &Expr) -> Checked<Filter> {
        let named = self.column(left)?;
        if !matches!(named.kind(), Kind::Datetime | Kind::Double | Kind::Int | Kind::Keyword) {
            return Err(Invalid::expression(format!(
                "cannot do range condition on search attribute '{}' of type {}",
                named.written,
                type_name(named.kind())
            )));
        }
        let (from, to) = (literal(from, &named)?, literal(to, &named)?);
        Ok(Filter::Between(named.field, from, to))
    }
}

/// What a comparison does, with negated forms told apart.
enum Operation {
    Compare(Comparison),
    In { negated: bool },
    StartsWith { negated: bool },
}

impl Operation {
    fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Equal => Self::Compare(Comparison::Equal),
            Operator::NotEqual => Self::Compare(Comparison::NotEqual),
            Operator::Less => Self::Compare(Comparison::Less),
            Operator::LessEqual => Self::Compare(Comparison::LessEqual),
            Operator::Greater => Self::Compare(Comparison::Greater),
            Operator::GreaterEqual => Self::Compare(Comparison::GreaterEqual),
            Operator::In => Self::In { negated: false },
            Operator::NotIn => Self::In { negated: true },
            Operator::StartsWith => Self::StartsWith { negated: false },
            Operator::NotStartsWith => Self::StartsWith { negated: true },
            Operator::NullSafeEqual | Operator::Like | Operator::NotLike | Operator::Regexp | Operator::NotRegexp => {
                return None
            }
        })
    }

    fn is_negated(&self) -> bool {
        match self {
            Self::Compare(comparison) => *comparison == Comparison::NotEqual,
            Self::In { negated } | Self::StartsWith { negated } => *negated,
        }
    }
}

fn negated_if(negated: bool, filter: Filter) -> Filter {
    if negated {
        Filter::Not(Box::new(filter))
    } else {
        filter
    }
}

/// The attribute a name means: the namespace's own first, then as it stands, with and without Temporal's prefix.
fn resolve(custom: &BTreeMap<String, i32>, written: &str) -> Option<Field> {
    let own = (!written.starts_with(RESERVED_PREFIX)).then(|| custom_kind(custom, written)).flatten();
    if let Some(kind) = own {
        return Some(Field::Attribute { name: written.to_owned(), kind });
    }
    if written == "ScheduleId" {
        return Some(Field::System(System::WorkflowId));
    }
    let prefixed = format!("{RESERVED_PREFIX}{written}");
    let stripped = written.strip_prefix(RESERVED_PREFIX).unwrap_or(written);
    let names = [written, prefixed.as_str(), stripped];
    names.iter().find_map(|name| {
        let predefined = predefined_kind(name).map(|kind| Field::Attribute { name: (*name).to_owned(), kind });
        predefined.or_else(|| System::from_name(name).map(Field::System))
    })
}

/// The values on the right of a comparison: one, or those of a list.
fn literals(expr: &Expr, named: &Named<'_>) -> Checked<Vec<Value<'static>>> {
    match expr {
        Expr::Tuple(items) => items.iter().map(|item| literal(item, named)).collect(),
        single => Ok(vec![literal(single, named)?]),
    }
}

fn literal(expr: &Expr, named: &Named<'_>) -> Checked<Value<'static>> {
    match expr {
        Expr::Text(text) => text_value(text, named),
        Expr::Number(digits) => number_value(digits, named),
        Expr::Bool(truth) => Ok(Value::Bool(*truth)),
        Expr::Coded(digits) => Err(Invalid::expression(format!("unable to parse {digits}"))),
        Expr::Function { .. } => Err(Invalid::unsupported("nested func")),
        Expr::Column(_) => Err(Invalid::unsupported(format!(
            "column name on the right side of comparison expression (did you forget to quote '{expr}'?)"
        ))),
        _ => Err(Invalid::expression(format!("unexpected value type {}", expr.type_name()))),
    }
}

fn text_value(text: &str, named: &Named<'_>) -> Checked<Value<'static>> {
    if named.kind() == Kind::Datetime {
        return rfc3339_nanos(text)
            .map(Value::Time)
            .ok_or_else(|| Invalid::expression(format!("unable to parse datetime '{text}'")));
    }
    if named.is(System::ExecutionStatus) {
        return status(text)
            .map(|status| Value::Integer(status as i64))
            .ok_or_else(|| Invalid::expression(format!("invalid ExecutionStatus value '{text}'")));
    }
    if named.is(System::ExecutionDuration) {
        return duration_nanos(text)
            .map(Value::Integer)
            .map_err(|why| Invalid(format!("invalid value for search attribute {}: {text} ({why})", named.written)));
    }
    Ok(Value::Text(Cow::Owned(text.to_owned())))
}

fn number_value(digits: &str, named: &Named<'_>) -> Checked<Value<'static>> {
    if let Ok(integer) = digits.parse::<i64>() {
        let is_time = named.kind() == Kind::Datetime;
        return Ok(if is_time { Value::Time(integer) } else { Value::Integer(integer) });
    }
    let Ok(float) = digits.parse::<f64>() else {
        return Err(Invalid::expression(format!("unable to parse {digits}")));
    };
    if named.kind() == Kind::Datetime || named.is(System::ExecutionStatus) {
        return Err(Invalid::expression(format!(
            "unexpected value type float64 for search attribute {}",
            named.written
        )));
    }
    Ok(Value::Float(float))
}

/// Conditions on scalars. A literal of another type than the attribute's finds nothing, as in Temporal.
fn plain(
    named: Named<'_>,
    operation: Operation,
    operator: Operator,
    right: &Expr,
    mut values: Vec<Value<'static>>,
) -> Checked<Filter> {
    match operation {
        Operation::In { negated } => Ok(negated_if(negated, Filter::In(named.field, values))),
        _ if matches!(right, Expr::Tuple(_)) => {
            Err(Invalid::expression(format!("unexpected value type {}", right.type_name())))
        }
        Operation::Compare(comparison) => Ok(Filter::Compare(named.field, comparison, values.swap_remove(0))),
        Operation::StartsWith { negated } => match values.swap_remove(0) {
            Value::Text(prefix) => Ok(negated_if(negated, Filter::StartsWith(named.field, prefix.into_owned()))),
            _ => Err(Invalid::expression(format!(
                "right-hand side of '{}' must be a literal string (got: {right})",
                operator.text()
            ))),
        },
    }
}

fn contains(named: Named<'_>, operation: &Operation, right: &Expr) -> Checked<Filter> {
    let wanted = match (operation, right) {
        (Operation::In { .. }, _) => "unexpected value type in tuple (expected string, got ",
        _ => "unexpected value type (expected string, got ",
    };
    let items = match right {
        Expr::Tuple(items) if matches!(operation, Operation::In { .. }) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut keywords = Vec::with_capacity(items.len());
    for item in items {
        let Expr::Text(keyword) = item else { return Err(Invalid::expression(format!("{wanted}{item})"))) };
        keywords.push(keyword.clone());
    }
    Ok(negated_if(operation.is_negated(), Filter::Contains(named.field, keywords)))
}

fn has_word(named: Named<'_>, operation: &Operation, right: &Expr) -> Checked<Filter> {
    let Expr::Text(text) = right else {
        return Err(Invalid::expression(format!("unexpected value type (expected string, got {right})")));
    };
    if text.split(' ').all(str::is_empty) {
        return Err(Invalid::expression(format!(
            "unexpected value for Text type search attribute (no tokens found in {right})"
        )));
    }
    Ok(negated_if(operation.is_negated(), Filter::HasWord(named.field, words(text).collect())))
}
