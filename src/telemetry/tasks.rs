//! Counts what workers get and give back.

use std::time::Duration;

use statemachine::TaskType;

/// A worker's poll that ended well, with a task or without.
pub fn polled(namespace: &str, task_type: TaskType, outcome: Poll, waited: Duration) {
    let (operation, kind) = match task_type {
        TaskType::Workflow => ("PollWorkflowTaskQueue", "Workflow"),
        TaskType::Activity => ("PollActivityTaskQueue", "Activity"),
    };
    let labels = [
        metrics::Label::from_static_parts("operation", operation),
        metrics::Label::from_static_parts("task_type", kind),
        metrics::Label::new("namespace", namespace.to_string()),
    ];
    match outcome {
        Poll::Task => metrics::counter!("poll_success", labels.iter()).increment(1),
        Poll::Empty => metrics::counter!("poll_timeouts", labels.iter()).increment(1),
    }
    metrics::histogram!("poll_latency", labels.iter()).record(waited.as_secs_f64());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    Task,
    Empty,
}

/// The counter of a request that ended well and tells how something ended, if it has one.
pub(super) fn outcome_counter(operation: &str) -> Option<&'static str> {
    match operation {
        "RespondActivityTaskCompleted" | "RespondActivityTaskCompletedById" => Some("activity_success"),
        "RespondActivityTaskFailed" | "RespondActivityTaskFailedById" => Some("activity_task_fail"),
        "RespondActivityTaskCanceled" | "RespondActivityTaskCanceledById" => Some("activity_cancel"),
        "TerminateWorkflowExecution" => Some("workflow_terminate"),
        _ => None,
    }
}
