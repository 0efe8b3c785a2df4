//! Deleting a run: an open one is terminated first.

use proto::temporal::api::history::v1::WorkflowExecutionTerminatedEventAttributes;

use super::run::Extras;
use super::{close, retention, Run};
use crate::op::{answer, DeleteWorkflow, Done};
use crate::reject::Decided;
use crate::{tables, visibility};
use crate::{Context, Effect, Fault};

const REASON: &str = "Delete workflow execution";

pub fn decide(ctx: &mut Context<'_, '_>, op: &DeleteWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("delete op", "no namespace"))?;
    let mut run = Run::load(ctx, &namespace.id, &op.workflow_id, &op.run_id)?;
    if run.is_open() {
        let terminated = WorkflowExecutionTerminatedEventAttributes {
            reason: REASON.into(),
            identity: close::SERVER_IDENTITY.into(),
            ..Default::default()
        };
        close::terminate(ctx, &mut run, terminated, Extras::default())?;
        let key = run.key;
        close::finish(ctx, run)?;
        let Some(row) = tables::run(ctx.txn, key)? else { return Ok(answer::Kind::Done(Done {})) };
        run = Run::new(key, row);
    }
    remove(ctx, run)?;
    Ok(answer::Kind::Done(Done {}))
}

/// Removes every row of a closed run.
pub fn remove(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    visibility::remove(ctx, &mut run);
    if run.row.retention_deadline != 0 {
        retention::deadline(&run).delete(ctx.txn);
    }
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
