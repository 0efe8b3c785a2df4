//! Signals: in order of arrival, each request id once (SEMANTICS B10).

use proto::temporal::api::enums::v1::ResourceExhaustedCause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::WorkflowExecutionSignaledEventAttributes;

use super::run::Extras;
use super::{close, resent, task, Run};
use crate::op::{answer, Done, SignalWorkflow};
use crate::reject::Decided;
use crate::{tables, Context, Fault, Reject};

pub fn decide(ctx: &mut Context<'_, '_>, op: &SignalWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("signal op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("signal op", "no request"))?;
    let execution = request.workflow_execution.clone().unwrap_or_default();
    let request_id = request_id(ctx, &request.request_id);
    let mut run = Run::load(ctx, &namespace.id, &execution.workflow_id, &execution.run_id)?;
    if is_repeated(ctx, &run, &request_id)? || was_for_earlier(ctx, &run, &execution.run_id, &request_id)? {
        return Ok(answer::Kind::Done(Done {}));
    }
    if !run.is_open() {
        return Err(Reject::workflow_completed().into());
    }
    let signaled = WorkflowExecutionSignaledEventAttributes {
        signal_name: request.signal_name.clone(),
        input: request.input.clone(),
        identity: request.identity.clone(),
        header: request.header.clone(),
        request_id,
        ..Default::default()
    };
    let extras = Extras { links: request.links.clone(), ..Default::default() };
    receive(ctx, &mut run, signaled, extras)?;
    if run.row.first_task_deadline == 0 {
        task::schedule(ctx, &mut run, 0)?;
    }
    run.finish(ctx)?;
    Ok(answer::Kind::Done(Done {}))
}

/// What the signal is known by: a call without a request id is still not taken twice.
pub fn request_id(ctx: &Context<'_, '_>, given: &str) -> String {
    if given.is_empty() && !ctx.op_id.is_empty() {
        return ctx.op_id.iter().fold("call-".to_owned(), |id, byte| id + &format!("{byte:02x}"));
    }
    given.to_owned()
}

/// Whether a signal that names no run was sent again, and the run that had it is not the latest any more.
fn was_for_earlier(ctx: &Context<'_, '_>, run: &Run, run_id: &str, request_id: &str) -> Decided<bool> {
    Ok(run_id.is_empty() && resent::earlier(ctx, run, |earlier| is_repeated(ctx, earlier, request_id))?.is_some())
}

/// Whether the run has had this request.
pub fn is_repeated(ctx: &Context<'_, '_>, run: &Run, request_id: &str) -> Decided<bool> {
    if cfg!(feature = "bug-no-dedup") {
        return Ok(false); // Planted: a retried signal counts again.
    }
    Ok(!request_id.is_empty() && tables::signal_seen(ctx.txn, run.key, request_id)?)
}

/// Records a signal on an open run; scheduling a task is the caller's.
pub fn receive(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    mut signaled: WorkflowExecutionSignaledEventAttributes,
    extras: Extras,
) -> Decided<()> {
    if run.row.close_attempted && run.task_started() {
        return Err(Reject::resource_exhausted(
            ResourceExhaustedCause::BusyWorkflow,
            "workflow operation can not be applied because workflow is closing",
        )
        .into());
    }
    if run.row.signals >= ctx.limits.signals {
        return Err(Reject::invalid_argument("exceeded workflow execution limit for signal events").into());
    }
    let request_id = std::mem::take(&mut signaled.request_id);
    if !request_id.is_empty() {
        tables::put_signal_seen(ctx.txn, run.key, &request_id);
    }
    run.record(ctx, Attributes::WorkflowExecutionSignaledEventAttributes(signaled), extras)?;
    close::enforce_buffer_limits(ctx, run)
}
