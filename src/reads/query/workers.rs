//! Queries for workers (ListWorkers): the grammar of visibility over the fields of a heartbeat. As in Temporal only what
//! does not parse is refused; a field or an operator that there is not finds nothing (SEMANTICS F).

use proto::temporal::api::enums::v1::WorkerStatus;
use proto::temporal::api::worker::v1::WorkerHeartbeat;
use statemachine::time::nanos_of_timestamp;
use statemachine::Reject;

use super::ast::{Expr, Is, Operator};
use super::literal::rfc3339_nanos;
use super::parser;

/// What a worker has to be to be listed.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerQuery(Option<Expr>);

/// A field's value. Absent ones are null.
enum Value {
    Text(String),
    Time(i64),
    Null,
}

impl WorkerQuery {
    pub fn parse(text: &str) -> Result<Self, Reject> {
        let statement = parser::parse(text).map_err(|invalid| {
            let why = invalid.to_string();
            let why = why.strip_prefix("malformed SQL query: ").unwrap_or(&why);
            Reject::invalid_argument(format!("malformed query: {why}"))
        })?;
        Ok(Self(statement.condition))
    }

    pub fn matches(&self, worker: &WorkerHeartbeat) -> bool {
        self.0.as_ref().is_none_or(|condition| holds(condition, worker) == Some(true))
    }
}

/// `None`: it cannot be told.
fn holds(condition: &Expr, worker: &WorkerHeartbeat) -> Option<bool> {
    match condition {
        Expr::Paren(inner) => holds(inner, worker),
        Expr::And(parts) => {
            for part in parts {
                if !holds(part, worker)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        Expr::Or(parts) => {
            for part in parts {
                if holds(part, worker)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        Expr::Compare { operator, left, right } => compare(*operator, &field(left, worker)?, right),
        Expr::Range { negated, left, from, to } => {
            let value = field(left, worker)?;
            let within = compare(Operator::GreaterEqual, &value, from)? && compare(Operator::LessEqual, &value, to)?;
            Some(within != *negated)
        }
        Expr::Is { left, what } => {
            let null = matches!(field(left, worker)?, Value::Null);
            match what {
                Is::Null => Some(null),
                Is::NotNull => Some(!null),
                Is::Truth => None,
            }
        }
        Expr::Not(_)
        | Expr::Column(_)
        | Expr::Text(_)
        | Expr::Number(_)
        | Expr::Coded(_)
        | Expr::Bool(_)
        | Expr::Null
        | Expr::Tuple(_)
        | Expr::Function { .. }
        | Expr::Unary { .. }
        | Expr::Binary { .. } => None,
    }
}

fn field(column: &Expr, worker: &WorkerHeartbeat) -> Option<Value> {
    let Expr::Column(name) = column else { return None };
    let text = |text: &str| if text.is_empty() { Value::Null } else { Value::Text(text.to_owned()) };
    let time =
        |time: Option<&prost_types::Timestamp>| time.map_or(Value::Null, |time| Value::Time(nanos_of_timestamp(time)));
    let deployment = worker.deployment_version.as_ref();
    Some(match name.as_str() {
        "WorkerInstanceKey" => text(&worker.worker_instance_key),
        "WorkerIdentity" => text(&worker.worker_identity),
        "HostName" => text(worker.host_info.as_ref().map(|host| host.host_name.as_str()).unwrap_or_default()),
        "TaskQueue" => text(&worker.task_queue),
        "DeploymentName" => text(deployment.map(|version| version.deployment_name.as_str()).unwrap_or_default()),
        "BuildId" => text(deployment.map(|version| version.build_id.as_str()).unwrap_or_default()),
        "SdkName" => text(&worker.sdk_name),
        "SdkVersion" => text(&worker.sdk_version),
        "StartTime" => time(worker.start_time.as_ref()),
        "HeartbeatTime" => time(worker.heartbeat_time.as_ref()),
        "Status" => text(match worker.status() {
            WorkerStatus::Running => "Running",
            WorkerStatus::ShuttingDown => "ShuttingDown",
            WorkerStatus::Shutdown => "Shutdown",
            WorkerStatus::Unspecified => "",
        }),
        _ => return None,
    })
}

fn compare(operator: Operator, value: &Value, right: &Expr) -> Option<bool> {
    if let Expr::Tuple(items) = right {
        let mut found = false;
        for item in items {
            found |= compare(Operator::Equal, value, item)?;
        }
        return match operator {
            Operator::In => Some(found),
            Operator::NotIn => Some(!found),
            _ => None,
        };
    }
    let Expr::Text(literal) = right else { return None };
    let order = match value {
        Value::Null => literal.as_str().cmp("").reverse(),
        Value::Time(time) => time.cmp(&rfc3339_nanos(literal)?),
        Value::Text(text) => text.as_str().cmp(literal.as_str()),
    };
    let starts = || match value {
        Value::Text(text) => Some(text.starts_with(literal.as_str())),
        Value::Null => Some(literal.is_empty()),
        Value::Time(_) => None,
    };
    match operator {
        Operator::Equal => Some(order.is_eq()),
        Operator::NotEqual => Some(order.is_ne()),
        Operator::Less => Some(order.is_lt()),
        Operator::LessEqual => Some(order.is_le()),
        Operator::Greater => Some(order.is_gt()),
        Operator::GreaterEqual => Some(order.is_ge()),
        Operator::StartsWith => starts(),
        Operator::NotStartsWith => starts().map(|starts| !starts),
        Operator::NullSafeEqual
        | Operator::In
        | Operator::NotIn
        | Operator::Like
        | Operator::NotLike
        | Operator::Regexp
        | Operator::NotRegexp => None,
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::worker::v1::WorkerHostInfo;

    use super::*;

    fn worker() -> WorkerHeartbeat {
        WorkerHeartbeat {
            worker_instance_key: "key".into(),
            task_queue: "orders".into(),
            sdk_version: "1.2.3".into(),
            status: WorkerStatus::ShuttingDown as i32,
            host_info: Some(WorkerHostInfo { host_name: "box".into(), ..Default::default() }),
            start_time: Some(prost_types::Timestamp { seconds: 1_704_067_200, nanos: 0 }), // 2024-01-01
            ..Default::default()
        }
    }

    fn finds(query: &str) -> bool {
        WorkerQuery::parse(query).expect(query).matches(&worker())
    }

    #[test]
    fn workers_are_found_by_what_they_said() {
        for query in [
            "",
            "TaskQueue = 'orders' AND (SdkVersion STARTS_WITH '1.' OR SdkName = 'x')",
            "WorkerInstanceKey=\"key\"",
            "Status = 'ShuttingDown' AND HostName != 'other'",
            "StartTime > '2023-06-01T00:00:00Z' AND StartTime BETWEEN '2023-01-01T00:00:00Z' AND '2024-01-01T00:00:00Z'",
            "SdkVersion IN ('1.0', '1.2.3') AND BuildId IS NULL AND TaskQueue IS NOT NULL",
        ] {
            assert!(finds(query), "{query}");
        }
        for query in ["TaskQueue = 'other'", "Status = 'Running'", "StartTime < '2024-01-01T00:00:00Z'"] {
            assert!(!finds(query), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_told_finds_nothing_and_only_syntax_is_refused() {
        for query in ["Nope = 'x'", "NOT TaskQueue = 'orders'", "TaskQueue LIKE 'o%'", "StartTime > 'soon'"] {
            assert!(!finds(query), "{query}");
        }
        let refused = WorkerQuery::parse("bad bad").expect_err("no condition");
        assert_eq!(refused.message(), "malformed query: syntax error at position 35 near 'bad'");
    }
}
