//! Pausing workflows and letting them go on.

use proto::temporal::api::workflowservice::v1::{
    PauseWorkflowExecutionRequest, PauseWorkflowExecutionResponse, UnpauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionResponse,
};
use statemachine::op::op::Kind;
use statemachine::op::{PauseWorkflow, UnpauseWorkflow};
use statemachine::{tables, Reject};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Frontend, PATIENCE};
use crate::api::validate::{self, ID_BYTES_MAX};

pub async fn pause(
    frontend: &Frontend,
    mut call: Call<PauseWorkflowExecutionRequest>,
) -> Result<PauseWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let request = &mut call.message;
    check(&request.workflow_id, &request.run_id, [&request.reason, &request.identity, &request.request_id])?;
    validate::request_id(&mut request.request_id)?;
    let workflow_id = request.workflow_id.clone();
    let deadline = call.until(PATIENCE);
    let op = PauseWorkflow { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::PauseWorkflow(op), deadline).await?;
    Ok(PauseWorkflowExecutionResponse {})
}

pub async fn unpause(
    frontend: &Frontend,
    mut call: Call<UnpauseWorkflowExecutionRequest>,
) -> Result<UnpauseWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let request = &mut call.message;
    check(&request.workflow_id, &request.run_id, [&request.reason, &request.identity, &request.request_id])?;
    validate::request_id(&mut request.request_id)?;
    let workflow_id = request.workflow_id.clone();
    let deadline = call.until(PATIENCE);
    let op = UnpauseWorkflow { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::UnpauseWorkflow(op), deadline).await?;
    Ok(UnpauseWorkflowExecutionResponse {})
}

/// These two calls have texts of their own (golden `chain.pause_twice`).
fn check(workflow_id: &str, run_id: &str, texts: [&str; 3]) -> Result<(), Reject> {
    for (what, text) in ["reason", "identity", "request id"].into_iter().zip(texts) {
        if text.len() > ID_BYTES_MAX {
            return Err(Reject::invalid_argument(format!("{what} is too long.")));
        }
    }
    if workflow_id.is_empty() {
        return Err(Reject::invalid_argument("Can't load workflow execution.  WorkflowId not set."));
    }
    if !run_id.is_empty() && tables::id_bytes(run_id).is_none() {
        return Err(Reject::invalid_argument("RunId is not valid UUID."));
    }
    Ok(())
}
