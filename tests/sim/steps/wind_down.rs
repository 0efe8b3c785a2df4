//! The end of every run: nothing is lost any more, workers do their work, what is left is terminated and its retention
//! passes. Then nothing may be left of any workflow.

use proto::temporal::api::workflowservice::v1::RespondWorkflowTaskCompletedRequest;
use statemachine::op::{op::Kind, AckOutbox, Tick};
use statemachine::tables::DeadlineKey;
use statemachine::time::{DAY, SECOND};
use statemachine::TaskType;

use super::{activities, clients, commands, delivery, tasks};
use crate::view::ShardView;
use crate::{invariants, require, Checked, Random, Violation, World};

/// Rounds of work until nothing moves; a chain of children takes some.
const ROUNDS_MAX: usize = 60;

pub fn carry_out(world: &mut World, random: &mut Random) -> Checked {
    world.calm = true;
    for shard in &mut world.shards {
        shard.skew = 0;
    }
    for round in 0..ROUNDS_MAX {
        world.now += SECOND;
        let worked = work(world, random)?;
        settle(world, random)?;
        if !worked || round > ROUNDS_MAX / 2 {
            break;
        }
    }
    invariants::check_all(world, random)?;
    invariants::answered::check(world)?;
    for _ in 0..ROUNDS_MAX {
        if !terminate_all(world, random)? {
            break;
        }
        settle(world, random)?;
    }
    invariants::check_all(world, random)?;
    world.now += 2 * DAY;
    settle(world, random)?;
    invariants::check_all(world, random)?;
    invariants::nothing_left::check(world)
}

/// Brings all messages and fires all that is due.
fn settle(world: &mut World, random: &mut Random) -> Checked {
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for shard in 0..world.shards.len() {
            world.recover(shard)?;
            moved |= deliver_all(world, random, shard)?;
            let ids = std::mem::take(&mut world.softs[shard].applied);
            if !ids.is_empty() {
                world.call(random, shard, Kind::AckOutbox(AckOutbox { ids }))?;
            }
            let first = DeadlineKey::first(&world.shards[shard].kv)
                .map_err(|fault| Violation { invariant: "no_fault", what: fault.to_string() })?;
            if first.is_some_and(|first| first.due <= world.now) {
                moved = true;
                world.call(random, shard, Kind::Tick(Tick { max: 64 }))?;
            }
        }
        if !moved {
            return Ok(());
        }
    }
    require(false, "comes_to_rest", || "messages and deadlines never end".to_owned())
}

/// Delivers what waits. A run that is about to close refuses signals until its task ends; those stay. Whether one was
/// taken.
fn deliver_all(world: &mut World, random: &mut Random, shard: usize) -> Checked<bool> {
    let (mut moved, mut refused) = (false, 0);
    while (1..=200).contains(&world.softs[shard].outbox.len()) && refused < 4 * world.softs[shard].outbox.len() {
        if delivery::deliver_from(world, random, shard)? {
            moved = true;
            refused = 0;
        } else {
            refused += 1;
        }
    }
    Ok(moved)
}

/// Workers take every task there is and finish it. Whether there was one.
fn work(world: &mut World, random: &mut Random) -> Checked<bool> {
    let mut any = false;
    for shard in 0..world.shards.len() {
        world.recover(shard)?;
        let waiting = world.softs[shard].workflow_tasks.len() + world.softs[shard].activity_tasks.len();
        any |= waiting > 0;
    }
    for _ in 0..400 {
        let mut polled = false;
        for task_type in [TaskType::Workflow, TaskType::Activity] {
            polled |= tasks::poll_queue(world, random, task_type)?;
        }
        while let Some(held) = world.workers.workflow_tasks.pop_front() {
            let request = RespondWorkflowTaskCompletedRequest {
                commands: vec![commands::complete_workflow()],
                ..Default::default()
            };
            tasks::answer_task(world, random, held, request)?;
        }
        while !world.workers.activity_tasks.is_empty() {
            activities::complete(world, random)?;
        }
        if !polled && random.percent(20) {
            break;
        }
    }
    Ok(any)
}

fn terminate_all(world: &mut World, random: &mut Random) -> Checked<bool> {
    let mut any = false;
    for shard in 0..world.shards.len() {
        let open: Vec<_> =
            ShardView::read(&world.shards[shard].kv)?.runs.into_iter().filter(|run| run.close_time == 0).collect();
        for run in open {
            any = true;
            let namespace =
                world.settings.namespaces.iter().find(|namespace| namespace.id == run.namespace_id).cloned();
            let namespace = namespace.unwrap_or_default();
            clients::terminate_run(world, random, &namespace, &run.workflow_id, run.run_id)?;
        }
    }
    Ok(any)
}
