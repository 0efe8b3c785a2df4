//! Closed runs are kept for the retention of their namespace, then deleted with everything they left.

use super::{delete, Run};
use crate::op::{answer, ChangeRetention, Done};
use crate::reject::Decided;
use crate::tables::{self, DeadlineKey, DeadlineKind};
use crate::Context;

/// Arms the deletion of a run that has just closed.
pub fn arm(ctx: &mut Context<'_, '_>, run: &mut Run) {
    if run.row.retention <= 0 {
        return;
    }
    run.row.retention_deadline = run.row.close_time.saturating_add(run.row.retention);
    deadline(run).put(ctx.txn, "");
}

pub fn deadline(run: &Run) -> DeadlineKey {
    DeadlineKey { due: run.row.retention_deadline, kind: DeadlineKind::Retention, run: run.key, entity: 0, stamp: 0 }
}

/// The time is over.
pub fn expire(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    let Some(row) = tables::run(ctx.txn, key.run)? else { return Ok(()) };
    let run = Run::new(key.run, row);
    if run.is_open() || run.row.retention_deadline != key.due {
        return Ok(());
    }
    delete::remove(ctx, run)
}

/// Applies a changed retention to closed runs, a page at a time.
pub fn change(ctx: &mut Context<'_, '_>, op: &ChangeRetention) -> Decided<answer::Kind> {
    let mut keys = Vec::new();
    let from = (!op.from.is_empty()).then_some(op.from.as_ref());
    let max = op.max.clamp(1, 1024) as usize;
    tables::VisibleKey::scan(ctx.txn, &op.namespace_id, from, &mut |key, _| {
        keys.push(key.to_vec());
        keys.len() < max
    })?;
    for key in keys {
        let key = tables::VisibleKey::decode(&key)?;
        let Some(row) = tables::run(ctx.txn, key.run)?.filter(|_| key.closed) else { continue };
        let mut run = Run::new(key.run, row);
        if run.row.retention_deadline != 0 {
            deadline(&run).delete(ctx.txn);
        }
        run.row.retention = op.retention;
        arm(ctx, &mut run);
        tables::put_run(ctx.txn, run.key, &run.row);
    }
    Ok(answer::Kind::Done(Done {}))
}
