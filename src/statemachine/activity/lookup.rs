//! Finding the activity that a worker's answer is about.

use super::texts;
use super::transitions::is_started;
use crate::op::TaskRef;
use crate::reject::Decided;
use crate::state::Activity;
use crate::workflow::Run;
use crate::{tables, Context, Fault, Reject};

/// The run a reference names, open or closed.
pub fn run(ctx: &Context<'_, '_>, task: Option<&TaskRef>) -> Decided<Run> {
    let task = reference(task)?;
    Run::load(ctx, &task.namespace_id, &task.workflow_id, &task.run_id)
}

/// The activity that a worker works on: the very attempt by token, any attempt by id.
pub fn started(ctx: &Context<'_, '_>, run: &Run, task: Option<&TaskRef>) -> Decided<Activity> {
    let activity = pending(ctx, run, task)?;
    if !is_started(&activity) {
        return Err(not_running());
    }
    Ok(activity)
}

/// Like [`started`], but by id the activity need not have started.
pub fn pending(ctx: &Context<'_, '_>, run: &Run, task: Option<&TaskRef>) -> Decided<Activity> {
    if !run.is_open() {
        return Err(Reject::workflow_completed().into());
    }
    let task = reference(task)?;
    if task.scheduled_event_id == 0 {
        return by_id(ctx, run, &task.activity_id);
    }
    let activity = tables::activity(ctx.txn, run.key, task.scheduled_event_id)?;
    activity.filter(|activity| is_attempt(activity, task)).ok_or_else(not_running)
}

fn by_id(ctx: &Context<'_, '_>, run: &Run, activity_id: &str) -> Decided<Activity> {
    let found = match tables::activity_by_id(ctx.txn, run.key, activity_id)? {
        Some(scheduled_event_id) => tables::activity(ctx.txn, run.key, scheduled_event_id)?,
        None => None,
    };
    Ok(found.ok_or_else(|| Reject::not_found(texts::unknown_id(activity_id)))?)
}

/// Whether a token is that of the running attempt. After a reset two attempts may have the same number, so the time
/// counts as well; the stamp does not, because changed options leave a running attempt alone.
fn is_attempt(activity: &Activity, task: &TaskRef) -> bool {
    if cfg!(feature = "bug-stale-token") {
        return is_started(activity); // Planted: the token of an earlier attempt answers for the one that runs.
    }
    is_started(activity)
        && activity.attempt == task.attempt
        && (task.started_time == 0 || task.started_time == activity.started_time)
}

fn reference(task: Option<&TaskRef>) -> Decided<&TaskRef> {
    Ok(task.ok_or_else(|| Fault::corrupt("activity op", "no task"))?)
}

pub fn not_running() -> crate::reject::Stop {
    Reject::not_found(texts::NOT_RUNNING).into()
}
