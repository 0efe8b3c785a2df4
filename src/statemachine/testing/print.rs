//! Events, answers and effects as a person reads them.

use proto::temporal::api::enums::v1::EventType;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{HistoryEvent, WorkflowExecutionOptionsUpdatedEventAttributes};
use proto::temporal::api::taskqueue::v1::RateLimitConfig;

use crate::op::{answer, Answer};
use crate::workflow::commands::pascal_case;
use crate::{Effect, TaskType};

/// `  5 ActivityTaskScheduled a1` : id, type, and what tells this event from others of its type.
pub fn event(event: &HistoryEvent) -> String {
    let name = EventType::try_from(event.event_type).unwrap_or_default().as_str_name();
    let name = pascal_case(name.trim_start_matches("EVENT_TYPE_"));
    let detail = event.attributes.as_ref().map(detail).unwrap_or_default();
    format!("{:>3} {name}{}{detail}", event.event_id, if detail.is_empty() { "" } else { " " })
}

fn detail(attributes: &Attributes) -> String {
    use Attributes as A;
    match attributes {
        A::WorkflowExecutionStartedEventAttributes(a) => {
            let kind = a.workflow_type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default();
            format!("{kind} attempt={}", a.attempt)
        }
        A::WorkflowTaskScheduledEventAttributes(a) => {
            let queue = a.task_queue.as_ref().map(|queue| queue.name.as_str()).unwrap_or_default();
            format!("queue={queue} attempt={}", a.attempt)
        }
        A::WorkflowTaskFailedEventAttributes(a) => format!("{:?}", a.cause()),
        A::WorkflowExecutionPausedEventAttributes(a) => a.reason.clone(),
        A::WorkflowExecutionOptionsUpdatedEventAttributes(a) => options(a),
        A::WorkflowTaskTimedOutEventAttributes(a) => format!("{:?}", a.timeout_type()),
        A::WorkflowExecutionSignaledEventAttributes(a) => a.signal_name.clone(),
        A::WorkflowExecutionTerminatedEventAttributes(a) => format!("{:?}", a.reason),
        A::WorkflowExecutionFailedEventAttributes(a) => format!("{:?}", a.retry_state()),
        A::WorkflowExecutionTimedOutEventAttributes(a) => format!("{:?}", a.retry_state()),
        A::TimerStartedEventAttributes(a) => a.timer_id.clone(),
        A::TimerFiredEventAttributes(a) => format!("{} started={}", a.timer_id, a.started_event_id),
        A::TimerCanceledEventAttributes(a) => format!("{} started={}", a.timer_id, a.started_event_id),
        A::ActivityTaskScheduledEventAttributes(a) => a.activity_id.clone(),
        A::ActivityTaskStartedEventAttributes(a) => {
            format!("scheduled={} attempt={}", a.scheduled_event_id, a.attempt)
        }
        A::ActivityTaskCompletedEventAttributes(a) => {
            format!("scheduled={} started={}", a.scheduled_event_id, a.started_event_id)
        }
        A::ActivityTaskFailedEventAttributes(a) => {
            format!("scheduled={} started={} {:?}", a.scheduled_event_id, a.started_event_id, a.retry_state())
        }
        A::ActivityTaskTimedOutEventAttributes(a) => {
            format!("scheduled={} started={} {:?}", a.scheduled_event_id, a.started_event_id, a.retry_state())
        }
        A::WorkflowExecutionUpdateAdmittedEventAttributes(a) => {
            let meta = a.request.as_ref().and_then(|request| request.meta.as_ref());
            format!("{} {:?}", meta.map(|meta| meta.update_id.as_str()).unwrap_or_default(), a.origin())
        }
        A::WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
            let admitted = if a.accepted_request.is_some() { "" } else { " without-request" };
            let sequenced = a.accepted_request_sequencing_event_id;
            format!("{} sequenced={sequenced}{admitted}", a.protocol_instance_id)
        }
        A::WorkflowExecutionUpdateCompletedEventAttributes(a) => {
            let id = a.meta.as_ref().map(|meta| meta.update_id.as_str()).unwrap_or_default();
            format!("{id} accepted={}", a.accepted_event_id)
        }
        A::ActivityTaskCancelRequestedEventAttributes(a) => format!("scheduled={}", a.scheduled_event_id),
        A::ActivityTaskCanceledEventAttributes(a) => {
            format!("scheduled={} started={}", a.scheduled_event_id, a.started_event_id)
        }
        other => detail_of_other(other),
    }
}

fn options(a: &WorkflowExecutionOptionsUpdatedEventAttributes) -> String {
    let unset = if a.unset_versioning_override { " unset-override" } else { "" };
    let set = if a.versioning_override.is_some() { " override" } else { "" };
    let priority = a.priority.as_ref().map(|priority| priority.priority_key).unwrap_or_default();
    format!("priority={priority}{set}{unset} attached={:?}", a.attached_request_id)
}

/// What tells events of children and external workflows apart.
fn detail_of_other(attributes: &Attributes) -> String {
    use Attributes as A;
    match attributes {
        A::StartChildWorkflowExecutionInitiatedEventAttributes(a) => {
            format!("{} {:?}", a.workflow_id, a.parent_close_policy())
        }
        A::StartChildWorkflowExecutionFailedEventAttributes(a) => {
            format!("initiated={} {:?}", a.initiated_event_id, a.cause())
        }
        A::ChildWorkflowExecutionStartedEventAttributes(a) => format!("initiated={}", a.initiated_event_id),
        A::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            format!("initiated={} started={}", a.initiated_event_id, a.started_event_id)
        }
        A::ChildWorkflowExecutionFailedEventAttributes(a) => {
            format!("initiated={} started={} {:?}", a.initiated_event_id, a.started_event_id, a.retry_state())
        }
        A::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            format!("initiated={} started={}", a.initiated_event_id, a.started_event_id)
        }
        A::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            format!("initiated={} started={}", a.initiated_event_id, a.started_event_id)
        }
        A::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            format!("initiated={} started={}", a.initiated_event_id, a.started_event_id)
        }
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            format!("{} {}", a.workflow_execution.clone().unwrap_or_default().workflow_id, a.signal_name)
        }
        A::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
            format!("initiated={} {:?}", a.initiated_event_id, a.cause())
        }
        A::ExternalWorkflowExecutionSignaledEventAttributes(a) => format!("initiated={}", a.initiated_event_id),
        A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            a.workflow_execution.clone().unwrap_or_default().workflow_id
        }
        A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
            format!("initiated={} {:?}", a.initiated_event_id, a.cause())
        }
        A::ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => format!("initiated={}", a.initiated_event_id),
        _ => String::new(),
    }
}

/// What a message of the outbox is called.
pub fn message(op: &crate::op::Op) -> String {
    let shown = op.kind.as_ref().map(|kind| format!("{kind:?}")).unwrap_or_default();
    shown.split('(').next().unwrap_or_default().to_owned()
}

/// `ok`, or the refusal's code and words.
pub fn answer(answer: &Answer) -> String {
    match &answer.kind {
        Some(answer::Kind::Reject(reject)) => format!("reject {}: {}", reject.code, reject.message),
        Some(answer::Kind::StartWorkflow(start)) => format!("ok started={}", start.started),
        Some(answer::Kind::WorkflowTaskStarted(task)) => {
            let extra = if task.transient.is_empty() { "" } else { " transient" };
            format!("ok workflow task attempt={} previous={}{extra}", task.attempt, task.previous_started_event_id)
        }
        Some(answer::Kind::ActivityTaskStarted(task)) => {
            let attempt = task.task.as_ref().map(|task| task.attempt).unwrap_or_default();
            format!("ok activity task attempt={attempt}")
        }
        Some(answer::Kind::CompleteWorkflowTask(done)) => {
            let inline = if done.new_task.is_some() { " new-task" } else { "" };
            let eager =
                if done.activities.is_empty() { String::new() } else { format!(" eager={}", done.activities.len()) };
            let closed = if done.closed { " closed" } else { "" };
            let rewind = match done.reset_history_event_id {
                0 => String::new(),
                event_id => format!(" rewind={event_id}"),
            };
            format!("ok{closed}{inline}{eager}{rewind}")
        }
        Some(answer::Kind::Heartbeat(beat)) => {
            format!("ok cancel_requested={} paused={} reset={}", beat.cancel_requested, beat.paused, beat.reset)
        }
        Some(answer::Kind::Sweep(page)) => {
            let more = if page.next.is_empty() { "" } else { " more" };
            format!("ok changed={}{more}", page.changed)
        }
        Some(answer::Kind::QueueConfig(answer)) => {
            let config = answer.config.clone().unwrap_or_default();
            let rate = |limit: Option<&RateLimitConfig>| limit.and_then(|limit| limit.rate_limit);
            let shown = |limit| rate(limit).map_or("none".into(), |rate| rate.requests_per_second.to_string());
            format!(
                "ok rate={} key-rate={} weights={:?}",
                shown(config.queue_rate_limit.as_ref()),
                shown(config.fairness_keys_rate_limit_default.as_ref()),
                config.fairness_weight_overrides
            )
        }
        Some(answer::Kind::UpdateWithStart(both)) => {
            let started = both.start.as_ref().is_some_and(|start| start.started);
            let refused = both.update_refused.as_ref().map(|reject| format!(" update refused: {}", reject.message));
            format!("ok started={started}{}", refused.unwrap_or_default())
        }
        _ => "ok".to_owned(),
    }
}

/// The effects that say what the leader should do; deadlines relative to now.
pub fn effects(effects: &[Effect], now: i64) -> String {
    let shown: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::TaskReady { queue, task, sticky, .. } => {
                let kind = if queue.task_type == TaskType::Workflow { "workflow" } else { "activity" };
                let sticky = if *sticky { " sticky" } else { "" };
                Some(format!("{kind} task ready on {} attempt={}{sticky}", queue.name, task.attempt))
            }
            Effect::DeadlineSet { due } => Some(format!("deadline +{}s", (due - now) as f64 / 1e9)),
            Effect::CallbackReady => Some("callback ready".to_owned()),
            _ => None,
        })
        .collect();
    shown.join(", ")
}
