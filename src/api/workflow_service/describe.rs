//! What one workflow is doing.

use proto::temporal::api::workflowservice::v1::{DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{Frontend, PATIENCE};
use crate::api::validate;
use crate::reads;

pub async fn describe(
    frontend: &Frontend,
    call: Call<DescribeWorkflowExecutionRequest>,
) -> Result<DescribeWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let execution = validate::execution(call.message.execution.as_ref())?;
    let rows = frontend.read(&namespace.id, &execution.workflow_id, call.until(PATIENCE)).await?;
    let now = crate::cluster::now();
    Ok(reads::describe::describe(&rows, &namespace.id, &execution.workflow_id, &execution.run_id, now)?)
}
