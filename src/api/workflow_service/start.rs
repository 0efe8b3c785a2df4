//! Starting workflows.

use proto::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, SignalWithStartWorkflowExecutionResponse, StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
};
use statemachine::op::op::Kind;
use statemachine::op::{answer, SignalWithStart, StartWorkflow};
use tokio::time::Instant;

use super::assemble;
use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, require_registered, Done, Frontend, PATIENCE};
use crate::api::{search_attributes, validate};
use crate::cluster::Queries;

pub async fn start(
    frontend: &Frontend,
    mut call: Call<StartWorkflowExecutionRequest>,
) -> Result<StartWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let _admitted = frontend.admission.admit(&namespace.id, Instant::now())?;
    require_registered(&namespace)?;
    validate::start(&mut call.message, &frontend.config.limits, &frontend.config.callbacks)?;
    let facts = facts(&namespace);
    search_attributes::prepare(&mut call.message.search_attributes, &facts)?;
    call.message.request_eager_execution &= frontend.config.features.eager_workflow_start;
    let deadline = call.until(PATIENCE);
    let workflow_id = call.message.workflow_id.clone();
    let op = StartWorkflow { namespace: Some(facts), request: Some(call.message) };
    let done = frontend.propose(&namespace.id, &workflow_id, Kind::StartWorkflow(op), deadline).await?;
    let Done { shard, index, answer: answer::Kind::StartWorkflow(answer), .. } = done else {
        return Err(ApiError::Internal("a start was answered by something else"));
    };
    let eager_workflow_task = match answer.eager_task {
        Some(task) => {
            let rows = frontend.read_after(shard, index, deadline).await?;
            Some(assemble::workflow_task(frontend, &rows, task, Queries::new(), assemble::Events::AsQueued)?)
        }
        None => None,
    };
    Ok(StartWorkflowExecutionResponse {
        run_id: answer.run_id,
        started: answer.started,
        status: answer.status,
        eager_workflow_task,
        link: answer.link,
        ..Default::default()
    })
}

pub async fn signal_with_start(
    frontend: &Frontend,
    mut call: Call<SignalWithStartWorkflowExecutionRequest>,
) -> Result<SignalWithStartWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let _admitted = frontend.admission.admit(&namespace.id, Instant::now())?;
    require_registered(&namespace)?;
    validate::signal_with_start(&mut call.message, &frontend.config.limits)?;
    let facts = facts(&namespace);
    search_attributes::prepare(&mut call.message.search_attributes, &facts)?;
    let deadline = call.until(PATIENCE);
    let workflow_id = call.message.workflow_id.clone();
    let op = SignalWithStart { namespace: Some(facts), request: Some(call.message) };
    let done = frontend.propose(&namespace.id, &workflow_id, Kind::SignalWithStart(op), deadline).await?;
    let answer::Kind::StartWorkflow(answer) = done.answer else {
        return Err(ApiError::Internal("a signal-with-start was answered by something else"));
    };
    Ok(SignalWithStartWorkflowExecutionResponse {
        run_id: answer.run_id,
        started: answer.started,
        ..Default::default()
    })
}
