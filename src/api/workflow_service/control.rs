//! Cancelling, terminating and deleting workflows, and making them forget their sticky worker.

use proto::temporal::api::workflowservice::v1::{
    DeleteWorkflowExecutionRequest, DeleteWorkflowExecutionResponse, RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse, ResetStickyTaskQueueRequest, ResetStickyTaskQueueResponse,
    TerminateWorkflowExecutionRequest, TerminateWorkflowExecutionResponse,
};
use statemachine::op::op::Kind;
use statemachine::op::{DeleteWorkflow, RequestCancelWorkflow, ResetSticky, TerminateWorkflow};
use statemachine::reject::code;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Frontend, PATIENCE};
use crate::api::validate;
use crate::reads;

pub async fn request_cancel(
    frontend: &Frontend,
    mut call: Call<RequestCancelWorkflowExecutionRequest>,
) -> Result<RequestCancelWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let request = &mut call.message;
    let workflow_id = validate::execution(request.workflow_execution.as_ref())?.workflow_id.clone();
    validate::request_id(&mut request.request_id)?;
    validate::length("Identity", &request.identity)?;
    validate::links(&request.links, &frontend.config.limits)?;
    let deadline = call.until(PATIENCE);
    let op = RequestCancelWorkflow { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::RequestCancelWorkflow(op), deadline).await?;
    Ok(RequestCancelWorkflowExecutionResponse {})
}

pub async fn terminate(
    frontend: &Frontend,
    call: Call<TerminateWorkflowExecutionRequest>,
) -> Result<TerminateWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let request = &call.message;
    let workflow_id = validate::execution(request.workflow_execution.as_ref())?.workflow_id.clone();
    validate::length("Identity", &request.identity)?;
    validate::links(&request.links, &frontend.config.limits)?;
    validate::blob(request.details.as_ref(), &frontend.config.limits)?;
    let deadline = call.until(PATIENCE);
    let op = TerminateWorkflow { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::TerminateWorkflow(op), deadline).await?;
    Ok(TerminateWorkflowExecutionResponse {})
}

pub async fn delete(
    frontend: &Frontend,
    call: Call<DeleteWorkflowExecutionRequest>,
) -> Result<DeleteWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let execution = validate::execution(call.message.workflow_execution.as_ref())?;
    let (workflow_id, deadline) = (&execution.workflow_id, call.until(PATIENCE));
    // Nothing remembers what was deleted. So the run is named, that no other one goes when the op is sent again.
    let rows = frontend.read(&namespace.id, workflow_id, deadline).await?;
    let (_, run) = reads::describe::resolve(&rows, &namespace.id, workflow_id, &execution.run_id)?;
    let op =
        DeleteWorkflow { namespace: Some(facts(&namespace)), workflow_id: workflow_id.clone(), run_id: run.run_id };
    match frontend.propose(&namespace.id, workflow_id, Kind::DeleteWorkflow(op), deadline).await {
        // It was there a moment ago: deleted since, by this call if it was sent again.
        Err(ApiError::Reject(reject)) if reject.0.code == code::NOT_FOUND => {}
        done => drop(done?),
    }
    Ok(DeleteWorkflowExecutionResponse {})
}

pub async fn reset_sticky_task_queue(
    frontend: &Frontend,
    call: Call<ResetStickyTaskQueueRequest>,
) -> Result<ResetStickyTaskQueueResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let execution = validate::execution(call.message.execution.as_ref())?.clone();
    let op = ResetSticky {
        namespace: Some(facts(&namespace)),
        workflow_id: execution.workflow_id.clone(),
        run_id: execution.run_id,
    };
    frontend.propose(&namespace.id, &execution.workflow_id, Kind::ResetSticky(op), call.until(PATIENCE)).await?;
    Ok(ResetStickyTaskQueueResponse {})
}
