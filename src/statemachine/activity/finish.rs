//! A worker answers an activity: completed, failed, or cancelled as asked.

use prost::Message;
use proto::temporal::api::enums::v1::RetryState;
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    ActivityTaskCanceledEventAttributes, ActivityTaskCompletedEventAttributes, ActivityTaskFailedEventAttributes,
};

use super::transitions::{self, is_started};
use super::{failures, lookup, texts};
use crate::op::{answer, CancelActivity, CompleteActivity, Done, FailActivity, FailActivityAnswer};
use crate::reject::Decided;
use crate::state::Activity;
use crate::workflow::Run;
use crate::{Context, Reject};

const DONE: Decided<answer::Kind> = Ok(answer::Kind::Done(Done {}));

fn is_too_large<M: Message>(ctx: &Context<'_, '_>, message: Option<&M>) -> bool {
    message.map(Message::encoded_len).unwrap_or_default() > ctx.limits.blob_size
}

/// The result of the running attempt; by id also of an activity that no worker has started.
pub fn complete(ctx: &mut Context<'_, '_>, op: &CompleteActivity) -> Decided<answer::Kind> {
    let mut run = lookup::run(ctx, op.task.as_ref())?;
    if run.seen_before(&ctx.op_id) {
        return DONE;
    }
    if is_too_large(ctx, op.result.as_ref()) {
        let activity = lookup::started(ctx, &run, op.task.as_ref())?;
        fail_too_large(ctx, run, activity, texts::RESULT_TOO_LARGE, &op.identity)?;
        return DONE;
    }
    let mut activity = lookup::pending(ctx, &run, op.task.as_ref())?;
    transitions::release(ctx, &run, &mut activity);
    if !is_started(&activity) {
        activity.started_time = ctx.now;
        activity.request_id.clear();
        activity.identity.clone_from(&op.identity);
    }
    transitions::close(ctx, run, &activity, |started_event_id| {
        Attributes::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
            result: op.result.clone(),
            scheduled_event_id: activity.scheduled_event_id,
            started_event_id,
            identity: op.identity.clone(),
            ..Default::default()
        })
    })?;
    DONE
}

/// The running attempt failed: it is retried, or the activity closes.
pub fn fail(ctx: &mut Context<'_, '_>, op: &FailActivity) -> Decided<answer::Kind> {
    let mut run = lookup::run(ctx, op.task.as_ref())?;
    let mut failures = Vec::new();
    let details_too_large = is_too_large(ctx, op.last_heartbeat_details.as_ref());
    if details_too_large {
        failures.push(failures::too_large(texts::HEARTBEAT_TOO_LARGE));
    }
    let mut failure = op.failure.clone();
    if let Some(found) = failure.as_mut().filter(|found| found.encoded_len() > ctx.limits.blob_size) {
        *found = failures::replaced(found, ctx.limits.blob_size);
        failures.push(found.clone());
    }
    let answer = answer::Kind::FailActivity(FailActivityAnswer { failures });
    if run.seen_before(&ctx.op_id) {
        return Ok(answer);
    }
    let mut activity = lookup::started(ctx, &run, op.task.as_ref())?;
    if op.has_last_heartbeat_details && !details_too_large {
        activity.heartbeat_details.clone_from(&op.last_heartbeat_details);
        activity.last_heartbeat_time = ctx.now;
    }
    activity.last_attempt_complete_time = ctx.now;
    retry_or_close(ctx, run, activity, failure, &op.identity)?;
    Ok(answer)
}

/// The worker has cancelled the running attempt, as it was asked to.
pub fn cancel(ctx: &mut Context<'_, '_>, op: &CancelActivity) -> Decided<answer::Kind> {
    let mut run = lookup::run(ctx, op.task.as_ref())?;
    if run.seen_before(&ctx.op_id) {
        return DONE;
    }
    let mut activity = lookup::started(ctx, &run, op.task.as_ref())?;
    if is_too_large(ctx, op.details.as_ref()) {
        fail_too_large(ctx, run, activity, texts::CANCEL_DETAILS_TOO_LARGE, &op.identity)?;
        return DONE;
    }
    if !activity.cancel_requested {
        return Err(Reject::invalid_argument(texts::CANCEL_NOT_REQUESTED).into());
    }
    transitions::release(ctx, &run, &mut activity);
    transitions::close(ctx, run, &activity, |started_event_id| {
        Attributes::ActivityTaskCanceledEventAttributes(ActivityTaskCanceledEventAttributes {
            details: op.details.clone(),
            latest_cancel_requested_event_id: activity.cancel_event_id,
            scheduled_event_id: activity.scheduled_event_id,
            started_event_id,
            identity: op.identity.clone(),
            ..Default::default()
        })
    })?;
    DONE
}

/// Something the worker sent is too large for the history: the activity fails for good.
pub(super) fn fail_too_large(
    ctx: &mut Context<'_, '_>,
    run: Run,
    activity: Activity,
    message: &str,
    identity: &str,
) -> Decided<()> {
    retry_or_close(ctx, run, activity, Some(failures::too_large(message)), identity)
}

fn retry_or_close(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    mut activity: Activity,
    failure: Option<Failure>,
    identity: &str,
) -> Decided<()> {
    let retry_state: RetryState = match transitions::retry(ctx, &mut run, &mut activity, failure.as_ref()) {
        Ok(()) => return run.finish(ctx),
        Err(state) => state,
    };
    transitions::release(ctx, &run, &mut activity);
    transitions::close(ctx, run, &activity, |started_event_id| {
        Attributes::ActivityTaskFailedEventAttributes(ActivityTaskFailedEventAttributes {
            failure,
            scheduled_event_id: activity.scheduled_event_id,
            started_event_id,
            identity: identity.into(),
            retry_state: retry_state as i32,
            ..Default::default()
        })
    })
}
