//! A worker reports that it could not do a workflow task.

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;

use super::{close, task, Run};
use crate::op::{answer, Done, FailWorkflowTask};
use crate::reject::Decided;
use crate::{Context, Fault, Reject};

pub fn decide(ctx: &mut Context<'_, '_>, op: &FailWorkflowTask) -> Decided<answer::Kind> {
    let wanted = op.task.as_ref().ok_or_else(|| Fault::corrupt("task op", "no task"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("task op", "no request"))?;
    let mut run = Run::load(ctx, &wanted.namespace_id, &wanted.workflow_id, &wanted.run_id)?;
    if run.seen_before(&ctx.op_id) {
        return Ok(answer::Kind::Done(Done {}));
    }
    if !run.is_open() {
        return Err(Reject::workflow_completed().into());
    }
    if !task::is_running(&run, wanted) {
        return Err(Reject::workflow_task_not_found().into());
    }
    if request.cause() == Cause::GrpcMessageTooLarge {
        // Its answer will never fit, however often it is tried (Temporal: respondworkflowtaskfailed/api.go).
        close::terminate_by_server(ctx, &mut run, "GrpcMessageTooLarge")?;
        close::finish(ctx, run)?;
        return Ok(answer::Kind::Done(Done {}));
    }
    #[expect(deprecated, reason = "older SDKs send checksums")]
    let checksum = request.binary_checksum.as_str();
    task::fail(ctx, &mut run, request.cause(), request.failure.clone(), &request.identity, checksum)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)?;
    Ok(answer::Kind::Done(Done {}))
}
