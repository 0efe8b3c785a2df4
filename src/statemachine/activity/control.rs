//! What an operator may do to pending activities: pause, unpause, reset, change options. None of it is an event.

use prost_types::Duration;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::workflowservice::v1::{
    pause_activity_request, reset_activity_request, unpause_activity_request,
};

use super::transitions::{self, is_started};
use super::{deadlines, texts, update_options};
use crate::op::{answer, Done, NamespaceFacts, PauseActivity, ResetActivity, UnpauseActivity};
use crate::reject::Decided;
use crate::state::{Activity, PauseInfo};
use crate::time::nanos_or_zero;
use crate::workflow::Run;
use crate::{tables, Context, Fault, Reject};

pub use update_options::decide as update_options;

/// Which activities of a run an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'r> {
    Id(&'r str),
    Type(&'r str),
    All,
}

/// The run of a request, open or closed.
pub(super) fn run(
    ctx: &Context<'_, '_>,
    namespace: Option<&NamespaceFacts>,
    execution: Option<&WorkflowExecution>,
) -> Decided<Run> {
    let namespace = namespace.ok_or_else(|| Fault::corrupt("activity op", "no namespace"))?;
    let execution = execution.cloned().unwrap_or_default();
    Run::load(ctx, &namespace.id, &execution.workflow_id, &execution.run_id)
}

/// The pending activities of an open run that a request names; at least one.
pub(super) fn find(ctx: &Context<'_, '_>, run: &Run, target: Option<Target<'_>>) -> Decided<Vec<Activity>> {
    if !run.is_open() {
        return Err(Reject::workflow_completed().into());
    }
    let found = match target.ok_or_else(|| Reject::invalid_argument(texts::NO_TARGET))? {
        Target::Id(id) => match tables::activity_by_id(ctx.txn, run.key, id)? {
            Some(scheduled_event_id) => tables::activity(ctx.txn, run.key, scheduled_event_id)?.into_iter().collect(),
            None => Vec::new(),
        },
        Target::Type(name) => {
            let mut all = tables::activities(ctx.txn, run.key)?;
            all.retain(|activity| activity.activity_type == name);
            all
        }
        Target::All => tables::activities(ctx.txn, run.key)?,
    };
    if found.is_empty() {
        return Err(Reject::not_found(texts::NOT_PENDING).into());
    }
    Ok(found)
}

/// Holds activities: one that waits is not handed out, one that runs hears of it, and its next attempt waits. All
/// timeouts stand still. Pausing again changes nothing.
pub fn pause(ctx: &mut Context<'_, '_>, op: &PauseActivity) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("activity op", "no request"))?;
    let target = request.activity.as_ref().map(|activity| match activity {
        pause_activity_request::Activity::Id(id) => Target::Id(id),
        pause_activity_request::Activity::Type(name) => Target::Type(name),
    });
    let info = PauseInfo {
        identity: request.identity.clone(),
        reason: request.reason.clone(),
        time: ctx.now,
        request_id: request.request_id.clone(),
    };
    let run = run(ctx, op.namespace.as_ref(), request.execution.as_ref())?;
    each(ctx, run, target, |ctx, run, mut activity| {
        if activity.pause.is_some() {
            return;
        }
        transitions::release(ctx, run, &mut activity);
        if !is_started(&activity) {
            activity.stamp = run.next_stamp();
            activity.retry_due = 0;
        }
        activity.pause = Some(info.clone());
        tables::put_activity(ctx.txn, run.key, &activity);
    })
}

/// Lets paused activities go on: one that waits is ready at once, or after some jitter.
pub fn unpause(ctx: &mut Context<'_, '_>, op: &UnpauseActivity) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("activity op", "no request"))?;
    let target = request.activity.as_ref().map(|activity| match activity {
        unpause_activity_request::Activity::Id(id) => Target::Id(id),
        unpause_activity_request::Activity::Type(name) => Target::Type(name),
        unpause_activity_request::Activity::UnpauseAll(_) => Target::All,
    });
    let run = run(ctx, op.namespace.as_ref(), request.execution.as_ref())?;
    each(ctx, run, target, |ctx, run, mut activity| {
        if activity.pause.take().is_none() {
            return;
        }
        if request.reset_attempts {
            activity.attempt = 1;
        }
        if request.reset_heartbeat {
            transitions::forget_heartbeats(&mut activity);
        }
        if is_started(&activity) {
            deadlines::arm(ctx, run, &mut activity);
            tables::put_activity(ctx.txn, run.key, &activity);
        } else {
            let at = jittered(ctx, request.jitter.as_ref());
            transitions::reschedule(ctx, run, &mut activity, at);
        }
    })
}

/// Makes activities start over as attempt 1. One that waits is ready at once; a first attempt that runs goes on and
/// hears of it, a later one is cut off from its worker, because its token names an attempt that is gone.
pub fn reset(ctx: &mut Context<'_, '_>, op: &ResetActivity) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("activity op", "no request"))?;
    let target = request.activity.as_ref().map(|activity| match activity {
        reset_activity_request::Activity::Id(id) => Target::Id(id),
        reset_activity_request::Activity::Type(name) => Target::Type(name),
        reset_activity_request::Activity::MatchAll(_) => Target::All,
    });
    let run = run(ctx, op.namespace.as_ref(), request.execution.as_ref())?;
    each(ctx, run, target, |ctx, run, mut activity| {
        transitions::release(ctx, run, &mut activity);
        activity.attempt = 1;
        activity.reset_requested = true;
        activity.reset_heartbeats |= request.reset_heartbeat;
        if request.restore_original_options {
            update_options::restore(&mut activity);
        }
        let stays_paused = activity.pause.is_some() && request.keep_paused;
        if is_started(&activity) || stays_paused {
            deadlines::arm(ctx, run, &mut activity);
            tables::put_activity(ctx.txn, run.key, &activity);
            return;
        }
        activity.pause = None;
        let at = jittered(ctx, request.jitter.as_ref());
        transitions::reschedule(ctx, run, &mut activity, at);
    })
}

/// Applies a change to each activity a request names, unless this very call was applied before.
fn each(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    target: Option<Target<'_>>,
    mut change: impl FnMut(&mut Context<'_, '_>, &mut Run, Activity),
) -> Decided<answer::Kind> {
    if !run.seen_before(&ctx.op_id) {
        for activity in find(ctx, &run, target)? {
            change(ctx, &mut run, activity);
        }
        run.finish(ctx)?;
    }
    Ok(answer::Kind::Done(Done {}))
}

/// Now, or up to so much later.
fn jittered(ctx: &mut Context<'_, '_>, jitter: Option<&Duration>) -> i64 {
    let bound = u64::try_from(nanos_or_zero(jitter)).unwrap_or_default();
    ctx.now.saturating_add(ctx.jitter(bound) as i64)
}
