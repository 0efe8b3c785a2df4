//! Due times of an activity: four timeouts and the end of its backoff. Only the earliest has a row. A heartbeat does
//! not rewrite the row: when it comes due, the real next due time is looked at again and armed if it is later.

use proto::temporal::api::enums::v1::{RetryState, TimeoutType};
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::ActivityTaskTimedOutEventAttributes;

use super::failures;
use super::transitions::{self, expires, is_started};
use crate::reject::Decided;
use crate::state::Activity;
use crate::tables::{self, DeadlineKey, DeadlineKind};
use crate::workflow::Run;
use crate::{Context, Effect};

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Retry,
    Timeout(TimeoutType),
}

/// Puts the row of the earliest due time, if there is one; the caller stores the activity's row.
pub fn arm(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity) {
    debug_assert_eq!(activity.deadline, 0, "an activity has one deadline row");
    let Some((at, _)) = next(activity) else { return };
    if run.row.run_deadline != 0 && at >= run.row.run_deadline {
        return;
    }
    activity.deadline = at;
    key(run, activity).put(ctx.txn, "");
}

/// Removes the row; the caller stores the activity's row.
pub fn disarm(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity) {
    if activity.deadline != 0 {
        key(run, activity).delete(ctx.txn);
        activity.deadline = 0;
    }
}

/// The armed row.
fn key(run: &Run, activity: &Activity) -> DeadlineKey {
    let kind = match activity.retry_due {
        due if due == activity.deadline => DeadlineKind::ActivityRetry,
        _ => DeadlineKind::ActivityTimeout,
    };
    DeadlineKey {
        due: activity.deadline,
        kind,
        run: run.key,
        entity: activity.scheduled_event_id,
        stamp: activity.stamp,
    }
}

/// The earliest due time. Of two at the same time it is the one that workflows see on Temporal: schedule-to-start while
/// no worker has it, and then schedule-to-close, because there an attempt never starts in the instant it is scheduled.
/// While paused nothing is due: all timeouts stand still.
fn next(activity: &Activity) -> Option<(i64, Due)> {
    if activity.pause.is_some() {
        return None;
    }
    let after =
        |from: i64, timeout: i64, kind| (timeout > 0).then(|| (from.saturating_add(timeout), Due::Timeout(kind)));
    let closes = match expires(activity) {
        0 => None,
        at => Some((at, Due::Timeout(TimeoutType::ScheduleToClose))),
    };
    let candidates = if is_started(activity) {
        let alive = activity.started_time.max(activity.last_heartbeat_time);
        [
            closes,
            after(activity.started_time, activity.start_to_close, TimeoutType::StartToClose),
            after(alive, activity.heartbeat, TimeoutType::Heartbeat),
        ]
    } else if activity.retry_due != 0 {
        [Some((activity.retry_due, Due::Retry)), closes, None]
    } else {
        [after(activity.attempt_scheduled_time, activity.schedule_to_start, TimeoutType::ScheduleToStart), closes, None]
    };
    candidates.into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// The open run and the activity that a row which came due belongs to, unless the row is stale.
fn due(ctx: &Context<'_, '_>, key: &DeadlineKey) -> Decided<Option<(Run, Activity)>> {
    let Some(run) = tables::run(ctx.txn, key.run)?.map(|row| Run::new(key.run, row)).filter(Run::is_open) else {
        return Ok(None);
    };
    let activity = tables::activity(ctx.txn, key.run, key.entity)?;
    let current = activity.filter(|activity| activity.stamp == key.stamp && activity.deadline == key.due);
    Ok(current.map(|activity| (run, Activity { deadline: 0, ..activity })))
}

/// A timeout's row came due; heartbeats may have moved the real due time on.
pub fn fire_timeout(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    let Some((run, mut activity)) = due(ctx, key)? else { return Ok(()) };
    match next(&activity) {
        Some((at, Due::Timeout(kind))) if at <= ctx.now => time_out(ctx, run, activity, kind),
        _ => {
            arm(ctx, &run, &mut activity);
            tables::put_activity(ctx.txn, run.key, &activity);
            Ok(())
        }
    }
}

/// The backoff is over: the next attempt may be handed out.
pub fn fire_retry(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    let Some((run, mut activity)) = due(ctx, key)? else { return Ok(()) };
    transitions::make_ready(ctx, &run, &mut activity);
    Ok(())
}

fn time_out(ctx: &mut Context<'_, '_>, mut run: Run, mut activity: Activity, kind: TimeoutType) -> Decided<()> {
    ctx.txn.effect(Effect::ActivityTimedOut { namespace: run.row.namespace.clone(), kind });
    let mut failure = failures::timeout(kind);
    let mut retry_state = RetryState::Timeout;
    if matches!(kind, TimeoutType::StartToClose | TimeoutType::Heartbeat) {
        match transitions::retry(ctx, &mut run, &mut activity, Some(&failure)) {
            Ok(()) => return run.finish(ctx),
            Err(RetryState::Timeout) => failure = failures::timeout(TimeoutType::ScheduleToClose),
            Err(state) => retry_state = state,
        }
    }
    transitions::release(ctx, &run, &mut activity);
    if let Some(FailureInfo::TimeoutFailureInfo(info)) = failure.failure_info.as_mut() {
        info.last_heartbeat_details.clone_from(&activity.heartbeat_details);
    }
    failure.cause = activity.last_failure.clone().map(Box::new);
    let scheduled_event_id = activity.scheduled_event_id;
    transitions::close(ctx, run, &activity, |started_event_id| {
        Attributes::ActivityTaskTimedOutEventAttributes(ActivityTaskTimedOutEventAttributes {
            failure: Some(failure),
            scheduled_event_id,
            started_event_id,
            retry_state: retry_state as i32,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PauseInfo;

    const NEVER: Option<(i64, Due)> = None;

    fn waiting() -> Activity {
        Activity {
            scheduled_time: 100,
            attempt_scheduled_time: 100,
            schedule_to_close: 50,
            schedule_to_start: 20,
            start_to_close: 10,
            heartbeat: 4,
            ..Default::default()
        }
    }

    #[test]
    fn the_earliest_due_time_wins() {
        let timeout = |at, kind| Some((at, Due::Timeout(kind)));
        let started = Activity { started_time: 110, ..waiting() };
        let cases = [
            (waiting(), timeout(120, TimeoutType::ScheduleToStart)),
            (Activity { schedule_to_start: 0, ..waiting() }, timeout(150, TimeoutType::ScheduleToClose)),
            (Activity { schedule_to_start: 0, schedule_to_close: 0, ..waiting() }, NEVER),
            (Activity { schedule_to_start: 50, ..waiting() }, timeout(150, TimeoutType::ScheduleToStart)),
            (started.clone(), timeout(114, TimeoutType::Heartbeat)),
            (Activity { last_heartbeat_time: 115, ..started.clone() }, timeout(119, TimeoutType::Heartbeat)),
            (Activity { last_heartbeat_time: 118, ..started.clone() }, timeout(120, TimeoutType::StartToClose)),
            (Activity { last_heartbeat_time: 90, ..started.clone() }, timeout(114, TimeoutType::Heartbeat)),
            (Activity { started_time: 145, ..waiting() }, timeout(149, TimeoutType::Heartbeat)),
            (Activity { started_time: 149, ..waiting() }, timeout(150, TimeoutType::ScheduleToClose)),
            (
                Activity { started_time: 100, start_to_close: 50, heartbeat: 0, ..waiting() },
                timeout(150, TimeoutType::ScheduleToClose),
            ),
            (Activity { retry_due: 150, attempt_scheduled_time: 150, ..waiting() }, Some((150, Due::Retry))),
            (Activity { pause: Some(PauseInfo::default()), ..started }, NEVER),
        ];
        for (activity, expected) in cases {
            assert_eq!(next(&activity), expected, "{activity:?}");
        }
    }
}
