//! Signals to workflows.

use proto::temporal::api::workflowservice::v1::{SignalWorkflowExecutionRequest, SignalWorkflowExecutionResponse};
use statemachine::op::op::Kind;
use statemachine::op::SignalWorkflow;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Frontend, PATIENCE};
use crate::api::validate;

pub async fn signal(
    frontend: &Frontend,
    mut call: Call<SignalWorkflowExecutionRequest>,
) -> Result<SignalWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let limits = &frontend.config.limits;
    let request = &mut call.message;
    let workflow_id = validate::execution(request.workflow_execution.as_ref())?.workflow_id.clone();
    validate::set_and_short("SignalName", &request.signal_name)?;
    validate::request_id(&mut request.request_id)?;
    validate::length("Identity", &request.identity)?;
    validate::links(&request.links, limits)?;
    validate::blob(request.input.as_ref(), limits)?;
    validate::blob(request.header.as_ref(), limits)?;
    let deadline = call.until(PATIENCE);
    let op = SignalWorkflow { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::SignalWorkflow(op), deadline).await?;
    Ok(SignalWorkflowExecutionResponse::default())
}
