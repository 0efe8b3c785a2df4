//! Activity workers: by token, or by the activity's id.

use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};
use statemachine::op::{self, op::Kind, TaskRef};
use statemachine::tables::{self, RunKey};
use statemachine::time::{duration, SECOND};
use statemachine::TaskType;

use super::{clients, tasks};
use crate::workers::Held;
use crate::{Checked, Random, World};

pub fn poll(world: &mut World, random: &mut Random) -> Checked {
    tasks::poll_queue(world, random, TaskType::Activity).map(|_| ())
}

fn take(world: &mut World, random: &mut Random) -> Option<Held> {
    let at = if random.percent(60) { 0 } else { random.index(world.workers.activity_tasks.len()) };
    world.workers.activity_tasks.remove(at)
}

pub fn failure(random: &mut Random) -> Failure {
    Failure {
        message: random.one_of(["broken", "a much longer message that may be above the limit of one blob"]).into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            non_retryable: random.percent(15),
            r#type: random.one_of(["", "Fatal"]).into(),
            next_retry_delay: random.percent(10).then(|| duration(SECOND)),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn completion(random: &mut Random, task: Option<TaskRef>) -> Kind {
    Kind::CompleteActivity(op::CompleteActivity {
        task,
        result: clients::payloads(random),
        identity: "A".into(),
        ..Default::default()
    })
}

fn failing(random: &mut Random, task: Option<TaskRef>) -> Kind {
    let with_details = random.percent(20);
    Kind::FailActivity(op::FailActivity {
        task,
        failure: Some(failure(random)),
        identity: "A".into(),
        last_heartbeat_details: if with_details { clients::payloads(random) } else { None },
        has_last_heartbeat_details: with_details,
    })
}

fn cancelling(random: &mut Random, task: Option<TaskRef>) -> Kind {
    Kind::CancelActivity(op::CancelActivity { task, details: clients::payloads(random), identity: "A".into() })
}

fn beating(random: &mut Random, task: Option<TaskRef>) -> Kind {
    Kind::HeartbeatActivity(op::HeartbeatActivity { task, details: clients::payloads(random), identity: "A".into() })
}

/// One of the answers a worker may give.
pub fn any_answer(random: &mut Random, task: &TaskRef) -> Kind {
    let task = Some(task.clone());
    match random.below(4) {
        0 => failing(random, task),
        1 => cancelling(random, task),
        2 => beating(random, task),
        _ => completion(random, task),
    }
}

pub fn complete(world: &mut World, random: &mut Random) -> Checked {
    let Some(held) = take(world, random) else { return Ok(()) };
    let kind = completion(random, Some(held.task.clone()));
    tasks::send(world, random, &held, kind).map(|_| ())
}

pub fn fail(world: &mut World, random: &mut Random) -> Checked {
    let Some(held) = take(world, random) else { return Ok(()) };
    let kind = failing(random, Some(held.task.clone()));
    tasks::send(world, random, &held, kind).map(|_| ())
}

/// Refused unless the workflow asked for it; then the worker goes on. Mostly a worker knows.
pub fn cancel(world: &mut World, random: &mut Random) -> Checked {
    let asked = world.workers.activity_tasks.iter().position(|held| is_asked_to_cancel(world, &held.task));
    let held = match asked.filter(|_| random.percent(80)) {
        Some(at) => world.workers.activity_tasks.remove(at),
        None => take(world, random),
    };
    let Some(held) = held else { return Ok(()) };
    let kind = cancelling(random, Some(held.task.clone()));
    let answer = world.call_workflow(random, &held.task.namespace_id, &held.task.workflow_id, kind)?;
    if crate::world::is_reject(&answer) {
        world.workers.activity_tasks.push_front(held);
    }
    Ok(())
}

fn is_asked_to_cancel(world: &World, task: &TaskRef) -> bool {
    let shard = world.shard_of(&task.namespace_id, &task.workflow_id);
    let key = RunKey::new(&task.namespace_id, &task.workflow_id, &task.run_id);
    let row =
        key.and_then(|key| tables::activity(&world.shards[shard].kv, key, task.scheduled_event_id).ok().flatten());
    row.is_some_and(|row| row.cancel_requested && row.started_time == task.started_time)
}

pub fn heartbeat(world: &mut World, random: &mut Random) -> Checked {
    let at = random.index(world.workers.activity_tasks.len());
    let Some(held) = world.workers.activity_tasks.get(at).cloned() else { return Ok(()) };
    let superseded = world.workers.is_superseded(&held);
    let kind = beating(random, Some(held.task.clone()));
    let answer = world.call_workflow(random, &held.task.namespace_id, &held.task.workflow_id, kind)?;
    crate::invariants::stale_tasks::check(&held, superseded, &answer)
}

/// Somebody names the activity by its id, whoever works on it.
pub fn by_id(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let Some(run) = clients::current(world, &namespace, &workflow_id) else { return Ok(()) };
    let shard = world.shard_of(&namespace.id, &workflow_id);
    let Some(key) = RunKey::new(&namespace.id, &workflow_id, &run.run_id) else { return Ok(()) };
    let pending = tables::activities(&world.shards[shard].kv, key).unwrap_or_default();
    let Some(activity) = random.pick(&pending) else { return Ok(()) };
    let task = TaskRef {
        namespace_id: namespace.id.clone(),
        workflow_id: workflow_id.clone(),
        run_id: if random.percent(50) { run.run_id } else { String::new() },
        task_type: TaskType::Activity as i32,
        activity_id: activity.activity_id.clone(),
        ..Default::default()
    };
    let kind = any_answer(random, &task);
    world.call_workflow(random, &namespace.id, &workflow_id, kind).map(|_| ())
}
