//! A call that a node sends again over an election, when its workflow id may have a newer run by then.
//!
//! Every run remembers the calls it took. A call that names no run goes to the latest one; before it does anything
//! there, the runs that were the latest a little earlier are asked whether it was theirs.

use super::{run, Run};
use crate::reject::Decided;
use crate::time::SECOND;
use crate::Context;

/// Longer than any caller waits for an answer, and so than a call is sent again.
const ASKED_FOR: i64 = 120 * SECOND;
/// Runs that are asked. Only an id that changes runs several times a second has more in that time.
const RUNS_ASKED_MAX: usize = 16;

/// The latest run of the id or an earlier one that took this very call before.
pub fn taken(ctx: &Context<'_, '_>, namespace_id: &str, workflow_id: &str) -> Decided<Option<Run>> {
    let Some(latest) = run::find(ctx.txn, namespace_id, workflow_id, "")? else { return Ok(None) };
    if latest.took(&ctx.op_id) {
        return Ok(Some(latest));
    }
    earlier(ctx, &latest, |run| Ok(run.took(&ctx.op_id)))
}

/// The newest of the runs before the latest that is the one.
pub fn earlier(
    ctx: &Context<'_, '_>,
    latest: &Run,
    is_the_one: impl Fn(&Run) -> Decided<bool>,
) -> Decided<Option<Run>> {
    let row = &latest.row;
    let (namespace_id, workflow_id) = (&row.namespace_id, &row.workflow_id);
    let (mut before, mut since) = (row.replaced_run_id.clone(), row.start_time);
    for _ in 0..RUNS_ASKED_MAX {
        if before.is_empty() || ctx.now.saturating_sub(since) > ASKED_FOR {
            break;
        }
        let Some(run) = run::find(ctx.txn, namespace_id, workflow_id, &before)? else { break };
        if is_the_one(&run)? {
            return Ok(Some(run));
        }
        (before, since) = (run.row.replaced_run_id, run.row.start_time);
    }
    Ok(None)
}
