//! A history as a person reads it: for each event its name, one line of what matters, and all attributes as text.

use proto::temporal::api::enums::v1::EventType;
use proto::temporal::api::history::v1::HistoryEvent;
use serde_json::Value;

use super::decode;
use super::format::{pascal, shortened};

const SUMMARY_LENGTH: usize = 160;
/// What makes an event recognisable, in this order: where it is in the attributes, and what stands before it.
const SUMMARY: &[(&str, &str)] = &[
    ("/workflowType/name", ""),
    ("/activityType/name", ""),
    ("/markerName", ""),
    ("/signalName", ""),
    ("/operation", ""),
    ("/acceptedRequest/input/name", ""),
    ("/request/input/name", ""),
    ("/timerId", "timer "),
    ("/startToFireTimeout", "after "),
    ("/activityId", "activity "),
    ("/workflowExecution/workflowId", "workflow "),
    ("/parentWorkflowExecution/workflowId", "child of "),
    ("/outcome/failure/message", "failure "),
    ("/failure/message", "failure "),
    ("/lastFailure/message", "after failure "),
    ("/cause", "cause "),
    ("/timeoutType", ""),
    ("/retryState", "retry state "),
    ("/reason", "reason "),
    ("/attempt", "attempt "),
    ("/newExecutionRunId", "next run "),
    ("/result", "result "),
    ("/outcome/success", "result "),
    ("/input", "input "),
    ("/taskQueue/name", "on "),
    ("/scheduledEventId", "of event "),
    ("/initiatedEventId", "of event "),
    ("/acceptedEventId", "of event "),
    ("/identity", "by "),
];

pub struct EventText {
    pub id: i64,
    /// As in Temporal's pages: `ActivityTaskScheduled`.
    pub name: String,
    pub summary: String,
    /// Every attribute, one a line.
    pub details: String,
}

pub fn event(event: &HistoryEvent) -> EventText {
    let json = decode::to_json(event);
    let attributes = attributes(&json);
    let metadata = json.get("userMetadata").map(|value| format!("userMetadata:\n{}\n", decode::lines(value)));
    EventText {
        id: event.event_id,
        name: name(event.event_type),
        summary: summary(attributes),
        details: format!("{}{}", metadata.unwrap_or_default(), decode::lines(attributes)),
    }
}

fn name(event_type: i32) -> String {
    match EventType::try_from(event_type) {
        Ok(known) => pascal(known.as_str_name(), "EVENT_TYPE_"),
        Err(_) => format!("Event type {event_type}"),
    }
}

fn attributes(event: &Value) -> &Value {
    let fields = event.as_object();
    let found = fields.and_then(|fields| fields.iter().find(|(name, _)| name.ends_with("EventAttributes")));
    found.map_or(&Value::Null, |(_, attributes)| attributes)
}

fn summary(attributes: &Value) -> String {
    let mut parts = Vec::new();
    for (path, label) in SUMMARY {
        let Some(value) = attributes.pointer(path).filter(|value| !is_nothing(value)) else { continue };
        let text = match value {
            Value::String(text) => without_prefix(path, text),
            other => other.to_string(),
        };
        parts.push(format!("{label}{}", shortened(&text, SUMMARY_LENGTH / 2)));
    }
    shortened(&parts.join(" · "), SUMMARY_LENGTH)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text.ends_with("_UNSPECIFIED"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Enum values are named after their type, which the attribute's name repeats.
fn without_prefix(path: &str, text: &str) -> String {
    match path {
        "/timeoutType" => pascal(text, "TIMEOUT_TYPE_"),
        "/retryState" => pascal(text, "RETRY_STATE_"),
        "/cause" => pascal(text, "WORKFLOW_TASK_FAILED_CAUSE_"),
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::ActivityType;
    use proto::temporal::api::enums::v1::TimeoutType;
    use proto::temporal::api::failure::v1::{failure::FailureInfo, Failure, TimeoutFailureInfo};
    use proto::temporal::api::history::v1::history_event::Attributes;
    use proto::temporal::api::history::v1::{
        ActivityTaskScheduledEventAttributes, ActivityTaskTimedOutEventAttributes,
        WorkflowExecutionUpdateCompletedEventAttributes,
    };
    use proto::temporal::api::update::v1::{outcome, Outcome};

    use super::*;

    #[test]
    fn what_matters_comes_first() {
        let scheduled = HistoryEvent {
            event_id: 5,
            event_type: EventType::ActivityTaskScheduled.into(),
            attributes: Some(Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
                activity_id: "1".into(),
                activity_type: Some(ActivityType { name: "charge".into() }),
                ..ActivityTaskScheduledEventAttributes::default()
            })),
            ..HistoryEvent::default()
        };
        let text = event(&scheduled);
        assert_eq!((text.id, text.name.as_str()), (5, "ActivityTaskScheduled"));
        assert_eq!(text.summary, "charge · activity 1");
        assert_eq!(text.details, "activityId: \"1\"\nactivityType:\n  name: \"charge\"");
    }

    #[test]
    fn failures_are_told() {
        let info =
            TimeoutFailureInfo { timeout_type: TimeoutType::StartToClose.into(), ..TimeoutFailureInfo::default() };
        let failure = Failure {
            message: "too slow".into(),
            failure_info: Some(FailureInfo::TimeoutFailureInfo(info)),
            ..Failure::default()
        };
        let attributes = ActivityTaskTimedOutEventAttributes {
            failure: Some(failure),
            scheduled_event_id: 5,
            ..ActivityTaskTimedOutEventAttributes::default()
        };
        let text = event(&HistoryEvent {
            event_type: EventType::ActivityTaskTimedOut.into(),
            attributes: Some(Attributes::ActivityTaskTimedOutEventAttributes(attributes)),
            ..HistoryEvent::default()
        });
        assert_eq!(text.summary, "failure too slow · of event 5");
        assert!(text.details.contains("timeoutType: \"TIMEOUT_TYPE_START_TO_CLOSE\""), "{}", text.details);
    }

    #[test]
    fn the_end_of_an_update_tells_its_outcome() {
        let failure = Failure { message: "too late".into(), ..Failure::default() };
        let attributes = WorkflowExecutionUpdateCompletedEventAttributes {
            accepted_event_id: 14,
            outcome: Some(Outcome { value: Some(outcome::Value::Failure(failure)) }),
            ..WorkflowExecutionUpdateCompletedEventAttributes::default()
        };
        let text = event(&HistoryEvent {
            event_type: EventType::WorkflowExecutionUpdateCompleted.into(),
            attributes: Some(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(attributes)),
            ..HistoryEvent::default()
        });
        assert_eq!(text.summary, "failure too late · of event 14");
    }

    #[test]
    fn an_unknown_event_is_shown_as_such() {
        let text = event(&HistoryEvent { event_type: 999, ..HistoryEvent::default() });
        assert_eq!((text.name.as_str(), text.summary.as_str(), text.details.as_str()), ("Event type 999", "", ""));
    }
}
