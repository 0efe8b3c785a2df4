//! What a worker answers a workflow task with: commands that fit the run it sees, and sometimes ones that do not.

use prost::Name;
use proto::temporal::api::command::v1::{command::Attributes, *};
use proto::temporal::api::common::v1::{
    ActivityType, Memo, Payload, Priority, SearchAttributes, WorkflowExecution, WorkflowType,
};
use proto::temporal::api::enums::v1::CommandType;
use proto::temporal::api::protocol::v1::Message;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::update::v1::{outcome, Acceptance, Outcome, Rejection, Response};
use statemachine::op::TaskRef;
use statemachine::state::update::Stage;
use statemachine::tables::{self, RunKey};
use statemachine::time::{duration, MILLISECOND, SECOND};
use statemachine::MemoryKv;

use super::activities::failure;
use super::clients::{cron, payloads, retry_policy, some_duration};
use crate::{Random, World};

/// Commands and messages for a task, of the run as its worker can know it.
pub fn of_task(world: &World, random: &mut Random, shard: usize, task: &TaskRef) -> (Vec<Command>, Vec<Message>) {
    let mut commands = Vec::new();
    let mut messages = Vec::new();
    let key = RunKey::new(&task.namespace_id, &task.workflow_id, &task.run_id);
    if let Some(key) = key {
        updates(&world.shards[shard].kv, random, key, &mut commands, &mut messages);
        for _ in 0..random.below(4) {
            commands.extend(any(world, random, shard, key));
        }
    }
    if random.percent(18) {
        commands.extend(closing(world, random));
    }
    (commands, messages)
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

fn any(world: &World, random: &mut Random, shard: usize, key: RunKey) -> Option<Command> {
    let kv = &world.shards[shard].kv;
    Some(match random.below(13) {
        0..=2 => schedule(world, random),
        3 => cancel_activity(kv, random, key)?,
        4 | 5 => start_timer(random),
        6 => cancel_timer(kv, random, key),
        7 => command(
            CommandType::RecordMarker,
            Attributes::RecordMarkerCommandAttributes(RecordMarkerCommandAttributes {
                marker_name: "m".into(),
                ..Default::default()
            }),
        ),
        8 => attributes(random),
        9 => memo(random),
        10 => start_child(world, random),
        11 => signal_external(world, random),
        _ => cancel_external(world, random),
    })
}

fn schedule(world: &World, random: &mut Random) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: format!("a{}", random.below(5)),
        activity_type: Some(ActivityType { name: "Act".into() }),
        task_queue: Some(TaskQueue { name: world.queue(random), ..Default::default() }),
        input: payloads(random),
        schedule_to_close_timeout: some_duration(random, 30),
        schedule_to_start_timeout: some_duration(random, 30),
        start_to_close_timeout: Some(duration(random.one_of([SECOND, 20 * SECOND]))),
        heartbeat_timeout: some_duration(random, 30),
        retry_policy: random.percent(70).then(|| retry_policy(random)),
        request_eager_execution: random.percent(20),
        priority: random
            .percent(15)
            .then(|| Priority { priority_key: random.between(1, 5) as i32, ..Default::default() }),
        ..Default::default()
    };
    command(CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(attributes))
}

fn cancel_activity(kv: &MemoryKv, random: &mut Random, key: RunKey) -> Option<Command> {
    let pending = tables::activities(kv, key).unwrap_or_default();
    // Mostly one that a worker has, and that was not asked before.
    let asked = pending.iter().find(|row| row.started_time != 0 && !row.cancel_requested);
    let scheduled_event_id = asked.filter(|_| random.percent(80)).or(random.pick(&pending))?.scheduled_event_id;
    Some(command(
        CommandType::RequestCancelActivityTask,
        Attributes::RequestCancelActivityTaskCommandAttributes(RequestCancelActivityTaskCommandAttributes {
            scheduled_event_id,
        }),
    ))
}

fn timer_id(random: &mut Random) -> String {
    format!("t{}", random.below(5))
}

fn start_timer(random: &mut Random) -> Command {
    let after = random.one_of([0, MILLISECOND, SECOND, 5 * SECOND, 100 * SECOND]);
    command(
        CommandType::StartTimer,
        Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
            timer_id: timer_id(random),
            start_to_fire_timeout: Some(duration(after)),
        }),
    )
}

fn cancel_timer(kv: &MemoryKv, random: &mut Random, key: RunKey) -> Command {
    let pending = tables::timers(kv, key).unwrap_or_default();
    let known = random.pick(&pending).map(|timer| timer.timer_id.clone()).filter(|_| random.percent(90));
    let timer_id = known.unwrap_or_else(|| timer_id(random));
    command(
        CommandType::CancelTimer,
        Attributes::CancelTimerCommandAttributes(CancelTimerCommandAttributes { timer_id }),
    )
}

fn word(text: &str) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), bytes::Bytes::from_static(b"json/plain"))].into(),
        data: text.to_owned().into(),
        ..Default::default()
    }
}

fn attributes(random: &mut Random) -> Command {
    let name = random.one_of(["Word", "Word", "Word", "Word", "Word", "Word", "Word", "Unknown"]).to_owned();
    let fields = [(name, word(random.one_of(["\"x\"", "null", "\"y\""])))].into();
    command(
        CommandType::UpsertWorkflowSearchAttributes,
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(UpsertWorkflowSearchAttributesCommandAttributes {
            search_attributes: Some(SearchAttributes { indexed_fields: fields }),
        }),
    )
}

fn memo(random: &mut Random) -> Command {
    let name = random.one_of(["m1", "m2"]).to_owned();
    let fields = [(name, word(random.one_of(["1", "null", "\"a longer note\""])))].into();
    command(
        CommandType::ModifyWorkflowProperties,
        Attributes::ModifyWorkflowPropertiesCommandAttributes(ModifyWorkflowPropertiesCommandAttributes {
            upserted_memo: Some(Memo { fields }),
        }),
    )
}

fn start_child(world: &World, random: &mut Random) -> Command {
    #[expect(deprecated, reason = "the namespace field is still sent")]
    let attributes = StartChildWorkflowExecutionCommandAttributes {
        namespace: world.namespace(random).name,
        workflow_id: world.workflow_id(random),
        workflow_type: Some(WorkflowType { name: "C".into() }),
        task_queue: Some(TaskQueue { name: world.queue(random), ..Default::default() }),
        workflow_run_timeout: some_duration(random, 20),
        parent_close_policy: random.one_of([0, 1, 2, 3]),
        workflow_id_reuse_policy: random.one_of([0, 1, 2, 3]),
        retry_policy: random.percent(20).then(|| retry_policy(random)),
        cron_schedule: if random.percent(8) { cron(random).into() } else { String::new() },
        ..Default::default()
    };
    command(
        CommandType::StartChildWorkflowExecution,
        Attributes::StartChildWorkflowExecutionCommandAttributes(attributes),
    )
}

fn signal_external(world: &World, random: &mut Random) -> Command {
    #[expect(deprecated, reason = "the namespace field is still sent")]
    let attributes = SignalExternalWorkflowExecutionCommandAttributes {
        namespace: world.namespace(random).name,
        execution: Some(WorkflowExecution { workflow_id: world.workflow_id(random), run_id: String::new() }),
        signal_name: "external".into(),
        input: payloads(random),
        child_workflow_only: random.percent(20),
        ..Default::default()
    };
    command(
        CommandType::SignalExternalWorkflowExecution,
        Attributes::SignalExternalWorkflowExecutionCommandAttributes(attributes),
    )
}

fn cancel_external(world: &World, random: &mut Random) -> Command {
    #[expect(deprecated, reason = "the namespace field is still sent")]
    let attributes = RequestCancelExternalWorkflowExecutionCommandAttributes {
        namespace: world.namespace(random).name,
        workflow_id: world.workflow_id(random),
        child_workflow_only: random.percent(20),
        ..Default::default()
    };
    command(
        CommandType::RequestCancelExternalWorkflowExecution,
        Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(attributes),
    )
}

pub fn complete_workflow() -> Command {
    command(
        CommandType::CompleteWorkflowExecution,
        Attributes::CompleteWorkflowExecutionCommandAttributes(Default::default()),
    )
}

fn closing(world: &World, random: &mut Random) -> Option<Command> {
    Some(match random.below(4) {
        0 => complete_workflow(),
        1 => command(
            CommandType::FailWorkflowExecution,
            Attributes::FailWorkflowExecutionCommandAttributes(FailWorkflowExecutionCommandAttributes {
                failure: Some(failure(random)),
            }),
        ),
        2 => command(
            CommandType::CancelWorkflowExecution,
            Attributes::CancelWorkflowExecutionCommandAttributes(Default::default()),
        ),
        _ => command(
            CommandType::ContinueAsNewWorkflowExecution,
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(
                ContinueAsNewWorkflowExecutionCommandAttributes {
                    task_queue: Some(TaskQueue { name: world.queue(random), ..Default::default() }),
                    workflow_run_timeout: some_duration(random, 20),
                    backoff_start_interval: some_duration(random, 20),
                    retry_policy: random.percent(20).then(|| retry_policy(random)),
                    ..Default::default()
                },
            ),
        ),
    })
}

/// The worker accepts, answers, refuses or passes over the updates it was sent.
fn updates(kv: &MemoryKv, random: &mut Random, key: RunKey, commands: &mut Vec<Command>, messages: &mut Vec<Message>) {
    for row in tables::updates(kv, key).unwrap_or_default() {
        let id = row.update_id.as_str();
        let mut say = |what: &str, body: prost_types::Any, mute: bool| {
            let message_id = format!("{id}/{what}");
            if !mute {
                commands.push(command(
                    CommandType::ProtocolMessage,
                    Attributes::ProtocolMessageCommandAttributes(ProtocolMessageCommandAttributes {
                        message_id: message_id.clone(),
                    }),
                ));
            }
            messages.push(Message {
                id: message_id,
                protocol_instance_id: id.to_owned(),
                body: Some(body),
                ..Default::default()
            });
        };
        let (choice, mute) = (random.below(10), random.percent(10));
        match row.stage() {
            Stage::Admitted if row.sent_with != 0 && choice < 3 => say("reject", rejection(), true),
            Stage::Admitted if row.sent_with != 0 && choice < 8 => {
                say("accept", acceptance(id), mute);
                if choice < 6 {
                    say("respond", response(), mute);
                }
            }
            Stage::Accepted if choice < 6 => say("respond", response(), mute),
            // What no good worker does.
            Stage::Completed if choice == 0 => say("respond", response(), mute),
            _ => {}
        }
    }
}

fn any_of<M: prost::Message + Name>(message: &M) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

fn acceptance(id: &str) -> prost_types::Any {
    any_of(&Acceptance {
        accepted_request_message_id: format!("{id}/request"),
        accepted_request_sequencing_event_id: 1,
        ..Default::default()
    })
}

fn rejection() -> prost_types::Any {
    let failure = proto::temporal::api::failure::v1::Failure { message: "no".into(), ..Default::default() };
    any_of(&Rejection { failure: Some(failure), ..Default::default() })
}

fn response() -> prost_types::Any {
    any_of(&Response {
        meta: None,
        outcome: Some(Outcome { value: Some(outcome::Value::Success(Default::default())) }),
    })
}
