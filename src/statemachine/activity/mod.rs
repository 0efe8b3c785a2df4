//! Activities: one row each while pending, one file per operation.
//!
//! ```text
//!                 schedule (a command)
//!                      │
//!                      ▼        start_task                answered, or out of time
//!      ┌──────────► ready ──────────────────► started ──────────────────────────► closed
//!      │               │                        │  ▲                               ▲
//!      │ backoff over  │ pause                  │  └─ heartbeat                    │
//!      │               ▼      unpause           │ may be retried                   │
//!   in backoff ──► paused ─────────► ready      │                                  │
//!      ▲                                        │                                  │
//!      └────────────────────────────────────────┘   cancelled or out of time before it started
//! ```
//!
//! An attempt's start is no event: `ActivityTaskStarted` is written with the closing event, for the last attempt only,
//! so retries leave no trace in the history (SEMANTICS B5, B7). The row (`state::Activity`) holds the rest. Of all due
//! times of an activity only the earliest has a deadline row; a ready one has a row in the ready table.

pub mod cancel;
pub mod control;
pub mod deadlines;
pub mod evolve;
mod failures;
pub mod finish;
pub mod heartbeat;
mod lookup;
pub(crate) mod options;
pub mod retry;
pub mod schedule;
pub mod start;
mod texts;
mod transitions;
mod update_options;

#[cfg(test)]
mod tests;

use crate::reject::Decided;
use crate::workflow::Run;
use crate::{tables, task_queue, Context};

/// The worker that answers a workflow task and takes activities of it along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EagerTarget {
    pub identity: String,
    pub request_id: String,
}

/// A paused run hands no activity out. Their deadlines stay.
pub fn withhold_all(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.row.pending_activities == 0 {
        return Ok(());
    }
    for mut activity in tables::activities(ctx.txn, run.key)? {
        if std::mem::take(&mut activity.queued) {
            task_queue::ready_key_of_activity(run, &activity).delete(ctx.txn);
            tables::put_activity(ctx.txn, run.key, &activity);
        }
    }
    Ok(())
}

/// Makes ready what was withheld, if the run is not paused.
pub fn hand_out_all(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.row.pending_activities == 0 {
        return Ok(());
    }
    for mut activity in tables::activities(ctx.txn, run.key)? {
        let waits = !transitions::is_started(&activity) && activity.retry_due == 0 && activity.pause.is_none();
        if waits && !activity.queued {
            task_queue::queue_activity(ctx, run, &mut activity);
            tables::put_activity(ctx.txn, run.key, &activity);
        }
    }
    Ok(())
}

/// Makes the activities of a run ready that a reset has folded from events.
pub fn make_all_ready(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    for mut activity in tables::activities(ctx.txn, run.key)? {
        transitions::make_ready(ctx, run, &mut activity);
    }
    Ok(())
}

/// A run closes: nothing of its activities is due or ready any more. Their rows stay, for Describe.
pub fn close_all(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.row.pending_activities == 0 {
        return Ok(());
    }
    for mut activity in tables::activities(ctx.txn, run.key)? {
        transitions::release(ctx, run, &mut activity);
        tables::put_activity(ctx.txn, run.key, &activity);
    }
    Ok(())
}
