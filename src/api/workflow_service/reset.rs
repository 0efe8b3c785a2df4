//! Resetting workflows.

use proto::temporal::api::workflow::v1::post_reset_operation::Variant;
use proto::temporal::api::workflowservice::v1::{ResetWorkflowExecutionRequest, ResetWorkflowExecutionResponse};
use statemachine::op::op::Kind;
use statemachine::op::{answer, ResetWorkflow};

use super::workflow_options;
use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Frontend, PATIENCE};
use crate::api::validate;

pub async fn reset(
    frontend: &Frontend,
    call: Call<ResetWorkflowExecutionRequest>,
) -> Result<ResetWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let request = &call.message;
    let workflow_id = validate::execution(request.workflow_execution.as_ref())?.workflow_id.clone();
    // Unlike other calls this one must bring its request id.
    validate::set_and_short("RequestId", &request.request_id)?;
    validate::length("Identity", &request.identity)?;
    for operation in &request.post_reset_operations {
        match &operation.variant {
            Some(Variant::UpdateWorkflowOptions(wanted)) => {
                workflow_options::check(wanted.workflow_execution_options.as_ref(), wanted.update_mask.as_ref())?;
            }
            Some(Variant::SignalWorkflow(wanted)) => {
                let limits = &frontend.config.limits;
                validate::set_and_short("SignalName", &wanted.signal_name)?;
                validate::links(&wanted.links, limits)?;
                validate::blob(wanted.input.as_ref(), limits)?;
                validate::blob(wanted.header.as_ref(), limits)?;
            }
            None => {} // Refused by the core, as an operation that nobody knows.
        }
    }
    let deadline = call.until(PATIENCE);
    let op = ResetWorkflow { namespace: Some(facts(&namespace)), request: Some(call.message) };
    let done = frontend.propose(&namespace.id, &workflow_id, Kind::ResetWorkflow(op), deadline).await?;
    match done.answer {
        answer::Kind::ResetWorkflow(made) => Ok(ResetWorkflowExecutionResponse { run_id: made.run_id }),
        _ => Err(ApiError::Internal("a reset was answered by something else")),
    }
}
