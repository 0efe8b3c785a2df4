//! Leaving a worker's own queue: the worker said so, or nobody polls it.

use super::{task, Run};
use crate::op::{answer, Done, UnqueueTask};
use crate::reject::Decided;
use crate::{op, Context, Fault, Reject};

/// The worker has evicted the run from its cache: the next task goes to the normal queue.
pub fn reset(ctx: &mut Context<'_, '_>, op: &op::ResetSticky) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("sticky op", "no namespace"))?;
    let mut run = Run::load_open(ctx, &namespace.id, &op.workflow_id, &op.run_id)?;
    if run.row.sticky.take().is_some() {
        run.finish(ctx)?;
    }
    Ok(answer::Kind::Done(Done {}))
}

/// A ready sticky task that nobody will take moves to the normal queue, whole history and all. Stickiness stays: the
/// worker may come back.
pub fn unqueue(ctx: &mut Context<'_, '_>, op: &UnqueueTask) -> Decided<answer::Kind> {
    let wanted = op.task.clone().unwrap_or_default();
    let mut run = Run::load_open(ctx, &wanted.namespace_id, &wanted.workflow_id, &wanted.run_id)?;
    let waits = run
        .row
        .task
        .as_ref()
        .is_some_and(|task| task.started_event_id == 0 && task.sticky && task.queued && task.stamp == wanted.stamp);
    if !waits {
        return Err(Reject::workflow_task_not_found().into());
    }
    task::disarm(ctx, &mut run);
    let normal = run.row.task_queue.clone();
    if let Some(task) = run.row.task.as_mut() {
        task.queue = normal;
        task.sticky = false;
    }
    run.finish(ctx)?;
    Ok(answer::Kind::Done(Done {}))
}
