//! What goes wrong: calls come again, tokens of old attempts are used, replicas restart, leaders change and forget.

use proto::temporal::api::workflowservice::v1::{
    RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskFailedRequest,
};
use statemachine::op::{self, op::Kind};
use statemachine::time::SECOND;
use statemachine::TaskType;

use super::{activities, commands};
use crate::invariants::stale_tasks;
use crate::{Checked, Random, World};

/// A client did not hear the answer and sends its call again, later.
pub fn repeat(world: &mut World, random: &mut Random) -> Checked {
    let at = random.index(world.recent.len());
    let Some(call) = world.recent.get(at).cloned() else { return Ok(()) };
    world.attempt(random, &call).map(|_| ())
}

/// A task that was answered is answered again by somebody who does not know.
pub fn stale(world: &mut World, random: &mut Random) -> Checked {
    let at = random.index(world.workers.spent.len());
    let Some(held) = world.workers.spent.get(at).cloned() else { return Ok(()) };
    let namespace = world.settings.namespaces.iter().find(|namespace| namespace.id == held.task.namespace_id).cloned();
    let task = Some(held.task.clone());
    let kind = if held.task.task_type == TaskType::Activity as i32 {
        activities::any_answer(random, &held.task)
    } else if random.percent(50) {
        let request = RespondWorkflowTaskFailedRequest::default();
        Kind::FailWorkflowTask(op::FailWorkflowTask { namespace, task, request: Some(request) })
    } else {
        let commands = vec![commands::complete_workflow()];
        let request = RespondWorkflowTaskCompletedRequest { commands, ..Default::default() };
        Kind::CompleteWorkflowTask(op::CompleteWorkflowTask {
            namespace,
            task,
            request: Some(request),
            ..Default::default()
        })
    };
    let before = stale_tasks::before(world, &held);
    let answer = world.call_workflow(random, &held.task.namespace_id, &held.task.workflow_id, kind)?;
    stale_tasks::check_spent(&held, before, &answer)
}

/// A leader looks at its tables again.
pub fn recover(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    world.recover(shard)
}

pub fn restart_follower(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    world.shards[shard].restart_follower(random);
    Ok(())
}

/// The leader's process ends and comes back with what was on disk, and nothing else.
pub fn reopen(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    world.shards[shard].reopen();
    world.recover(shard)
}

/// Another replica leads, with a clock of its own.
pub fn elect(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    world.shards[shard].elect(random)?;
    world.shards[shard].skew = if world.settings.skew == 0 { 0 } else { random.between(-3 * SECOND, 3 * SECOND) };
    world.recover(shard)
}
