//! Workflow workers: they poll, answer with commands and messages, fail, and die.

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause;
use proto::temporal::api::taskqueue::v1::{StickyExecutionAttributes, TaskQueue};
use proto::temporal::api::workflowservice::v1::{
    respond_workflow_task_completed_request::Capabilities, RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
};
use statemachine::op::{self, answer, op::Kind, Answer, Poller, ReturnTask, StartTask, UnqueueTask};
use statemachine::time::{duration, MILLISECOND, SECOND};
use statemachine::TaskType;

use super::clients;
use super::commands;
use crate::invariants::stale_tasks;
use crate::workers::Held;
use crate::{Checked, Random, World};

pub fn poll(world: &mut World, random: &mut Random) -> Checked {
    poll_queue(world, random, TaskType::Workflow).map(|_| ())
}

/// Hands a ready task that the leader knows of to a worker; whether it knew one.
pub fn poll_queue(world: &mut World, random: &mut Random, task_type: TaskType) -> Checked<bool> {
    let shard = random.index(world.shards.len());
    let tasks = world.softs[shard].tasks(task_type);
    // Mostly the first in line; any, where several pollers race.
    let at = if random.percent(70) { 0 } else { random.index(tasks.len()) };
    let Some((key, task)) = tasks.iter().nth(at).map(|(key, task)| (key.clone(), task.clone())) else {
        return Ok(false);
    };
    let request_id = world.fresh("poll");
    let identity = random.one_of(["A", "B"]).to_owned();
    let poller = Poller { identity, request_id, ..Default::default() };
    let lost = !world.calm && random.percent(world.settings.lost_polls);
    let kept = random.percent(5);
    let answer = world.call(random, shard, Kind::StartTask(StartTask { task: Some(task), poller: Some(poller) }))?;
    if !kept {
        world.softs[shard].tasks(task_type).remove(&key);
    }
    let task = match answer.kind {
        Some(answer::Kind::WorkflowTaskStarted(started)) => started.task,
        Some(answer::Kind::ActivityTaskStarted(started)) => started.task,
        _ => None,
    };
    if let Some(task) = task.filter(|_| !lost) {
        world.workers.hand_out(task);
    }
    Ok(true)
}

/// Takes a held workflow task out: mostly the oldest.
fn take(world: &mut World, random: &mut Random) -> Option<Held> {
    let at = if random.percent(70) { 0 } else { random.index(world.workers.workflow_tasks.len()) };
    world.workers.workflow_tasks.remove(at)
}

pub fn complete(world: &mut World, random: &mut Random) -> Checked {
    let Some(held) = take(world, random) else { return Ok(()) };
    complete_task(world, random, held)
}

pub fn complete_task(world: &mut World, random: &mut Random, held: Held) -> Checked {
    let shard = world.shard_of(&held.task.namespace_id, &held.task.workflow_id);
    let (commands, messages) = commands::of_task(world, random, shard, &held.task);
    let request = RespondWorkflowTaskCompletedRequest {
        commands,
        messages,
        identity: random.one_of(["A", "B"]).into(),
        force_create_new_workflow_task: random.percent(8),
        return_new_workflow_task: random.percent(20),
        sticky_attributes: random.percent(50).then(|| StickyExecutionAttributes {
            worker_task_queue: Some(TaskQueue {
                name: random.one_of(["sticky-A", "sticky-B"]).into(),
                ..Default::default()
            }),
            schedule_to_start_timeout: Some(duration(random.one_of([100 * MILLISECOND, 5 * SECOND]))),
        }),
        capabilities: random
            .percent(30)
            .then_some(Capabilities { discard_speculative_workflow_task_with_events: true }),
        ..Default::default()
    };
    answer_task(world, random, held, request)
}

/// Sends a completion and takes in what comes back.
pub fn answer_task(
    world: &mut World,
    random: &mut Random,
    held: Held,
    request: RespondWorkflowTaskCompletedRequest,
) -> Checked {
    let namespaces = world.settings.namespaces.clone();
    let own = namespaces.iter().find(|namespace| namespace.id == held.task.namespace_id).cloned();
    let kind = Kind::CompleteWorkflowTask(op::CompleteWorkflowTask {
        namespace: own,
        task: Some(held.task.clone()),
        request: Some(request),
        other_namespaces: namespaces,
        ..Default::default()
    });
    let lost = !world.calm && random.percent(world.settings.lost_polls);
    let answer = send(world, random, &held, kind)?;
    if let Some(answer::Kind::CompleteWorkflowTask(done)) = answer.kind {
        let tasks = done.activities.into_iter().filter_map(|started| started.task);
        let all: Vec<_> = done.new_task.and_then(|started| started.task).into_iter().chain(tasks).collect();
        for task in all.into_iter().filter(|_| !lost) {
            world.workers.hand_out(task);
        }
    }
    Ok(())
}

/// Sends a worker's answer for a task; what it says about stale ones is checked.
pub fn send(world: &mut World, random: &mut Random, held: &Held, kind: Kind) -> Checked<Answer> {
    let superseded = world.workers.is_superseded(held);
    let answer = world.call_workflow(random, &held.task.namespace_id, &held.task.workflow_id, kind)?;
    stale_tasks::check(held, superseded, &answer)?;
    world.workers.spend(held.clone());
    Ok(answer)
}

pub fn fail(world: &mut World, random: &mut Random) -> Checked {
    let Some(held) = take(world, random) else { return Ok(()) };
    let request = RespondWorkflowTaskFailedRequest {
        cause: WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure as i32,
        identity: "A".into(),
        ..Default::default()
    };
    let namespace = world.settings.namespaces.iter().find(|namespace| namespace.id == held.task.namespace_id).cloned();
    let kind = Kind::FailWorkflowTask(op::FailWorkflowTask {
        namespace,
        task: Some(held.task.clone()),
        request: Some(request),
    });
    send(world, random, &held, kind).map(|_| ())
}

/// A worker dies with its task.
pub fn lose(world: &mut World, random: &mut Random) -> Checked {
    if random.percent(50) {
        take(world, random);
    } else {
        world.workers.activity_tasks.pop_front();
    }
    Ok(())
}

/// A poller went away before it had its task.
pub fn give_back(world: &mut World, random: &mut Random) -> Checked {
    let held = match random.percent(50) {
        true => take(world, random),
        false => world.workers.activity_tasks.pop_front(),
    };
    let Some(held) = held else { return Ok(()) };
    let kind = Kind::ReturnTask(ReturnTask { task: Some(held.task.clone()) });
    world.call_workflow(random, &held.task.namespace_id, &held.task.workflow_id, kind).map(|_| ())
}

/// Nobody polls a sticky queue.
pub fn unqueue(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    let sticky: Vec<_> =
        world.softs[shard].workflow_tasks.values().filter(|task| task.queue.starts_with("sticky")).cloned().collect();
    let Some(task) = random.pick(&sticky).cloned() else { return Ok(()) };
    world.call(random, shard, Kind::UnqueueTask(UnqueueTask { task: Some(task) })).map(|_| ())
}

pub fn reset_sticky(world: &mut World, random: &mut Random) -> Checked {
    let namespace = world.namespace(random);
    let workflow_id = world.workflow_id(random);
    let run_id = clients::run_id(world, random, &namespace, &workflow_id);
    let kind = Kind::ResetSticky(op::ResetSticky {
        namespace: Some(namespace.clone()),
        workflow_id: workflow_id.clone(),
        run_id,
    });
    world.call_workflow(random, &namespace.id, &workflow_id, kind).map(|_| ())
}
