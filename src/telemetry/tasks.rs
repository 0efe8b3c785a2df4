//! Counts what workers get and give back.

use std::time::Duration;

use proto::temporal::api::enums::v1::{TimeoutType, WorkflowExecutionStatus};
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

/// A run closed.
pub fn run_ended(namespace: &str, status: WorkflowExecutionStatus) {
    let name = match status {
        WorkflowExecutionStatus::Completed => "workflow_success",
        WorkflowExecutionStatus::Failed => "workflow_failed",
        WorkflowExecutionStatus::Canceled => "workflow_cancel",
        WorkflowExecutionStatus::Terminated => "workflow_terminate",
        WorkflowExecutionStatus::TimedOut => "workflow_timeout",
        WorkflowExecutionStatus::ContinuedAsNew => "workflow_continued_as_new",
        WorkflowExecutionStatus::Unspecified | WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused => {
            return
        }
    };
    count(name, "CompletionStats", namespace);
}

/// An attempt of an activity timed out.
pub fn activity_timed_out(namespace: &str, kind: TimeoutType) {
    const OPERATION: &str = "TimerActiveTaskActivityTimeout";
    let name = match kind {
        TimeoutType::StartToClose => "start_to_close_timeout",
        TimeoutType::ScheduleToStart => "schedule_to_start_timeout",
        TimeoutType::ScheduleToClose => "schedule_to_close_timeout",
        TimeoutType::Heartbeat => "heartbeat_timeout",
        TimeoutType::Unspecified => return,
    };
    count(name, OPERATION, namespace);
    count("activity_task_timeout", OPERATION, namespace);
}

fn count(name: &'static str, operation: &'static str, namespace: &str) {
    let namespace = namespace.to_string();
    metrics::counter!(name, "operation" => operation, "namespace" => namespace).increment(1);
}

/// The counter of a request that ended well and tells how something ended, if it has one.
pub(super) fn outcome_counter(operation: &str) -> Option<&'static str> {
    match operation {
        "RespondActivityTaskCompleted" | "RespondActivityTaskCompletedById" => Some("activity_success"),
        "RespondActivityTaskFailed" | "RespondActivityTaskFailedById" => Some("activity_task_fail"),
        "RespondActivityTaskCanceled" | "RespondActivityTaskCanceledById" => Some("activity_cancel"),
        _ => None,
    }
}
