//! Operators pause, unpause, reset and change activities of running workflows.

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::workflowservice::v1 as service;
use statemachine::op::op::Kind;
use statemachine::op::{answer, PauseActivity, ResetActivity, UnpauseActivity, UpdateActivityOptions};
use statemachine::{tables, Reject};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Frontend, PATIENCE};
use crate::api::validate;

pub async fn pause(
    frontend: &Frontend,
    mut call: Call<service::PauseActivityRequest>,
) -> Result<service::PauseActivityResponse, ApiError> {
    use service::pause_activity_request::Activity;
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let workflow_id = target(call.message.execution.as_ref())?;
    require_activity(match &call.message.activity {
        Some(Activity::Id(name) | Activity::Type(name)) => !name.is_empty(),
        None => false,
    })?;
    validate::request_id(&mut call.message.request_id)?;
    validate::length("Identity", &call.message.identity)?;
    let deadline = call.until(PATIENCE);
    let op = PauseActivity { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::PauseActivity(op), deadline).await?;
    Ok(service::PauseActivityResponse {})
}

pub async fn unpause(
    frontend: &Frontend,
    mut call: Call<service::UnpauseActivityRequest>,
) -> Result<service::UnpauseActivityResponse, ApiError> {
    use service::unpause_activity_request::Activity;
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let workflow_id = target(call.message.execution.as_ref())?;
    require_activity(match &call.message.activity {
        Some(Activity::Id(name) | Activity::Type(name)) => !name.is_empty(),
        Some(Activity::UnpauseAll(all)) => *all,
        None => false,
    })?;
    validate::timeout("Jitter", &mut call.message.jitter)?;
    validate::length("Identity", &call.message.identity)?;
    let deadline = call.until(PATIENCE);
    let op = UnpauseActivity { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::UnpauseActivity(op), deadline).await?;
    Ok(service::UnpauseActivityResponse {})
}

pub async fn reset(
    frontend: &Frontend,
    mut call: Call<service::ResetActivityRequest>,
) -> Result<service::ResetActivityResponse, ApiError> {
    use service::reset_activity_request::Activity;
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let workflow_id = target(call.message.execution.as_ref())?;
    require_activity(match &call.message.activity {
        Some(Activity::Id(name) | Activity::Type(name)) => !name.is_empty(),
        Some(Activity::MatchAll(all)) => *all,
        None => false,
    })?;
    validate::timeout("Jitter", &mut call.message.jitter)?;
    validate::length("Identity", &call.message.identity)?;
    let deadline = call.until(PATIENCE);
    let op = ResetActivity { namespace: Some(facts(&namespace)), request: Some(call.message) };
    frontend.propose(&namespace.id, &workflow_id, Kind::ResetActivity(op), deadline).await?;
    Ok(service::ResetActivityResponse {})
}

pub async fn update_options(
    frontend: &Frontend,
    call: Call<service::UpdateActivityOptionsRequest>,
) -> Result<service::UpdateActivityOptionsResponse, ApiError> {
    use service::update_activity_options_request::Activity;
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let workflow_id = target(call.message.execution.as_ref())?;
    let request = &call.message;
    require_activity(match &request.activity {
        Some(Activity::Id(name) | Activity::Type(name)) => !name.is_empty(),
        Some(Activity::MatchAll(all)) => *all,
        None => false,
    })?;
    let masked = request.update_mask.as_ref().is_some_and(|mask| !mask.paths.is_empty());
    if request.restore_original && (masked || request.activity_options.is_some()) {
        return Err(Reject::invalid_argument("Both UpdateMask and RestoreOriginal are provided").into());
    }
    if !request.restore_original && request.activity_options.is_none() {
        return Err(Reject::invalid_argument("ActivityOptions are not provided").into());
    }
    if !request.restore_original && request.update_mask.is_none() {
        return Err(Reject::invalid_argument("UpdateMask is not provided").into());
    }
    let deadline = call.until(PATIENCE);
    let op = UpdateActivityOptions { namespace: Some(facts(&namespace)), request: Some(call.message) };
    let done = frontend.propose(&namespace.id, &workflow_id, Kind::UpdateActivityOptions(op), deadline).await?;
    match done.answer {
        answer::Kind::UpdateActivityOptions(answer) => Ok(answer.response.unwrap_or_default()),
        _ => Err(ApiError::Internal("a change of activity options was answered by something else")),
    }
}

/// These calls may leave out the whole execution, and then miss its workflow id.
fn target(execution: Option<&WorkflowExecution>) -> Result<String, Reject> {
    let none = WorkflowExecution::default();
    let execution = execution.unwrap_or(&none);
    validate::set_and_short("WorkflowId", &execution.workflow_id)?;
    if !execution.run_id.is_empty() && tables::id_bytes(&execution.run_id).is_none() {
        return Err(Reject::invalid_argument("Invalid RunId."));
    }
    Ok(execution.workflow_id.clone())
}

fn require_activity(named: bool) -> Result<(), Reject> {
    match named {
        true => Ok(()),
        false => Err(Reject::invalid_argument("Either Activity.Id or Activity.Type should be set on request.")),
    }
}
