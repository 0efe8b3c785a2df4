//! A cooperative request to cancel. Asking twice, or asking a closed run, changes nothing and succeeds.

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::WorkflowExecutionCancelRequestedEventAttributes;

use super::run::Extras;
use super::{close, task, Run};
use crate::op::{answer, Done, RequestCancelWorkflow};
use crate::reject::Decided;
use crate::{Context, Fault, Reject};

pub fn decide(ctx: &mut Context<'_, '_>, op: &RequestCancelWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("cancel op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("cancel op", "no request"))?;
    let execution = request.workflow_execution.clone().unwrap_or_default();
    let first_run_id = &request.first_execution_run_id;
    let run_id = if first_run_id.is_empty() { execution.run_id.as_str() } else { "" };
    let mut run = Run::load(ctx, &namespace.id, &execution.workflow_id, run_id)?;
    if run.seen_before(&ctx.op_id) || !run.is_open() {
        return Ok(answer::Kind::Done(Done {}));
    }
    if !first_run_id.is_empty() && *first_run_id != run.row.first_run_id {
        return Err(Reject::not_found("workflow execution not found").into());
    }
    if run.row.cancel_requested {
        return Ok(answer::Kind::Done(Done {}));
    }
    let requested = WorkflowExecutionCancelRequestedEventAttributes {
        cause: request.reason.clone(),
        identity: request.identity.clone(),
        ..Default::default()
    };
    let extras = Extras { links: request.links.clone(), ..Default::default() };
    receive(ctx, run, requested, &request.request_id, extras)?;
    Ok(answer::Kind::Done(Done {}))
}

/// Records the request on an open run and finishes it; one that was asked before is left as it is.
pub fn receive(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    requested: WorkflowExecutionCancelRequestedEventAttributes,
    request_id: &str,
    extras: Extras,
) -> Decided<()> {
    if run.row.cancel_requested {
        return Ok(());
    }
    run.row.cancel_request_id = request_id.into();
    run.record(ctx, Attributes::WorkflowExecutionCancelRequestedEventAttributes(requested), extras)?;
    close::enforce_buffer_limits(ctx, &mut run)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}
