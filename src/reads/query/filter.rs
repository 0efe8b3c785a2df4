//! A checked query: names resolved, literals of the right types. And what it says of a record.
//!
//! Conditions have three outcomes, as in SQL: a comparison with an attribute the record has no value for is neither true
//! nor false, and only true finds the record. Keyword lists and texts are different: a record without any value simply
//! does not contain the word, so `!=` finds it (SEMANTICS §F, "Null rows").

use std::cmp::Ordering;

use super::record::Record;
use crate::reads::search_attributes::Value;
use proto::temporal::api::enums::v1::IndexedValueType as Kind;

/// What a condition is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    System(System),
    /// A predefined or custom attribute.
    Attribute {
        name: String,
        kind: Kind,
    },
}

/// Attributes that are fields of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    CloseTime,
    ExecutionDuration,
    ExecutionStatus,
    ExecutionTime,
    HistoryLength,
    HistorySizeBytes,
    ParentRunId,
    ParentWorkflowId,
    RootRunId,
    RootWorkflowId,
    RunId,
    StartTime,
    StateTransitionCount,
    TaskQueue,
    WorkflowId,
    WorkflowType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterEqual => ordering.is_ge(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    IsNull(Field),
    Compare(Field, Comparison, Value<'static>),
    In(Field, Vec<Value<'static>>),
    Between(Field, Value<'static>, Value<'static>),
    StartsWith(Field, String),
    /// A keyword list holds one of these.
    Contains(Field, Vec<String>),
    /// A text has one of these words, in any case.
    HasWord(Field, Vec<String>),
}

impl Filter {
    /// Whether a record is found.
    pub(crate) fn matches(&self, record: &Record<'_>) -> bool {
        self.outcome(record) == Some(true)
    }

    /// True, false, or `None`: unknown for lack of a value.
    fn outcome(&self, record: &Record<'_>) -> Option<bool> {
        match self {
            Self::And(parts) => all(parts, record, false),
            Self::Or(parts) => all(parts, record, true),
            Self::Not(inner) => inner.outcome(record).map(|truth| !truth),
            Self::IsNull(field) => Some(record.value(field).is_none()),
            Self::Compare(field, comparison, literal) => Some(comparison.holds(order(&record.value(field)?, literal)?)),
            Self::In(field, literals) => is_one_of(&record.value(field)?, literals),
            Self::Between(field, from, to) => {
                let value = record.value(field)?;
                Some(order(&value, from)?.is_ge() && order(&value, to)?.is_le())
            }
            Self::StartsWith(field, prefix) => match record.value(field)? {
                Value::Text(text) => Some(text.starts_with(prefix.as_str())),
                _ => None,
            },
            Self::Contains(field, keywords) => Some(match record.value(field) {
                Some(Value::List(items)) => items.iter().any(|item| keywords.contains(item)),
                _ => false,
            }),
            Self::HasWord(field, words) => Some(match record.value(field) {
                Some(Value::Text(text)) => has_word(&text, words),
                _ => false,
            }),
        }
    }
}

/// AND (`decisive` false) or OR (`decisive` true) of the parts: one decisive part settles it, else an unknown one does.
fn all(parts: &[Filter], record: &Record<'_>, decisive: bool) -> Option<bool> {
    let mut outcome = Some(!decisive);
    for part in parts {
        match part.outcome(record) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

/// `None` if any comparison is impossible and none holds.
fn is_one_of(value: &Value<'_>, literals: &[Value<'static>]) -> Option<bool> {
    let mut comparable = true;
    for literal in literals {
        match order(value, literal) {
            Some(Ordering::Equal) => return Some(true),
            Some(_) => {}
            None => comparable = false,
        }
    }
    comparable.then_some(false)
}

/// How a value compares with a literal; `None` if their types do not compare.
fn order(value: &Value<'_>, literal: &Value<'_>) -> Option<Ordering> {
    match (value, literal) {
        (Value::Text(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
        (Value::Integer(a), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (Value::Float(a), Value::Integer(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// The words of a text: runs of letters and digits, in lower case.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn has_word(text: &str, wanted: &[String]) -> bool {
    words(text).any(|word| wanted.contains(&word))
}
