//! A worker is done with a workflow task, or has failed at it.

use bytes::Bytes;
use proto::temporal::api::enums::v1::QueryResultType;
use proto::temporal::api::query::v1::WorkflowQueryResult;
use proto::temporal::api::workflowservice::v1::{
    RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskCompletedResponse, RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
};
use statemachine::op::op::Kind as OpKind;
use statemachine::op::{answer, CompleteWorkflowTask, FailWorkflowTask};

use super::assemble;
use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Done, Frontend, PATIENCE};
use crate::api::token::Kind;
use crate::api::validate;
use crate::cluster::QueryResults;
use crate::config::Limits;

pub async fn completed(
    frontend: &Frontend,
    mut call: Call<RespondWorkflowTaskCompletedRequest>,
) -> Result<RespondWorkflowTaskCompletedResponse, ApiError> {
    let token = std::mem::replace(&mut call.message.task_token, Bytes::new());
    let namespace = frontend.namespace_of_task(&call, &call.message.namespace, Kind::WorkflowTask, &token).await?;
    let task = frontend.task(&namespace, Kind::WorkflowTask, &token)?;
    validate::length("Identity", &call.message.identity)?;
    if let Some(sticky) = &mut call.message.sticky_attributes {
        validate::task_queue(&mut sticky.worker_task_queue)?;
    }
    let results = query_results(std::mem::take(&mut call.message.query_results), &frontend.config.limits);
    let deadline = call.until(PATIENCE);
    let op = CompleteWorkflowTask {
        namespace: Some(facts(&namespace)),
        task: Some(task.clone()),
        request: Some(call.message),
    };
    let done = frontend.propose_answering(&task, OpKind::CompleteWorkflowTask(op), results, deadline).await?;
    let Done { shard, index, answer: answer::Kind::CompleteWorkflowTask(answer), queries } = done else {
        return Err(ApiError::Internal("a completed workflow task was answered by something else"));
    };
    let workflow_task = match answer.new_task {
        Some(started) => {
            let rows = frontend.read_after(shard, index, deadline).await?;
            Some(assemble::workflow_task(frontend, &rows, started, queries, assemble::Events::New)?)
        }
        None => None,
    };
    let activities = answer.activities.into_iter().map(|started| assemble::activity_task(frontend, started));
    Ok(RespondWorkflowTaskCompletedResponse {
        workflow_task,
        activity_tasks: activities.collect::<Result<_, _>>()?,
        reset_history_event_id: answer.reset_history_event_id,
    })
}

/// Answers that are too big become failures, so that who asked is told.
fn query_results(mut results: QueryResults, limits: &Limits) -> QueryResults {
    for result in results.values_mut() {
        if validate::blob_is_too_big(result.answer.as_ref(), limits) {
            *result = WorkflowQueryResult {
                result_type: QueryResultType::Failed as i32,
                error_message: "Blob data size exceeds limit.".into(),
                ..Default::default()
            };
        }
    }
    results
}

pub async fn failed(
    frontend: &Frontend,
    mut call: Call<RespondWorkflowTaskFailedRequest>,
) -> Result<RespondWorkflowTaskFailedResponse, ApiError> {
    let token = std::mem::replace(&mut call.message.task_token, Bytes::new());
    let namespace = frontend.namespace_of_task(&call, &call.message.namespace, Kind::WorkflowTask, &token).await?;
    let task = frontend.task(&namespace, Kind::WorkflowTask, &token)?;
    validate::length("Identity", &call.message.identity)?;
    let failure = call.message.failure.as_ref();
    if let Some(short) = validate::shortened_failure(failure, &frontend.config.limits) {
        call.message.failure = Some(short);
    }
    let deadline = call.until(PATIENCE);
    let workflow_id = task.workflow_id.clone();
    let op = FailWorkflowTask { namespace: Some(facts(&namespace)), task: Some(task), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, OpKind::FailWorkflowTask(op), deadline).await?;
    Ok(RespondWorkflowTaskFailedResponse {})
}
