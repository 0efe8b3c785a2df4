//! Changing the options of a running workflow.

use prost_types::FieldMask;
use proto::temporal::api::workflow::v1::WorkflowExecutionOptions;
use proto::temporal::api::workflowservice::v1::{
    UpdateWorkflowExecutionOptionsRequest, UpdateWorkflowExecutionOptionsResponse,
};
use statemachine::op::op::Kind;
use statemachine::op::{answer, UpdateWorkflowOptions};
use statemachine::workflow::options::check_mask;
use statemachine::Reject;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Frontend, PATIENCE};
use crate::api::validate;

pub async fn update(
    frontend: &Frontend,
    call: Call<UpdateWorkflowExecutionOptionsRequest>,
) -> Result<UpdateWorkflowExecutionOptionsResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let request = &call.message;
    // A missing execution counts as one without a workflow id.
    let execution = request.workflow_execution.clone().unwrap_or_default();
    let workflow_id = validate::execution(Some(&execution))?.workflow_id.clone();
    validate::length("Identity", &request.identity)?;
    check(request.workflow_execution_options.as_ref(), request.update_mask.as_ref())?;
    let deadline = call.until(PATIENCE);
    let op = UpdateWorkflowOptions { namespace: Some(facts(&namespace)), request: Some(call.message) };
    let done = frontend.propose(&namespace.id, &workflow_id, Kind::UpdateWorkflowOptions(op), deadline).await?;
    match done.answer {
        answer::Kind::UpdateWorkflowOptions(changed) => Ok(UpdateWorkflowExecutionOptionsResponse {
            workflow_execution_options: changed.options,
            ..Default::default()
        }),
        _ => Err(ApiError::Internal("a change of workflow options was answered by something else")),
    }
}

/// What a change of options may look like, also as an operation after a reset.
pub fn check(options: Option<&WorkflowExecutionOptions>, mask: Option<&FieldMask>) -> Result<(), Reject> {
    let mask = mask.ok_or_else(|| Reject::invalid_argument("UpdateMask is required"))?;
    let options = options.ok_or_else(|| Reject::invalid_argument("WorkflowExecutionOptions is required"))?;
    check_mask(&mask.paths)?;
    validate::priority(options.priority.as_ref())
}
