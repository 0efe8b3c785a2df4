//! Closed runs are kept for the retention of their namespace, then deleted with everything they left.

use super::{delete, Run};
use crate::op::{answer, ChangeRetention, SweepAnswer};
use crate::reject::Decided;
use crate::state::NamespaceHere;
use crate::tables::{self, DeadlineKey, DeadlineKind};
use crate::Context;

/// Runs looked at by one op.
const PAGE_MAX: u32 = 1024;

/// Arms the deletion of a run that has just closed, by what the shard was told last of its namespace.
pub fn arm(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    let told = tables::namespace_here(ctx.txn, &run.row.namespace_id)?.retention;
    if told > 0 {
        run.row.retention = told;
    }
    set(ctx, run);
    Ok(())
}

fn set(ctx: &mut Context<'_, '_>, run: &mut Run) {
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

/// Applies a changed retention to closed runs, a page at a time. Open ones get it when they close.
pub fn change(ctx: &mut Context<'_, '_>, op: &ChangeRetention) -> Decided<answer::Kind> {
    let here = tables::namespace_here(ctx.txn, &op.namespace_id)?;
    if here.retention != op.retention {
        let here = NamespaceHere { retention: op.retention, ..here };
        tables::put_namespace_here(ctx.txn, &op.namespace_id, &here);
    }
    let mut keys = Vec::new();
    let from = (!op.from.is_empty()).then_some(op.from.as_ref());
    let max = op.max.clamp(1, PAGE_MAX) as usize;
    tables::VisibleKey::scan(ctx.txn, &op.namespace_id, from, &mut |key, _| {
        keys.push(key.to_vec());
        keys.len() < max
    })?;
    let next = keys.last().filter(|_| keys.len() == max).cloned().unwrap_or_default();
    let mut changed = 0;
    for key in keys {
        let key = tables::VisibleKey::decode(&key)?;
        let Some(row) = tables::run(ctx.txn, key.run)?.filter(|_| key.closed) else { continue };
        if row.retention == op.retention {
            continue;
        }
        let mut run = Run::new(key.run, row);
        if run.row.retention_deadline != 0 {
            deadline(&run).delete(ctx.txn);
        }
        run.row.retention = op.retention;
        set(ctx, &mut run);
        tables::put_run(ctx.txn, run.key, &run.row);
        changed += 1;
    }
    Ok(answer::Kind::Sweep(SweepAnswer { next: next.into(), changed }))
}
