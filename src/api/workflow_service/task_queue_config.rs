//! Settings of a task queue: how fast it is served, as a whole and for each fairness key, and the weights of keys.

use proto::temporal::api::enums::v1::TaskQueueType;
use proto::temporal::api::workflowservice::v1::update_task_queue_config_request::RateLimitUpdate;
use proto::temporal::api::workflowservice::v1::{UpdateTaskQueueConfigRequest, UpdateTaskQueueConfigResponse};
use statemachine::op::op::Kind;
use statemachine::op::{answer, UpdateQueueConfig};
use statemachine::Reject;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{Frontend, PATIENCE};
use crate::api::validate;

/// Temporal: limit.maxIDLength.
const REASON_CHARACTERS_MAX: usize = 1000;
/// Temporal: the length of a fairness key.
const FAIRNESS_KEY_BYTES_MAX: usize = 64;

pub async fn update(
    frontend: &Frontend,
    call: Call<UpdateTaskQueueConfigRequest>,
) -> Result<UpdateTaskQueueConfigResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let deadline = call.until(PATIENCE);
    check(&call.message)?;
    let op = UpdateQueueConfig { namespace_id: namespace.id.clone(), request: Some(call.message) };
    match frontend.propose_to_system(Kind::UpdateQueueConfig(op), deadline).await?.answer {
        answer::Kind::QueueConfig(answer) => Ok(UpdateTaskQueueConfigResponse { config: answer.config }),
        _ => Err(ApiError::Internal("a change of a queue's settings was answered by something else")),
    }
}

fn check(request: &UpdateTaskQueueConfigRequest) -> Result<(), Reject> {
    if request.task_queue.is_empty() {
        return Err(Reject::invalid_argument("missing task queue name"));
    }
    validate::length("TaskQueue", &request.task_queue)?;
    match request.task_queue_type() {
        TaskQueueType::Activity => {}
        TaskQueueType::Workflow if request.update_queue_rate_limit.is_some() => {
            return Err(Reject::invalid_argument("Setting rate limit on workflow task queues is not allowed."));
        }
        TaskQueueType::Workflow => {}
        TaskQueueType::Nexus => return Err(Reject::invalid_argument("Nexus task queues have no settings here yet.")),
        TaskQueueType::Unspecified => return Err(Reject::invalid_argument("Task queue type is not set on request.")),
    }
    check_rate("UpdateQueueRateLimit", request.update_queue_rate_limit.as_ref())?;
    check_rate("UpdateFairnessKeyRateLimitDefault", request.update_fairness_key_rate_limit_default.as_ref())?;
    validate::length("Identity", &request.identity)?;
    for (key, weight) in &request.set_fairness_weight_overrides {
        if key.len() > FAIRNESS_KEY_BYTES_MAX {
            return Err(Reject::invalid_argument(format!("fairness key {key:?} is longer than allowed")));
        }
        if weight.is_nan() || *weight <= 0.0 {
            let text = format!("invalid fairness weight weight for key {key:?}: must be greater than zero");
            return Err(Reject::invalid_argument(text));
        }
        if request.unset_fairness_weight_overrides.contains(key) {
            let text = format!("fairness weight override key {key:?} present in both set and unset lists");
            return Err(Reject::invalid_argument(text));
        }
    }
    Ok(())
}

fn check_rate(field: &str, update: Option<&RateLimitUpdate>) -> Result<(), Reject> {
    let Some(update) = update else { return Ok(()) };
    let rate = update.rate_limit.map(|limit| limit.requests_per_second).unwrap_or_default();
    if rate.is_nan() || rate < 0.0 {
        let text = format!("RequestsPerSecond for {field} rate limit must be non-negative.");
        return Err(Reject::invalid_argument(text));
    }
    if update.reason.len() > REASON_CHARACTERS_MAX {
        let text = format!("{field}.Reason field too long (max {REASON_CHARACTERS_MAX} characters).");
        return Err(Reject::invalid_argument(text));
    }
    Ok(())
}
