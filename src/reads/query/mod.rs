//! The visibility query language (SEMANTICS B22, §F "Visibility").
//!
//! ```text
//!   text ─► lexer ─► parser ─► ast ─► check (names, operators, literals) ─► filter ─► matches(record)?
//! ```
//!
//! Refusals have Temporal's words and positions. Everything is bounded: the text, the nesting, the lists.

mod ast;
mod check;
mod filter;
mod lexer;
pub mod literal;
mod parser;
mod record;
#[cfg(test)]
mod refused_test;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::BTreeMap;
use std::fmt;

use proto::temporal::api::enums::v1::{IndexedValueType, WorkflowExecutionStatus};
use statemachine::Reject;

pub(crate) use filter::{Comparison, Field, Filter, System};
pub(crate) use record::Record;
pub use workers::WorkerQuery;

use super::search_attributes::Value;

/// A longer query is refused.
pub const QUERY_BYTES_MAX: usize = 64 << 10;
/// Parentheses, NOTs and signs within each other.
pub const NESTING_MAX: usize = 100;
/// Values of one list.
pub const TUPLE_VALUES_MAX: usize = 1000;

/// Why a query is refused, without the words every refusal starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    fn malformed(why: impl fmt::Display) -> Self {
        Self(format!("malformed SQL query: {why}"))
    }

    fn unsupported(what: impl fmt::Display) -> Self {
        Self(format!("operation is not supported: {what}"))
    }

    fn expression(why: impl fmt::Display) -> Self {
        Self(format!("invalid expression: {why}"))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Invalid> for Reject {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_argument(format!("invalid query: {invalid}"))
    }
}

/// A checked query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    filter: Filter,
    grouped: bool,
}

impl Query {
    /// Checks the query of a list. `custom` are the namespace's own attributes.
    pub fn for_list(text: &str, custom: &BTreeMap<String, i32>) -> Result<Self, Invalid> {
        let query = Self::checked(text, custom)?;
        if query.grouped {
            return Err(Invalid::unsupported("'GROUP BY' clause"));
        }
        Ok(query)
    }

    /// Checks the query of a count, which may group by ExecutionStatus.
    pub fn for_count(text: &str, custom: &BTreeMap<String, i32>) -> Result<Self, Invalid> {
        Self::checked(text, custom)
    }

    /// A query made of conditions that all must hold, on what is not hidden.
    pub(crate) fn of(mut conditions: Vec<Filter>) -> Self {
        conditions.push(undivided());
        Self { filter: Filter::And(conditions), grouped: false }
    }

    fn checked(text: &str, custom: &BTreeMap<String, i32>) -> Result<Self, Invalid> {
        let statement = parser::parse(text)?;
        if statement.has_order {
            return Err(Invalid::unsupported("'ORDER BY' clause"));
        }
        if statement.has_limit {
            return Err(Invalid::unsupported("'LIMIT' clause"));
        }
        if statement.has_having {
            return Err(Invalid::unsupported("'HAVING' clause"));
        }
        let mut checker = check::Checker::new(custom);
        let mut conditions = Vec::new();
        if let Some(condition) = &statement.condition {
            conditions.push(checker.condition(condition)?);
        }
        if statement.group_by.len() > 1 {
            return Err(Invalid::unsupported("'GROUP BY' clause supports only a single field"));
        }
        for field in &statement.group_by {
            if checker.group(field)? != Field::System(System::ExecutionStatus) {
                return Err(Invalid::unsupported("'GROUP BY' clause is only supported for ExecutionStatus"));
            }
        }
        if !checker.names_division {
            conditions.push(undivided());
        }
        Ok(Self { filter: Filter::And(conditions), grouped: !statement.group_by.is_empty() })
    }

    pub fn is_grouped_by_status(&self) -> bool {
        self.grouped
    }

    pub(crate) fn matches(&self, record: &Record<'_>) -> bool {
        self.filter.matches(record)
    }

    /// Which part of the records can match at all: those of open runs, of closed runs, or either.
    pub(crate) fn part(&self) -> Part {
        part(&self.filter)
    }
}

/// Runs of the server's own (schedules, batches, …) live in divisions of a namespace; users do not see them unless
/// they ask.
fn undivided() -> Filter {
    Filter::IsNull(Field::Attribute { name: check::DIVISION.to_owned(), kind: IndexedValueType::Keyword })
}

/// A part of a namespace's records, in list order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Open,
    Closed,
    Both,
    Neither,
}

impl Part {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Both, part) | (part, Self::Both) => part,
            (a, b) if a == b => a,
            _ => Self::Neither,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Neither, part) | (part, Self::Neither) => part,
            (a, b) if a == b => a,
            _ => Self::Both,
        }
    }

    pub(crate) fn has_open(self) -> bool {
        matches!(self, Self::Open | Self::Both)
    }

    pub(crate) fn has_closed(self) -> bool {
        matches!(self, Self::Closed | Self::Both)
    }
}

fn part(filter: &Filter) -> Part {
    match filter {
        Filter::And(parts) => parts.iter().map(part).fold(Part::Both, Part::and),
        Filter::Or(parts) => parts.iter().map(part).fold(Part::Neither, Part::or),
        Filter::Compare(Field::System(System::ExecutionStatus), Comparison::Equal, value) => part_of_status(value),
        Filter::Compare(Field::System(System::ExecutionStatus), Comparison::NotEqual, value)
            if is_status(value, WorkflowExecutionStatus::Running) =>
        {
            // Paused runs are open too.
            Part::Both
        }
        Filter::In(Field::System(System::ExecutionStatus), values) => {
            values.iter().map(part_of_status).fold(Part::Neither, Part::or)
        }
        Filter::Compare(Field::System(System::CloseTime | System::ExecutionDuration | System::HistoryLength), ..)
        | Filter::Between(Field::System(System::CloseTime | System::ExecutionDuration | System::HistoryLength), ..) => {
            Part::Closed
        }
        Filter::IsNull(Field::System(System::CloseTime)) => Part::Open,
        Filter::Not(inner) if **inner == Filter::IsNull(Field::System(System::CloseTime)) => Part::Closed,
        _ => Part::Both,
    }
}

fn is_status(value: &Value<'_>, status: WorkflowExecutionStatus) -> bool {
    *value == Value::Integer(status as i64)
}

fn part_of_status(value: &Value<'_>) -> Part {
    use WorkflowExecutionStatus::{Paused, Running, Unspecified};
    match value {
        value if is_status(value, Running) || is_status(value, Paused) => Part::Open,
        value if is_status(value, Unspecified) => Part::Both,
        Value::Integer(number)
            if i32::try_from(*number).is_ok_and(|n| WorkflowExecutionStatus::try_from(n).is_ok()) =>
        {
            Part::Closed
        }
        _ => Part::Neither,
    }
}
