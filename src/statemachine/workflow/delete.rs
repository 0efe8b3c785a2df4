//! Deleting a run: an open one is terminated first.

use proto::temporal::api::history::v1::WorkflowExecutionTerminatedEventAttributes;

use super::run::Extras;
use super::{close, retention, Run};
use crate::op::{answer, DeleteWorkflow, Done, DropNamespace, SweepAnswer};
use crate::reject::Decided;
use crate::state::NamespaceHere;
use crate::{callback, tables, visibility};
use crate::{Context, Effect, Fault};

/// Runs deleted by one op. Each may have a long history.
const PAGE_MAX: u32 = 64;
const REASON: &str = "Delete workflow execution";

pub fn decide(ctx: &mut Context<'_, '_>, op: &DeleteWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("delete op", "no namespace"))?;
    let run = Run::load(ctx, &namespace.id, &op.workflow_id, &op.run_id)?;
    delete(ctx, run)?;
    Ok(answer::Kind::Done(Done {}))
}

/// Deletes some runs of a deleted namespace, and lets none start any more. Runs that their ends bring forth, by
/// cron or retry, come up again: the last page is the one that leaves none.
pub fn drop_namespace(ctx: &mut Context<'_, '_>, op: &DropNamespace) -> Decided<answer::Kind> {
    let here = tables::namespace_here(ctx.txn, &op.namespace_id)?;
    if !here.dropped {
        tables::put_namespace_here(ctx.txn, &op.namespace_id, &NamespaceHere { dropped: true, ..here });
    }
    let max = op.max.clamp(1, PAGE_MAX) as usize;
    let mut keys = Vec::new();
    tables::VisibleKey::scan(ctx.txn, &op.namespace_id, None, &mut |key, _| {
        keys.push(key.to_vec());
        keys.len() < max
    })?;
    let next = keys.last().filter(|_| keys.len() == max).cloned().unwrap_or_default();
    for key in &keys {
        let visible = tables::VisibleKey::decode(key)?;
        match tables::run(ctx.txn, visible.run)? {
            Some(row) => delete(ctx, Run::new(visible.run, row))?,
            None => visible.delete(ctx.txn),
        }
    }
    Ok(answer::Kind::Sweep(SweepAnswer { next: next.into(), changed: keys.len() as u32 }))
}

fn delete(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    if run.is_open() {
        let terminated = WorkflowExecutionTerminatedEventAttributes {
            reason: REASON.into(),
            identity: close::SERVER_IDENTITY.into(),
            ..Default::default()
        };
        close::terminate(ctx, &mut run, terminated, Extras::default())?;
        let key = run.key;
        close::finish(ctx, run)?;
        let Some(row) = tables::run(ctx.txn, key)? else { return Ok(()) };
        run = Run::new(key, row);
    }
    remove(ctx, run)
}

/// Removes every row of a closed run.
pub fn remove(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    visibility::remove(ctx, &mut run);
    if run.row.retention_deadline != 0 {
        retention::deadline(&run).delete(ctx.txn);
    }
    callback::forget_all(ctx, &run)?;
    tables::delete_run(ctx.txn, run.key)?;
    let (namespace_id, workflow_id) = (&run.row.namespace_id, &run.row.workflow_id);
    let current = tables::current(ctx.txn, namespace_id, workflow_id)?;
    if current.is_some_and(|current| current.run_id == run.row.run_id) {
        tables::delete_current(ctx.txn, namespace_id, workflow_id);
    }
    ctx.txn.effect(Effect::RunChanged {
        namespace_id: run.row.namespace_id.clone(),
        workflow_id: run.row.workflow_id.clone(),
        run_id: run.row.run_id.clone(),
        next_event_id: run.row.next_event_id,
        closed: true,
    });
    Ok(())
}
