//! What each workflow type does, as a pure function of its history.

use prost::Message as _;
use proto::temporal::api::command::v1::{
    command::Attributes, Command, CompleteWorkflowExecutionCommandAttributes as Complete,
    ContinueAsNewWorkflowExecutionCommandAttributes as Continue, ProtocolMessageCommandAttributes as ProtocolMessage,
    ScheduleActivityTaskCommandAttributes as Schedule, SignalExternalWorkflowExecutionCommandAttributes as SignalOther,
    StartChildWorkflowExecutionCommandAttributes as StartChild, StartTimerCommandAttributes as StartTimer,
};
use proto::temporal::api::common::v1::{ActivityType, RetryPolicy, WorkflowType};
use proto::temporal::api::enums::v1::CommandType;
use proto::temporal::api::history::v1::{history_event::Attributes as Of, HistoryEvent};
use proto::temporal::api::protocol::v1::{message::SequencingId, Message};
use proto::temporal::api::update::v1::{outcome, Acceptance, Meta, Outcome, Request, Response};
use serde_json::{json, Value};
use std::time::Duration;

use crate::client::{self, value_in};

/// The signal after which a workflow ends.
pub const DONE: &str = "done";

#[derive(Default)]
pub struct Decided {
    pub commands: Vec<Command>,
    pub messages: Vec<Message>,
}

pub fn decide(kind: &str, events: &[HistoryEvent], messages: &[Message]) -> Decided {
    let seen = Seen::of(events);
    let commands = match kind {
        "Signals" => Vec::new(),
        "Steps" => steps(&seen),
        "Timers" => timers(&seen),
        "Account" => account(&seen),
        "Parent" => parent(&seen),
        "Child" => vec![complete(json!("child"))],
        "Chain" => chain(&seen),
        "Updates" => return updates(&seen, messages),
        other => unreachable!("no workload starts {other}"),
    };
    Decided { commands: finished(&seen, commands), messages: Vec::new() }
}

/// What a history holds, in its order.
#[derive(Default)]
struct Seen {
    workflow_id: String,
    input: Value,
    done: bool,
    signals: Vec<(String, Value)>,
    scheduled: usize,
    activities_ended: usize,
    timers_started: usize,
    timers_fired: usize,
    signals_sent: usize,
    children_initiated: usize,
    children_ended: usize,
}

impl Seen {
    fn of(events: &[HistoryEvent]) -> Self {
        let mut seen = Self::default();
        for event in events.iter().filter_map(|event| event.attributes.as_ref()) {
            match event {
                Of::WorkflowExecutionStartedEventAttributes(started) => {
                    seen.workflow_id.clone_from(&started.workflow_id);
                    seen.input = value_in(started.input.as_ref());
                }
                Of::WorkflowExecutionSignaledEventAttributes(signal) if signal.signal_name == DONE => seen.done = true,
                Of::WorkflowExecutionSignaledEventAttributes(signal) => {
                    seen.signals.push((signal.signal_name.clone(), value_in(signal.input.as_ref())));
                }
                Of::ActivityTaskScheduledEventAttributes(_) => seen.scheduled += 1,
                Of::ActivityTaskCompletedEventAttributes(_)
                | Of::ActivityTaskFailedEventAttributes(_)
                | Of::ActivityTaskTimedOutEventAttributes(_) => seen.activities_ended += 1,
                Of::TimerStartedEventAttributes(_) => seen.timers_started += 1,
                Of::TimerFiredEventAttributes(_) => seen.timers_fired += 1,
                Of::SignalExternalWorkflowExecutionInitiatedEventAttributes(_) => seen.signals_sent += 1,
                Of::StartChildWorkflowExecutionInitiatedEventAttributes(_) => seen.children_initiated += 1,
                Of::ChildWorkflowExecutionCompletedEventAttributes(_)
                | Of::ChildWorkflowExecutionFailedEventAttributes(_)
                | Of::ChildWorkflowExecutionTimedOutEventAttributes(_)
                | Of::ChildWorkflowExecutionTerminatedEventAttributes(_)
                | Of::StartChildWorkflowExecutionFailedEventAttributes(_) => seen.children_ended += 1,
                _ => {}
            }
        }
        seen
    }

    fn wanted(&self, field: &str) -> usize {
        self.input.get(field).and_then(Value::as_u64).unwrap_or_default() as usize
    }
}

/// A workflow that was told to end does so once nothing more is to be done.
fn finished(seen: &Seen, mut commands: Vec<Command>) -> Vec<Command> {
    if seen.done && commands.is_empty() {
        commands.push(complete(json!({ "signals": seen.signals.len() })));
    }
    commands
}

/// One activity after the other.
fn steps(seen: &Seen) -> Vec<Command> {
    match (seen.activities_ended, seen.scheduled) {
        (ended, _) if ended >= seen.wanted("steps") => vec![complete(json!(ended))],
        (ended, scheduled) if ended == scheduled => vec![activity(scheduled)],
        _ => Vec::new(),
    }
}

/// One timer after the other; the input says how long each takes.
fn timers(seen: &Seen) -> Vec<Command> {
    let wanted = seen.input.get("millis").and_then(Value::as_array).cloned().unwrap_or_default();
    match (seen.timers_fired, seen.timers_started) {
        (fired, _) if fired >= wanted.len() => vec![complete(json!(fired))],
        (fired, started) if fired == started => {
            let millis = wanted[started].as_u64().unwrap_or_default();
            vec![timer(started, Duration::from_millis(millis))]
        }
        _ => Vec::new(),
    }
}

/// Passes each transfer on to the other account, in the order in which they came.
fn account(seen: &Seen) -> Vec<Command> {
    let transfers = seen.signals.iter().filter(|(name, _)| name == "transfer").map(|(_, value)| value);
    transfers.skip(seen.signals_sent).map(credit).collect()
}

/// One child after the other, each with an id of its own.
fn parent(seen: &Seen) -> Vec<Command> {
    match (seen.children_ended, seen.children_initiated) {
        (ended, _) if ended >= seen.wanted("children") => vec![complete(json!(ended))],
        (ended, initiated) if ended == initiated => vec![child(&seen.workflow_id, initiated)],
        _ => Vec::new(),
    }
}

/// Continues as new until the number is used up.
fn chain(seen: &Seen) -> Vec<Command> {
    match seen.wanted("left") {
        0 => vec![complete(json!("end"))],
        left => vec![command(
            CommandType::ContinueAsNewWorkflowExecution,
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(Continue {
                input: client::payloads(&json!({ "left": left - 1 })),
                ..Continue::default()
            }),
        )],
    }
}

/// Accepts and completes every update that the task brings.
fn updates(seen: &Seen, messages: &[Message]) -> Decided {
    let mut decided = Decided::default();
    for message in messages {
        let Some(request) = message.body.as_ref().and_then(|body| Request::decode(body.value.as_slice()).ok()) else {
            continue;
        };
        let meta = request.meta.clone().unwrap_or_default();
        let sequencing = match &message.sequencing_id {
            Some(SequencingId::EventId(id)) => *id,
            Some(SequencingId::CommandIndex(_)) | None => 0,
        };
        let accepted = Acceptance {
            accepted_request_message_id: message.id.clone(),
            accepted_request_sequencing_event_id: sequencing,
            accepted_request: Some(request.clone()),
        };
        let result = request.input.and_then(|input| input.args);
        let response = Response {
            meta: Some(Meta { update_id: meta.update_id.clone(), identity: "jep".into() }),
            outcome: Some(Outcome { value: Some(outcome::Value::Success(result.unwrap_or_default())) }),
        };
        let update = &message.protocol_instance_id;
        decided.say(update, "accept", any("temporal.api.update.v1.Acceptance", &accepted));
        decided.say(update, "complete", any("temporal.api.update.v1.Response", &response));
    }
    if seen.done {
        decided.commands.extend(finished(seen, Vec::new()));
    }
    decided
}

impl Decided {
    fn say(&mut self, update: &str, what: &str, body: prost_types::Any) {
        let id = format!("{update}/{what}");
        let refers = Attributes::ProtocolMessageCommandAttributes(ProtocolMessage { message_id: id.clone() });
        self.commands.push(command(CommandType::ProtocolMessage, refers));
        self.messages.push(Message { id, protocol_instance_id: update.into(), body: Some(body), ..Message::default() });
    }
}

fn any(name: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Command::default() }
}

fn complete(result: Value) -> Command {
    let complete = Complete { result: client::payloads(&result) };
    command(CommandType::CompleteWorkflowExecution, Attributes::CompleteWorkflowExecutionCommandAttributes(complete))
}

fn activity(number: usize) -> Command {
    let policy = RetryPolicy {
        initial_interval: client::duration(Duration::from_millis(200)),
        backoff_coefficient: 1.0,
        ..RetryPolicy::default()
    };
    let schedule = Schedule {
        activity_id: format!("step-{number}"),
        activity_type: Some(ActivityType { name: "Step".into() }),
        task_queue: client::queue(),
        start_to_close_timeout: client::duration(Duration::from_secs(3)),
        retry_policy: Some(policy),
        ..Schedule::default()
    };
    command(CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(schedule))
}

fn timer(number: usize, wait: Duration) -> Command {
    let start = StartTimer { timer_id: format!("timer-{number}"), start_to_fire_timeout: client::duration(wait) };
    command(CommandType::StartTimer, Attributes::StartTimerCommandAttributes(start))
}

fn credit(transfer: &Value) -> Command {
    let to = transfer.get("to").and_then(Value::as_str).unwrap_or_default();
    let signal = SignalOther {
        execution: client::execution(to),
        signal_name: "credit".into(),
        input: client::payloads(transfer),
        ..SignalOther::default()
    };
    command(
        CommandType::SignalExternalWorkflowExecution,
        Attributes::SignalExternalWorkflowExecutionCommandAttributes(signal),
    )
}

fn child(parent: &str, number: usize) -> Command {
    let start = StartChild {
        workflow_id: format!("{parent}.child-{number}"),
        workflow_type: Some(WorkflowType { name: "Child".into() }),
        task_queue: client::queue(),
        workflow_task_timeout: client::duration(Duration::from_secs(3)),
        ..StartChild::default()
    };
    command(CommandType::StartChildWorkflowExecution, Attributes::StartChildWorkflowExecutionCommandAttributes(start))
}
