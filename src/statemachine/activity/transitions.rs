//! What every operation on an activity is made of. Each takes the row by reference; those that change what the ready
//! table or the deadline table hold must be called on a row that still describes what they hold: release first, then
//! change, then make it ready or arm it again.

use proto::temporal::api::enums::v1::RetryState;
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::ActivityTaskStartedEventAttributes;

use super::{deadlines, failures, retry};
use crate::reject::Decided;
use crate::state::Activity;
use crate::workflow::run::Extras;
use crate::workflow::{close, task, Run};
use crate::{tables, task_queue, Context};

pub fn is_started(activity: &Activity) -> bool {
    activity.started_time != 0
}

/// When retrying has to end; 0: never.
pub fn expires(activity: &Activity) -> i64 {
    match activity.schedule_to_close {
        0 => 0,
        timeout => activity.scheduled_time.saturating_add(timeout),
    }
}

/// Takes the activity out of the ready table and the deadline table.
pub fn release(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity) {
    if std::mem::take(&mut activity.queued) {
        task_queue::ready_key_of_activity(run, activity).delete(ctx.txn);
    }
    deadlines::disarm(ctx, run, activity);
}

/// The present attempt may be handed out now. Stores the row.
pub fn make_ready(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity) {
    activity.retry_due = 0;
    activity.current_retry_interval = interval(activity);
    task_queue::queue_activity(ctx, run, activity);
    deadlines::arm(ctx, run, activity);
    tables::put_activity(ctx.txn, run.key, activity);
}

/// A worker has the present attempt. Stores the row.
pub fn begin(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity, identity: &str, request_id: &str) {
    release(ctx, run, activity);
    activity.started_time = ctx.now;
    activity.request_id = request_id.into();
    activity.identity = identity.into();
    activity.last_worker_identity = identity.into();
    if activity.first_attempt_started_time == 0 {
        activity.first_attempt_started_time = ctx.now;
    }
    deadlines::arm(ctx, run, activity);
    tables::put_activity(ctx.txn, run.key, activity);
}

/// The worker that was to have the present attempt never saw it. Stores the row.
pub fn take_back(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity) {
    release(ctx, run, activity);
    if activity.first_attempt_started_time == activity.started_time {
        activity.first_attempt_started_time = 0;
    }
    activity.started_time = 0;
    activity.request_id.clear();
    activity.identity.clear();
    make_ready(ctx, run, activity);
}

/// After a failed attempt: the next one, after a delay, or why there is none. While the activity is paused the next
/// attempt waits without a limit. Stores the row and uses up the run's next stamp.
pub fn retry(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    activity: &mut Activity,
    failure: Option<&Failure>,
) -> Result<(), RetryState> {
    if activity.cancel_requested {
        return Err(RetryState::CancelRequested);
    }
    let policy = activity.retry_policy.clone().unwrap_or_default();
    if !retry::is_retryable(failure, &policy) {
        return Err(RetryState::NonRetryableFailure);
    }
    let paused = activity.pause.is_some();
    let asked = retry::asked_delay(failure);
    let delay = match retry::backoff(&policy, activity.attempt, asked, ctx.now, expires(activity)) {
        Ok(delay) => delay,
        Err(_) if paused => 0,
        Err(state) => return Err(state),
    };
    release(ctx, run, activity);
    next_attempt(run, activity, failure);
    if paused {
        activity.attempt_scheduled_time = ctx.now;
        activity.current_retry_interval = interval(activity);
    } else {
        activity.retry_due = ctx.now.saturating_add(delay);
        activity.attempt_scheduled_time = activity.retry_due;
        activity.current_retry_interval = delay;
        deadlines::arm(ctx, run, activity);
    }
    tables::put_activity(ctx.txn, run.key, activity);
    Ok(())
}

fn next_attempt(run: &mut Run, activity: &mut Activity, failure: Option<&Failure>) {
    activity.attempt += 1;
    activity.stamp = run.next_stamp();
    activity.started_time = 0;
    activity.request_id.clear();
    activity.last_failure = failure.map(failures::kept);
    forget_reset(activity);
}

/// What a reset asked of the attempt that has ended: the next one hears nothing of it, and starts without details if
/// they were to be reset.
fn forget_reset(activity: &mut Activity) {
    activity.reset_requested = false;
    if std::mem::take(&mut activity.reset_heartbeats) {
        forget_heartbeats(activity);
    }
}

pub fn forget_heartbeats(activity: &mut Activity) {
    activity.heartbeat_details = None;
    activity.last_heartbeat_time = 0;
}

/// An operator set the present attempt, which no worker has, to start at another time. The row must be released.
/// As in Temporal, the last failure is forgotten. Stores the row.
pub fn reschedule(ctx: &mut Context<'_, '_>, run: &mut Run, activity: &mut Activity, at: i64) {
    activity.stamp = run.next_stamp();
    activity.attempt_scheduled_time = at;
    activity.last_failure = None;
    forget_reset(activity);
    if at <= ctx.now {
        return make_ready(ctx, run, activity);
    }
    activity.retry_due = at;
    activity.current_retry_interval = interval(activity);
    deadlines::arm(ctx, run, activity);
    tables::put_activity(ctx.txn, run.key, activity);
}

/// The delay of the policy that goes with the present attempt.
fn interval(activity: &Activity) -> i64 {
    activity.retry_policy.as_ref().map(|policy| retry::interval(policy, activity.attempt)).unwrap_or_default()
}

/// Closes a released activity: writes down its start if a worker had it, then the event that `closing` makes of the
/// started event's id (0 if there is none yet), and lets the workflow hear of it.
pub fn close(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    activity: &Activity,
    closing: impl FnOnce(i64) -> Attributes,
) -> Decided<()> {
    let started_event_id = record_started(ctx, &mut run, activity)?;
    run.record(ctx, closing(started_event_id), Extras::default())?;
    close::enforce_buffer_limits(ctx, &mut run)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}

fn record_started(ctx: &mut Context<'_, '_>, run: &mut Run, activity: &Activity) -> Decided<i64> {
    if !is_started(activity) {
        return Ok(0);
    }
    let started = ActivityTaskStartedEventAttributes {
        scheduled_event_id: activity.scheduled_event_id,
        identity: activity.identity.clone(),
        request_id: activity.request_id.clone(),
        attempt: activity.attempt,
        last_failure: activity.last_failure.clone(),
        ..Default::default()
    };
    // The event is written late and has the time of what it tells of, as in Temporal.
    let now = std::mem::replace(&mut ctx.now, activity.started_time);
    let recorded = run.record(ctx, Attributes::ActivityTaskStartedEventAttributes(started), Extras::default());
    ctx.now = now;
    recorded
}
