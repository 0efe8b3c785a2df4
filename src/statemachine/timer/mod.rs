//! User timers: started and cancelled by commands, fired by their deadline.
//!
//! ```text
//!   StartTimer ─► pending ─► fired | cancelled
//! ```

use proto::temporal::api::command::v1::{CancelTimerCommandAttributes, StartTimerCommandAttributes};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    TimerCanceledEventAttributes, TimerFiredEventAttributes, TimerStartedEventAttributes,
};

use crate::reject::Decided;
use crate::state::Timer;
use crate::tables::{self, DeadlineKey, DeadlineKind};
use crate::time::{duration, nanos_of, TIMEOUT_MAX};
use crate::workflow::commands::{check_id, missing_attributes, Refused};
use crate::workflow::run::Extras;
use crate::workflow::{buffer, task, Run};
use crate::Context;

pub fn start(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    attributes: Option<&StartTimerCommandAttributes>,
    extras: Extras,
    completed_event_id: i64,
) -> Result<(), Refused> {
    let bad = |message: String| Refused::task(Cause::BadStartTimerAttributes, message);
    let attributes = attributes.ok_or_else(|| bad(missing_attributes("StartTimer")))?;
    check_id("TimerId", "StartTimerCommand", &attributes.timer_id).map_err(bad)?;
    let after = attributes.start_to_fire_timeout.as_ref().map(nanos_of).unwrap_or_default();
    if after < 0 {
        let id = &attributes.timer_id;
        return Err(bad(format!(
            "An invalid StartToFireTimeout is set on StartTimerCommand: negative duration. TimerId={id}"
        )));
    }
    if tables::timer(ctx.txn, run.key, &attributes.timer_id)?.is_some() {
        return Err(Refused::task(
            Cause::StartTimerDuplicateId,
            format!(
                "invalid history builder state for action: add-timer-started-event, TimerID: {}",
                attributes.timer_id
            ),
        ));
    }
    let started = TimerStartedEventAttributes {
        timer_id: attributes.timer_id.clone(),
        start_to_fire_timeout: attributes.start_to_fire_timeout.map(|_| duration(after.min(TIMEOUT_MAX))),
        workflow_task_completed_event_id: completed_event_id,
    };
    run.add_with(ctx, Attributes::TimerStartedEventAttributes(started), extras)?;
    if let Some(timer) = tables::timer(ctx.txn, run.key, &attributes.timer_id)? {
        deadline(run, &timer).put(ctx.txn, &timer.timer_id);
    }
    Ok(())
}

pub fn cancel(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    attributes: Option<&CancelTimerCommandAttributes>,
    extras: Extras,
    completed_event_id: i64,
    identity: &str,
) -> Result<(), Refused> {
    let bad = |message: String| Refused::task(Cause::BadCancelTimerAttributes, message);
    let attributes = attributes.ok_or_else(|| bad(missing_attributes("CancelTimer")))?;
    let timer_id = &attributes.timer_id;
    check_id("TimerId", "CancelTimerCommand", timer_id).map_err(bad)?;
    let pending = tables::timer(ctx.txn, run.key, timer_id)?;
    let started_event_id = match &pending {
        Some(timer) => {
            deadline(run, timer).delete(ctx.txn);
            timer.started_event_id
        }
        None => match buffer::take_timer_fired(ctx, run, timer_id)? {
            Some(started_event_id) => {
                run.row.pending_timers += 1; // Firing took it off; the Canceled event takes it off again.
                started_event_id
            }
            None => {
                return Err(bad(format!(
                    "invalid history builder state for action: add-timer-canceled-event, TimerID: {timer_id}"
                )))
            }
        },
    };
    let canceled = TimerCanceledEventAttributes {
        timer_id: timer_id.clone(),
        started_event_id,
        workflow_task_completed_event_id: completed_event_id,
        identity: identity.into(),
    };
    run.add_with(ctx, Attributes::TimerCanceledEventAttributes(canceled), extras)?;
    Ok(())
}

/// A timer's deadline has come.
pub fn fire(ctx: &mut Context<'_, '_>, key: &DeadlineKey, timer_id: &str) -> Decided<()> {
    let Some(row) = tables::run(ctx.txn, key.run)? else { return Ok(()) };
    let mut run = Run::new(key.run, row);
    let pending = tables::timer(ctx.txn, key.run, timer_id)?;
    let Some(timer) = pending.filter(|timer| timer.started_event_id == key.entity && run.is_open()) else {
        return Ok(());
    };
    let fired = TimerFiredEventAttributes { timer_id: timer.timer_id, started_event_id: timer.started_event_id };
    run.record(ctx, Attributes::TimerFiredEventAttributes(fired), Extras::default())?;
    crate::workflow::close::enforce_buffer_limits(ctx, &mut run)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}

/// Arms the timers of a run that a reset has folded from events: they keep their due times.
pub fn arm_all(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    for timer in tables::timers(ctx.txn, run.key)? {
        deadline(run, &timer).put(ctx.txn, &timer.timer_id);
    }
    Ok(())
}

/// A run closes: its timers will not fire.
pub fn close_all(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    if run.row.pending_timers == 0 {
        return Ok(());
    }
    for timer in tables::timers(ctx.txn, run.key)? {
        deadline(run, &timer).delete(ctx.txn);
    }
    Ok(())
}

fn deadline(run: &Run, timer: &Timer) -> DeadlineKey {
    DeadlineKey {
        due: timer.due,
        kind: DeadlineKind::Timer,
        run: run.key,
        entity: timer.started_event_id,
        stamp: timer.stamp,
    }
}
