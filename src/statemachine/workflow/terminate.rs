//! Terminating a run from outside.

use proto::temporal::api::common::v1::{Payload, Payloads};
use proto::temporal::api::history::v1::WorkflowExecutionTerminatedEventAttributes;

use super::run::Extras;
use super::{close, Run};
use crate::op::{answer, Done, TerminateWorkflow};
use crate::reject::Decided;
use crate::{Context, Fault, Reject};

const REASON_DEFAULT: &str = "terminated by user via frontend";
const IDENTITY_DEFAULT: &str = "frontend-service";
const REASON_REPLACED: &str = "TerminateIfRunning WorkflowIdReusePolicy";

pub fn decide(ctx: &mut Context<'_, '_>, op: &TerminateWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("terminate op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("terminate op", "no request"))?;
    let execution = request.workflow_execution.clone().unwrap_or_default();
    let first_run_id = &request.first_execution_run_id;
    let run_id = if first_run_id.is_empty() { execution.run_id.as_str() } else { "" };
    let mut run = Run::load(ctx, &namespace.id, &execution.workflow_id, run_id)?;
    if run.seen_before(&ctx.op_id) {
        return Ok(answer::Kind::Done(Done {}));
    }
    if !run.is_open() {
        return Err(Reject::workflow_completed().into());
    }
    if !first_run_id.is_empty() && *first_run_id != run.row.first_run_id {
        return Err(Reject::not_found("workflow execution not found").into());
    }
    let or_default = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    let terminated = WorkflowExecutionTerminatedEventAttributes {
        reason: or_default(&request.reason, REASON_DEFAULT),
        details: request.details.clone(),
        identity: or_default(&request.identity, IDENTITY_DEFAULT),
    };
    let extras = Extras { links: request.links.clone(), ..Default::default() };
    close::terminate(ctx, &mut run, terminated, extras)?;
    close::finish(ctx, run)?;
    Ok(answer::Kind::Done(Done {}))
}

/// A running run makes way for a new one of the same id.
pub fn replaced(ctx: &mut Context<'_, '_>, mut run: Run, new_run_id: &str) -> Decided<()> {
    let text = format!("\"terminated by new runID: {new_run_id}\"");
    let details = Payloads {
        payloads: vec![Payload {
            metadata: [("encoding".to_owned(), bytes::Bytes::from_static(b"json/plain"))].into(),
            data: text.into(),
            ..Default::default()
        }],
    };
    let terminated = WorkflowExecutionTerminatedEventAttributes {
        reason: REASON_REPLACED.into(),
        details: Some(details),
        identity: close::SERVER_IDENTITY.into(),
    };
    close::terminate(ctx, &mut run, terminated, Extras::default())?;
    close::finish(ctx, run)
}
