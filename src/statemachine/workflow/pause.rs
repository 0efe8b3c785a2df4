//! Pausing a workflow: it takes signals, results and cancel requests, and hands out no task until it is unpaused.
//!
//! A workflow task that waits stays where it is in the history and is only withheld; one that a worker has may still be
//! completed. Activities that a worker has go on; the others are withheld, also those that become due meanwhile.
//! Timeouts go on counting.

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    WorkflowExecutionPausedEventAttributes, WorkflowExecutionUnpausedEventAttributes,
};

use super::run::Extras;
use super::{close, task, Run};
use crate::op::{answer, Done, PauseWorkflow, UnpauseWorkflow};
use crate::reject::Decided;
use crate::{activity, Context, Fault, Reject};

pub fn pause(ctx: &mut Context<'_, '_>, op: &PauseWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("pause op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("pause op", "no request"))?;
    let mut run = Run::load(ctx, &namespace.id, &request.workflow_id, &request.run_id)?;
    if run.seen_before(&ctx.op_id) {
        return Ok(answer::Kind::Done(Done {}));
    }
    run.require_open()?;
    if let Some(pause) = &run.row.pause {
        if pause.request_id == request.request_id {
            return Ok(answer::Kind::Done(Done {}));
        }
        return Err(Reject::failed_precondition("workflow is already paused.").into());
    }
    let paused = WorkflowExecutionPausedEventAttributes {
        identity: request.identity.clone(),
        reason: request.reason.clone(),
        request_id: request.request_id.clone(),
    };
    run.record(ctx, Attributes::WorkflowExecutionPausedEventAttributes(paused), Extras::default())?;
    close::enforce_buffer_limits(ctx, &mut run)?;
    task::withhold(ctx, &mut run);
    activity::withhold_all(ctx, &mut run)?;
    run.finish(ctx)?;
    Ok(answer::Kind::Done(Done {}))
}

pub fn unpause(ctx: &mut Context<'_, '_>, op: &UnpauseWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("unpause op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("unpause op", "no request"))?;
    let mut run = Run::load(ctx, &namespace.id, &request.workflow_id, &request.run_id)?;
    if run.seen_before(&ctx.op_id) {
        return Ok(answer::Kind::Done(Done {}));
    }
    run.require_open()?;
    if run.row.pause.is_none() {
        return Err(Reject::failed_precondition("workflow is not paused.").into());
    }
    let unpaused = WorkflowExecutionUnpausedEventAttributes {
        identity: request.identity.clone(),
        reason: request.reason.clone(),
        request_id: request.request_id.clone(),
    };
    run.record(ctx, Attributes::WorkflowExecutionUnpausedEventAttributes(unpaused), Extras::default())?;
    close::enforce_buffer_limits(ctx, &mut run)?;
    activity::hand_out_all(ctx, &mut run)?;
    task::hand_out(ctx, &mut run);
    if run.row.first_task_deadline == 0 {
        task::schedule(ctx, &mut run, 0)?;
    }
    run.finish(ctx)?;
    Ok(answer::Kind::Done(Done {}))
}
