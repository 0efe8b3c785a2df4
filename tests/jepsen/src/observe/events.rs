//! Events reduced to what checkers ask for, and fingerprints of histories.

use prost::Message;
use proto::temporal::api::enums::v1::EventType;
use proto::temporal::api::history::v1::{history_event::Attributes as Of, HistoryEvent};
use serde_json::{json, Value};

use crate::client::value_in;
use crate::history::Event;

/// For each event a hash of everything up to it, so that one history can be seen to be a prefix of another.
pub fn fingerprint(events: &[HistoryEvent]) -> Vec<u64> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut bytes = Vec::new();
    let mut prints = Vec::with_capacity(events.len());
    for event in events {
        bytes.clear();
        event.encode(&mut bytes).expect("a vector grows");
        for &byte in &bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        prints.push(hash);
    }
    prints
}

pub fn reduce(event: &HistoryEvent, print: u64) -> Event {
    let time = event.event_time.unwrap_or_default();
    let name = EventType::try_from(event.event_type).unwrap_or_default().as_str_name();
    let mut facts = event.attributes.as_ref().map_or(Value::Null, facts);
    if facts.is_null() {
        facts = json!({});
    }
    facts["print"] = format!("{print:016x}").into();
    Event {
        id: event.event_id,
        time: time.seconds * 1_000_000_000 + i64::from(time.nanos),
        kind: camel(name.trim_start_matches("EVENT_TYPE_")),
        facts,
    }
}

/// `WORKFLOW_TASK_STARTED` → `WorkflowTaskStarted`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_lowercase())
    };
    name.split('_').map(word).collect()
}

fn millis(duration: Option<&prost_types::Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds * 1000 + i64::from(duration.nanos) / 1_000_000)
}

fn facts(event: &Of) -> Value {
    match event {
        Of::WorkflowExecutionStartedEventAttributes(started) => {
            json!({ "request": started.identity, "first_run": started.first_execution_run_id })
        }
        Of::WorkflowExecutionSignaledEventAttributes(signal) => {
            json!({ "name": signal.signal_name, "value": value_in(signal.input.as_ref()) })
        }
        Of::WorkflowExecutionTerminatedEventAttributes(ended) => json!({ "request": ended.identity }),
        Of::WorkflowExecutionContinuedAsNewEventAttributes(next) => json!({ "next": next.new_execution_run_id }),
        Of::WorkflowTaskFailedEventAttributes(failed) => json!({ "cause": failed.cause().as_str_name() }),
        Of::ActivityTaskScheduledEventAttributes(scheduled) => json!({ "activity": scheduled.activity_id }),
        Of::ActivityTaskStartedEventAttributes(started) => {
            json!({ "scheduled": started.scheduled_event_id, "attempt": started.attempt })
        }
        Of::ActivityTaskCompletedEventAttributes(done) => {
            json!({ "scheduled": done.scheduled_event_id, "result": value_in(done.result.as_ref()) })
        }
        Of::ActivityTaskFailedEventAttributes(done) => json!({ "scheduled": done.scheduled_event_id }),
        Of::ActivityTaskTimedOutEventAttributes(done) => json!({ "scheduled": done.scheduled_event_id }),
        Of::TimerStartedEventAttributes(timer) => {
            json!({ "timer": timer.timer_id, "millis": millis(timer.start_to_fire_timeout.as_ref()) })
        }
        Of::TimerFiredEventAttributes(timer) => json!({ "timer": timer.timer_id, "started": timer.started_event_id }),
        Of::SignalExternalWorkflowExecutionInitiatedEventAttributes(sent) => {
            let to = sent.workflow_execution.clone().unwrap_or_default().workflow_id;
            json!({ "to": to, "value": value_in(sent.input.as_ref()) })
        }
        Of::ExternalWorkflowExecutionSignaledEventAttributes(done) => json!({ "initiated": done.initiated_event_id }),
        Of::SignalExternalWorkflowExecutionFailedEventAttributes(done) => {
            json!({ "initiated": done.initiated_event_id, "cause": done.cause().as_str_name() })
        }
        Of::StartChildWorkflowExecutionInitiatedEventAttributes(child) => json!({ "child": child.workflow_id }),
        Of::ChildWorkflowExecutionStartedEventAttributes(child) => {
            json!({ "initiated": child.initiated_event_id, "run": child.workflow_execution.clone().unwrap_or_default().run_id })
        }
        Of::ChildWorkflowExecutionCompletedEventAttributes(child) => {
            json!({ "initiated": child.initiated_event_id })
        }
        Of::StartChildWorkflowExecutionFailedEventAttributes(child) => json!({ "initiated": child.initiated_event_id }),
        Of::WorkflowExecutionUpdateAcceptedEventAttributes(update) => {
            json!({ "update": update.protocol_instance_id })
        }
        Of::WorkflowExecutionUpdateCompletedEventAttributes(update) => {
            json!({ "update": update.meta.clone().unwrap_or_default().update_id })
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_prefixes() {
        assert_eq!(camel("WORKFLOW_TASK_STARTED"), "WorkflowTaskStarted");
        let event = |event_id| HistoryEvent { event_id, ..HistoryEvent::default() };
        let (short, long) = (fingerprint(&[event(1), event(2)]), fingerprint(&[event(1), event(2), event(3)]));
        assert_eq!(short, long[..2]);
        assert_ne!(fingerprint(&[event(2), event(1)])[1], short[1]);
    }
}
