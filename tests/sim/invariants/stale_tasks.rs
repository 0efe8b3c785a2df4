//! Only the attempt that runs may be answered: a token of an earlier one, or of one that was answered, is refused.

use statemachine::op::{Answer, TaskRef};
use statemachine::tables::{self, RunKey};
use statemachine::TaskType;

use crate::workers::Held;
use crate::world::is_reject;
use crate::{require, Checked, World};

const NAME: &str = "stale_tasks";

/// `superseded`: a later attempt had been handed out before this answer came.
pub fn check(held: &Held, superseded: bool, answer: &Answer) -> Checked {
    require(!superseded || is_reject(answer), NAME, || {
        format!("{:?} was answered after a later attempt had started: {answer:?}", held.task)
    })
}

/// Whether the rows say that the very attempt runs.
pub fn before(world: &World, held: &Held) -> bool {
    let task = &held.task;
    let shard = world.shard_of(&task.namespace_id, &task.workflow_id);
    let Some(key) = RunKey::new(&task.namespace_id, &task.workflow_id, &task.run_id) else { return false };
    let kv = &world.shards[shard].kv;
    let run = tables::run(kv, key).ok().flatten().filter(|run| run.close_time == 0);
    let Some(run) = run else { return false };
    if task.task_type != TaskType::Activity as i32 {
        return run.task.is_some_and(|running| running.started_event_id != 0 && running.stamp == task.stamp);
    }
    let activity = tables::activity(kv, key, task.scheduled_event_id).ok().flatten();
    activity.is_some_and(|activity| runs(&activity, task))
}

fn runs(activity: &statemachine::state::Activity, task: &TaskRef) -> bool {
    activity.attempt == task.attempt && activity.started_time != 0 && activity.started_time == task.started_time
}

/// `ran`: what [`before`] said.
pub fn check_spent(held: &Held, ran: bool, answer: &Answer) -> Checked {
    require(ran || is_reject(answer), NAME, || {
        format!("{:?} does not run any more and was answered: {answer:?}", held.task)
    })
}
