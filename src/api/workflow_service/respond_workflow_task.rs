//! A worker is done with a workflow task, or has failed at it.

use bytes::Bytes;
use proto::temporal::api::command::v1::{command, Command};
use proto::temporal::api::enums::v1::QueryResultType;
use proto::temporal::api::query::v1::WorkflowQueryResult;
use proto::temporal::api::workflowservice::v1::{
    RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskCompletedResponse, RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
};
use statemachine::op::op::Kind as OpKind;
use statemachine::op::{answer, CompleteWorkflowTask, FailWorkflowTask, NamespaceFacts};
use statemachine::state;
use tokio::time::Instant;

use super::assemble;
use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, is_bad_binary, Done, Frontend, PATIENCE};
use crate::api::token::Kind;
use crate::api::validate;
use crate::cluster::{NamespaceError, QueryResults};
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
    let ends = call.message.commands.iter().any(ends_run);
    let other_namespaces = other_namespaces(frontend, &namespace, &call.message.commands).await?;
    #[expect(deprecated, reason = "older workers send checksums")]
    let bad_binary = is_bad_binary(&namespace, &call.message.binary_checksum);
    let op = CompleteWorkflowTask {
        bad_binary,
        namespace: Some(facts(&namespace)),
        task: Some(task.clone()),
        request: Some(call.message),
        other_namespaces,
    };
    let done = frontend.propose_answering(&task, OpKind::CompleteWorkflowTask(op), results, deadline).await?;
    frontend.admission.answered(Instant::now(), usize::from(ends));
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

fn ends_run(command: &Command) -> bool {
    use command::Attributes as A;
    matches!(
        command.attributes,
        Some(
            A::CompleteWorkflowExecutionCommandAttributes(_)
                | A::FailWorkflowExecutionCommandAttributes(_)
                | A::CancelWorkflowExecutionCommandAttributes(_)
        )
    )
}

/// The facts of the namespaces that commands name beside their own; one that is not known is left out.
async fn other_namespaces(
    frontend: &Frontend,
    own: &state::Namespace,
    commands: &[Command],
) -> Result<Vec<NamespaceFacts>, ApiError> {
    let own = own.info.as_ref().map(|info| info.name.as_str()).unwrap_or_default();
    let mut names: Vec<&str> = commands.iter().filter_map(named_namespace).filter(|name| *name != own).collect();
    names.sort_unstable();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        match frontend.namespaces.by_name(name).await {
            Ok(namespace) => found.push(facts(&namespace)),
            Err(NamespaceError::NotFound) => {}
            Err(NamespaceError::Route(error)) => return Err(error.into()),
        }
    }
    Ok(found)
}

#[expect(deprecated, reason = "the namespace fields are still sent")]
fn named_namespace(command: &Command) -> Option<&str> {
    use command::Attributes as A;
    let name = match command.attributes.as_ref()? {
        A::StartChildWorkflowExecutionCommandAttributes(sent) => &sent.namespace,
        A::SignalExternalWorkflowExecutionCommandAttributes(sent) => &sent.namespace,
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(sent) => &sent.namespace,
        _ => return None,
    };
    (!name.is_empty()).then_some(name.as_str())
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
