//! Workflow updates: requests that a worker may refuse, and otherwise answers (SEMANTICS B15).
//!
//! ```text
//!   admitted ──sent with a workflow task──► accepted (event 41) ──► completed (event 43)
//!       │                                       └─ run closes: a failure is the outcome
//!       ├─ rejected by the worker: no event
//!       └─ aborted: its workflow task failed over a bad message; or the run closes
//! ```
//!
//! Admitted updates are rows, so a new leader knows them; nobody else can tell, as they are in no history. A refused
//! update's row stays for a while, because its caller may look only then; to everyone else it is unknown.

pub mod admit;
pub mod evolve;
pub mod messages;
pub mod outcome;
pub mod with_start;

use crate::reject::Decided;
use crate::state::update::Stage;
use crate::state::Update;
use crate::workflow::Run;
use crate::{tables, Context, Fault, Kv};

/// Refused updates whose rows a run keeps.
const REFUSED_MAX: usize = 16;

/// The updates of a run that are admitted or accepted, in the order of admission.
fn in_flight(kv: &dyn Kv, run: &Run) -> Result<Vec<Update>, Fault> {
    let rows = run.row.updates_in_flight.iter().map(|id| tables::update(kv, run.key, id));
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Whether a message must take the update to a worker; what an event admitted is in the history.
fn waits(row: &Update) -> bool {
    row.stage() == Stage::Admitted && row.sent_with == 0 && row.admitted_event_id == 0
}

/// Whether updates wait to be taken to a worker.
pub fn any_unsent(ctx: &Context<'_, '_>, run: &Run) -> Decided<bool> {
    Ok(in_flight(ctx.txn, run)?.iter().any(waits))
}

/// The task that was just started takes along what waits.
pub fn send(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    let stamp = run.row.task.as_ref().map(|task| task.stamp).unwrap_or_default();
    for mut row in in_flight(ctx.txn, run)? {
        if waits(&row) {
            row.sent_with = stamp;
            tables::put_update(ctx.txn, run.key, &row);
        }
    }
    Ok(())
}

/// The task that had taken updates along is lost: the next one takes them again.
pub fn take_back(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    for mut row in in_flight(ctx.txn, run)? {
        if row.stage() == Stage::Admitted && row.sent_with != 0 {
            row.sent_with = 0;
            tables::put_update(ctx.txn, run.key, &row);
        }
    }
    Ok(())
}

/// The run has closed: what no worker accepted is gone.
pub fn close_all(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    for row in in_flight(ctx.txn, run)? {
        if row.stage() == Stage::Admitted {
            tables::delete_update(ctx.txn, run.key, &row.update_id);
        }
        run.updates_changed = true;
    }
    run.row.updates_in_flight.clear();
    Ok(())
}

/// Ends an update without an event, and forgets the oldest that ended so.
fn refuse(ctx: &mut Context<'_, '_>, run: &mut Run, row: Update) {
    run.row.updates_in_flight.retain(|id| *id != row.update_id);
    run.row.updates_refused.push(row.update_id.clone());
    tables::put_update(ctx.txn, run.key, &Update { request: None, sent_with: 0, ..row });
    if run.row.updates_refused.len() > REFUSED_MAX {
        let oldest = run.row.updates_refused.remove(0);
        tables::delete_update(ctx.txn, run.key, &oldest);
    }
    run.updates_changed = true;
}

/// The task that took these updates along failed over a bad message: their callers are told so.
pub fn abort_sent(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    for row in in_flight(ctx.txn, run)? {
        if row.stage() == Stage::Admitted && row.sent_with != 0 {
            refuse(ctx, run, Update { stage: Stage::Aborted as i32, ..row });
        }
    }
    Ok(())
}
