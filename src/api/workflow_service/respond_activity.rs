//! Workers and outsiders tell how an activity goes: by the token of the task, or by naming the activity.
//!
//! What is too big to store ends the activity with a failure that says so, as Temporal's frontend decides it.

use proto::temporal::api::common::v1::Payloads;
use proto::temporal::api::failure::v1::failure::FailureInfo;
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::workflowservice::v1 as service;
use statemachine::op::op::Kind as OpKind;
use statemachine::op::{answer, CancelActivity, CompleteActivity, FailActivity, HeartbeatActivity, TaskRef};
use statemachine::{tables, Reject, TaskType};
use tokio::time::Instant;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{Frontend, Namespace, PATIENCE};
use crate::api::token::Kind;
use crate::api::validate;

const RESULT_TOO_BIG: &str = "Complete result exceeds size limit.";
const HEARTBEAT_TOO_BIG: &str = "Heartbeat details exceed size limit.";
const CANCEL_DETAILS_TOO_BIG: &str = "Cancel details exceed size limit.";

// ---- by token ----

pub async fn heartbeat(
    frontend: &Frontend,
    call: Call<service::RecordActivityTaskHeartbeatRequest>,
) -> Result<service::RecordActivityTaskHeartbeatResponse, ApiError> {
    let task = task_of(frontend, &call, &call.message.namespace, &call.message.task_token).await?;
    let deadline = call.until(PATIENCE);
    let service::RecordActivityTaskHeartbeatRequest { details, identity, .. } = call.message;
    let answer = beat(frontend, task, details, identity, deadline).await?;
    Ok(service::RecordActivityTaskHeartbeatResponse {
        cancel_requested: answer.cancel_requested,
        activity_paused: answer.paused,
        activity_reset: answer.reset,
    })
}

pub async fn completed(
    frontend: &Frontend,
    call: Call<service::RespondActivityTaskCompletedRequest>,
) -> Result<service::RespondActivityTaskCompletedResponse, ApiError> {
    let task = task_of(frontend, &call, &call.message.namespace, &call.message.task_token).await?;
    validate::length("Identity", &call.message.identity)?;
    let deadline = call.until(PATIENCE);
    #[expect(deprecated, reason = "older workers say their version so")]
    let service::RespondActivityTaskCompletedRequest { result, identity, worker_version, .. } = call.message;
    let op = CompleteActivity { task: Some(task), result, identity, worker_version };
    complete(frontend, op, deadline).await?;
    Ok(service::RespondActivityTaskCompletedResponse {})
}

pub async fn failed(
    frontend: &Frontend,
    call: Call<service::RespondActivityTaskFailedRequest>,
) -> Result<service::RespondActivityTaskFailedResponse, ApiError> {
    let task = task_of(frontend, &call, &call.message.namespace, &call.message.task_token).await?;
    let deadline = call.until(PATIENCE);
    let service::RespondActivityTaskFailedRequest { failure, identity, last_heartbeat_details, .. } = call.message;
    if failure.as_ref().is_some_and(|failure| !is_application_failure(failure)) {
        return Err(Reject::invalid_argument("Failure must have ApplicationFailureInfo.").into());
    }
    validate::length("Identity", &identity)?;
    let op = FailActivity {
        task: Some(task),
        failure,
        identity,
        has_last_heartbeat_details: last_heartbeat_details.is_some(),
        last_heartbeat_details,
    };
    Ok(service::RespondActivityTaskFailedResponse { failures: fail(frontend, op, deadline).await? })
}

pub async fn canceled(
    frontend: &Frontend,
    call: Call<service::RespondActivityTaskCanceledRequest>,
) -> Result<service::RespondActivityTaskCanceledResponse, ApiError> {
    let task = task_of(frontend, &call, &call.message.namespace, &call.message.task_token).await?;
    validate::length("Identity", &call.message.identity)?;
    let deadline = call.until(PATIENCE);
    let service::RespondActivityTaskCanceledRequest { details, identity, .. } = call.message;
    cancel(frontend, CancelActivity { task: Some(task), details, identity }, deadline).await?;
    Ok(service::RespondActivityTaskCanceledResponse {})
}

// ---- by id ----

pub async fn heartbeat_by_id(
    frontend: &Frontend,
    call: Call<service::RecordActivityTaskHeartbeatByIdRequest>,
) -> Result<service::RecordActivityTaskHeartbeatByIdResponse, ApiError> {
    let message = &call.message;
    let namespace = frontend.namespace(&call, &message.namespace).await?;
    let task = named(&namespace, &message.workflow_id, &message.run_id, &message.activity_id)?;
    let deadline = call.until(PATIENCE);
    let service::RecordActivityTaskHeartbeatByIdRequest { details, identity, .. } = call.message;
    let answer = beat(frontend, task, details, identity, deadline).await?;
    Ok(service::RecordActivityTaskHeartbeatByIdResponse {
        cancel_requested: answer.cancel_requested,
        activity_paused: answer.paused,
        activity_reset: answer.reset,
    })
}

pub async fn completed_by_id(
    frontend: &Frontend,
    call: Call<service::RespondActivityTaskCompletedByIdRequest>,
) -> Result<service::RespondActivityTaskCompletedByIdResponse, ApiError> {
    let message = &call.message;
    let namespace = frontend.namespace(&call, &message.namespace).await?;
    let task = named(&namespace, &message.workflow_id, &message.run_id, &message.activity_id)?;
    validate::length("Identity", &message.identity)?;
    let deadline = call.until(PATIENCE);
    let service::RespondActivityTaskCompletedByIdRequest { result, identity, .. } = call.message;
    let op = CompleteActivity { task: Some(task), result, identity, worker_version: None };
    complete(frontend, op, deadline).await?;
    Ok(service::RespondActivityTaskCompletedByIdResponse {})
}

pub async fn failed_by_id(
    frontend: &Frontend,
    call: Call<service::RespondActivityTaskFailedByIdRequest>,
) -> Result<service::RespondActivityTaskFailedByIdResponse, ApiError> {
    let message = &call.message;
    let namespace = frontend.namespace(&call, &message.namespace).await?;
    let task = named(&namespace, &message.workflow_id, &message.run_id, &message.activity_id)?;
    validate::length("Identity", &message.identity)?;
    let deadline = call.until(PATIENCE);
    // Temporal drops the last heartbeat's details of this call (SEMANTICS F).
    let service::RespondActivityTaskFailedByIdRequest { failure, identity, .. } = call.message;
    let op = FailActivity { task: Some(task), failure, identity, ..Default::default() };
    Ok(service::RespondActivityTaskFailedByIdResponse { failures: fail(frontend, op, deadline).await? })
}

pub async fn canceled_by_id(
    frontend: &Frontend,
    call: Call<service::RespondActivityTaskCanceledByIdRequest>,
) -> Result<service::RespondActivityTaskCanceledByIdResponse, ApiError> {
    let message = &call.message;
    let namespace = frontend.namespace(&call, &message.namespace).await?;
    let task = named(&namespace, &message.workflow_id, &message.run_id, &message.activity_id)?;
    validate::length("Identity", &message.identity)?;
    let deadline = call.until(PATIENCE);
    let service::RespondActivityTaskCanceledByIdRequest { details, identity, .. } = call.message;
    cancel(frontend, CancelActivity { task: Some(task), details, identity }, deadline).await?;
    Ok(service::RespondActivityTaskCanceledByIdResponse {})
}

// ---- both ----

async fn task_of<T>(frontend: &Frontend, call: &Call<T>, namespace: &str, token: &[u8]) -> Result<TaskRef, ApiError> {
    let namespace = frontend.namespace_of_task(call, namespace, Kind::ActivityTask, token).await?;
    frontend.task(&namespace, Kind::ActivityTask, token)
}

fn named(namespace: &Namespace, workflow_id: &str, run_id: &str, activity_id: &str) -> Result<TaskRef, Reject> {
    validate::set_and_short("WorkflowId", workflow_id)?;
    validate::set_and_short("ActivityId", activity_id)?;
    if !run_id.is_empty() && tables::id_bytes(run_id).is_none() {
        return Err(Reject::invalid_argument("RunId is not valid UUID."));
    }
    Ok(TaskRef {
        namespace_id: namespace.id.clone(),
        workflow_id: workflow_id.into(),
        run_id: run_id.into(),
        activity_id: activity_id.into(),
        task_type: TaskType::Activity as i32,
        ..Default::default()
    })
}

fn is_application_failure(failure: &Failure) -> bool {
    matches!(failure.failure_info, Some(FailureInfo::ApplicationFailureInfo(_)))
}

async fn propose(
    frontend: &Frontend,
    task: Option<&TaskRef>,
    op: OpKind,
    deadline: Instant,
) -> Result<answer::Kind, ApiError> {
    let task = task.ok_or(ApiError::Internal("an activity's op without its activity"))?;
    let (namespace_id, workflow_id) = (task.namespace_id.clone(), task.workflow_id.clone());
    Ok(frontend.propose(&namespace_id, &workflow_id, op, deadline).await?.answer)
}

async fn beat(
    frontend: &Frontend,
    task: TaskRef,
    details: Option<Payloads>,
    identity: String,
    deadline: Instant,
) -> Result<statemachine::op::HeartbeatAnswer, ApiError> {
    validate::length("Identity", &identity)?;
    if validate::blob_is_too_big(details.as_ref(), &frontend.config.limits) {
        give_up(frontend, Some(task), identity, HEARTBEAT_TOO_BIG, deadline).await?;
        return Ok(statemachine::op::HeartbeatAnswer { cancel_requested: true, ..Default::default() });
    }
    let op = HeartbeatActivity { task: Some(task.clone()), details, identity };
    match propose(frontend, Some(&task), OpKind::HeartbeatActivity(op), deadline).await? {
        answer::Kind::Heartbeat(answer) => Ok(answer),
        _ => Err(ApiError::Internal("a heartbeat was answered by something else")),
    }
}

async fn complete(frontend: &Frontend, op: CompleteActivity, deadline: Instant) -> Result<(), ApiError> {
    if validate::blob_is_too_big(op.result.as_ref(), &frontend.config.limits) {
        return give_up(frontend, op.task, op.identity, RESULT_TOO_BIG, deadline).await;
    }
    let task = op.task.clone();
    propose(frontend, task.as_ref(), OpKind::CompleteActivity(op), deadline).await.map(drop)
}

/// Returns the failures that the caller is told of: those that were too big to be kept whole.
async fn fail(frontend: &Frontend, mut op: FailActivity, deadline: Instant) -> Result<Vec<Failure>, ApiError> {
    let limits = &frontend.config.limits;
    let mut told = Vec::new();
    if validate::blob_is_too_big(op.last_heartbeat_details.as_ref(), limits) {
        told.push(validate::size_failure(HEARTBEAT_TOO_BIG, None));
        op.last_heartbeat_details = None;
        op.has_last_heartbeat_details = false;
    }
    if let Some(short) = validate::shortened_failure(op.failure.as_ref(), limits) {
        told.push(short.clone());
        op.failure = Some(short);
    }
    let task = op.task.clone();
    if let answer::Kind::FailActivity(answer) =
        propose(frontend, task.as_ref(), OpKind::FailActivity(op), deadline).await?
    {
        told.extend(answer.failures);
    }
    Ok(told)
}

async fn cancel(frontend: &Frontend, op: CancelActivity, deadline: Instant) -> Result<(), ApiError> {
    if validate::blob_is_too_big(op.details.as_ref(), &frontend.config.limits) {
        return give_up(frontend, op.task, op.identity, CANCEL_DETAILS_TOO_BIG, deadline).await;
    }
    let task = op.task.clone();
    propose(frontend, task.as_ref(), OpKind::CancelActivity(op), deadline).await.map(drop)
}

/// Ends the activity because what the worker sent is too big.
async fn give_up(
    frontend: &Frontend,
    task: Option<TaskRef>,
    identity: String,
    why: &str,
    deadline: Instant,
) -> Result<(), ApiError> {
    let failure = Some(validate::size_failure(why, None));
    let op = FailActivity { task: task.clone(), failure, identity, ..Default::default() };
    propose(frontend, task.as_ref(), OpKind::FailActivity(op), deadline).await.map(drop)
}
