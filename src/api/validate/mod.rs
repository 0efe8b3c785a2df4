//! What a request may look like: missing, malformed, too long or too big fields are refused here, before anything is
//! proposed, with Temporal's texts (service/frontend/errors.go; shown by the golden scenarios). What depends on stored
//! state is decided in the core, never here.
//!
//! Functions that take `&mut` also fill in what Temporal's frontend fills in.

mod callback;
mod link;
pub mod namespace;
mod payload;
mod policy;
mod retry;
mod start;
mod timeout;
mod url;

use proto::temporal::api::common::v1::{Priority, WorkflowExecution};
use proto::temporal::api::enums::v1::TaskQueueKind;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use statemachine::workflow::retry as core_retry;
use statemachine::{tables, Reject};

pub use callback::callbacks;
pub use link::links;
pub use payload::{blob, blob_is_too_big, memo, shortened_failure, size_failure};
pub use policy::{signal_with_start_policies, start_policies};
pub use retry::retry_policy;
pub use start::{signal_with_start, start};
pub use timeout::timeout;

/// Prefix of the names of Temporal's partitions; no user's queue may start so.
const PARTITION_PREFIX: &str = "/_sys/";
/// Temporal's queue of system workflows within each namespace.
const SYSTEM_QUEUE: &str = "temporal-sys-per-ns-tq";
const FAIRNESS_KEY_BYTES_MAX: usize = 64;
/// Temporal's limit.maxIDLength.
pub const ID_BYTES_MAX: usize = 1000;

/// A check that refuses or lets pass.
pub type Checked = Result<(), Reject>;

pub(super) fn refuse(message: impl Into<String>) -> Reject {
    Reject::invalid_argument(message)
}

pub fn namespace_name(name: &str) -> Checked {
    if name.is_empty() {
        return Err(refuse("Namespace is empty."));
    }
    length("Namespace", name)
}

/// `what` names the field as Temporal's message does: `WorkflowId`, `RequestId`, `Identity`, ...
pub fn length(what: &str, value: &str) -> Checked {
    if value.len() > ID_BYTES_MAX {
        return Err(refuse(format!("{what} length exceeds limit.")));
    }
    Ok(())
}

pub fn set_and_short(what: &str, value: &str) -> Checked {
    if value.is_empty() {
        return Err(refuse(format!("{what} is not set on request.")));
    }
    length(what, value)
}

/// Fills in a request id if the caller gave none, so that our own retries are recognised.
pub fn request_id(id: &mut String) -> Checked {
    if id.is_empty() {
        *id = uuid::Uuid::new_v4().to_string();
    }
    length("RequestId", id)
}

/// The execution a call names, if it names one well. An empty run id is the current run.
pub fn execution(execution: Option<&WorkflowExecution>) -> Result<&WorkflowExecution, Reject> {
    let execution = execution.ok_or_else(|| refuse("Execution is not set on request."))?;
    set_and_short("WorkflowId", &execution.workflow_id)?;
    if !execution.run_id.is_empty() && tables::id_bytes(&execution.run_id).is_none() {
        return Err(refuse("Invalid RunId."));
    }
    Ok(execution)
}

/// Checks a queue that a caller names and makes its kind explicit.
pub fn task_queue(queue: &mut Option<TaskQueue>) -> Checked {
    let queue = queue.as_mut().ok_or_else(|| refuse("taskQueue is not set"))?;
    if queue.name.is_empty() {
        return Err(refuse("missing task queue name"));
    }
    if queue.name.len() > ID_BYTES_MAX || queue.normal_name.len() > ID_BYTES_MAX {
        return Err(refuse("taskQueue length exceeds limit"));
    }
    if queue.name.starts_with(PARTITION_PREFIX) || queue.normal_name.starts_with(PARTITION_PREFIX) {
        return Err(refuse(format!("task queue name cannot start with reserved prefix {PARTITION_PREFIX}")));
    }
    if queue.kind == TaskQueueKind::Unspecified as i32 {
        queue.kind = TaskQueueKind::Normal as i32;
    }
    Ok(())
}

/// A queue for workflows of users, which the system's own is not.
pub fn start_task_queue(queue: &mut Option<TaskQueue>) -> Checked {
    task_queue(queue)?;
    if queue.as_ref().is_some_and(|queue| queue.name == SYSTEM_QUEUE) {
        return Err(refuse(format!("cannot use internal per-namespace task queue:{SYSTEM_QUEUE}")));
    }
    Ok(())
}

pub fn cron_schedule(schedule: &str) -> Checked {
    if schedule.is_empty() {
        return Ok(());
    }
    core_retry::check_cron(schedule).map_err(refuse)
}

pub fn priority(priority: Option<&Priority>) -> Checked {
    let Some(priority) = priority else { return Ok(()) };
    if priority.priority_key < 0 {
        return Err(refuse("priority key can't be negative"));
    }
    if priority.fairness_key.len() > FAIRNESS_KEY_BYTES_MAX {
        return Err(refuse("fairness key length exceeds limit"));
    }
    if priority.fairness_weight < 0.0 {
        return Err(refuse("must be greater than zero"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(checked: Checked) -> String {
        checked.map_or_else(|reject| reject.message().to_owned(), |()| "ok".into())
    }

    #[test]
    fn names_and_ids() {
        let long = "x".repeat(1001);
        let cases = [
            (namespace_name(""), "Namespace is empty."),
            (namespace_name(&long), "Namespace length exceeds limit."),
            (namespace_name(&long[1..]), "ok"),
            (set_and_short("SignalName", ""), "SignalName is not set on request."),
            (set_and_short("SignalName", &long), "SignalName length exceeds limit."),
        ];
        for (checked, expected) in cases {
            assert_eq!(message(checked), expected);
        }
    }

    #[test]
    fn an_absent_request_id_is_made_up() {
        let mut id = String::new();
        assert_eq!(message(request_id(&mut id)), "ok");
        assert_eq!(id.len(), 36);
    }

    #[test]
    fn executions() {
        let run = "11111111-2222-4333-8444-555555555555";
        let of = |workflow_id: &str, run_id: &str| WorkflowExecution {
            workflow_id: workflow_id.into(),
            run_id: run_id.into(),
        };
        let cases = [
            (None, "Execution is not set on request."),
            (Some(of("", run)), "WorkflowId is not set on request."),
            (Some(of("w", "no-uuid")), "Invalid RunId."),
            (Some(of("w", "")), "ok"),
            (Some(of("w", run)), "ok"),
        ];
        for (given, expected) in cases {
            assert_eq!(message(execution(given.as_ref()).map(|_| ())), expected);
        }
    }

    #[test]
    fn task_queues() {
        let named = |name: &str| Some(TaskQueue { name: name.into(), ..Default::default() });
        let cases = [
            (None, "taskQueue is not set"),
            (named(""), "missing task queue name"),
            (named(&"x".repeat(1001)), "taskQueue length exceeds limit"),
            (named("/_sys/q/1"), "task queue name cannot start with reserved prefix /_sys/"),
            (named(SYSTEM_QUEUE), "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq"),
            (named("q"), "ok"),
        ];
        for (mut queue, expected) in cases {
            assert_eq!(message(start_task_queue(&mut queue)), expected);
        }
        let mut queue = named("q");
        assert_eq!(message(task_queue(&mut queue)), "ok");
        assert_eq!(queue.map(|queue| queue.kind), Some(TaskQueueKind::Normal as i32));
    }

    #[test]
    fn priorities() {
        let of = |priority_key, fairness_key: &str, fairness_weight| Priority {
            priority_key,
            fairness_key: fairness_key.into(),
            fairness_weight,
        };
        let cases = [
            (of(-1, "", 0.0), "priority key can't be negative"),
            (of(0, &"x".repeat(65), 0.0), "fairness key length exceeds limit"),
            (of(6, "x", -0.5), "must be greater than zero"),
            (of(6, &"x".repeat(64), 5000.0), "ok"),
        ];
        for (given, expected) in cases {
            assert_eq!(message(priority(Some(&given))), expected);
        }
    }
}
