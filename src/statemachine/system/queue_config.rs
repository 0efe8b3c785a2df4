//! Settings of a task queue: how fast it may be served, as a whole and for each fairness key, and the weights of keys.

use proto::temporal::api::taskqueue::v1::{ConfigMetadata, RateLimitConfig};
use proto::temporal::api::workflowservice::v1::update_task_queue_config_request::RateLimitUpdate;
use proto::temporal::api::workflowservice::v1::UpdateTaskQueueConfigRequest;

use crate::op::{answer, QueueConfigAnswer, UpdateQueueConfig};
use crate::reject::Decided;
use crate::time::timestamp;
use crate::{state, tables, Context, Effect, Fault, QueueKey, Reject, TaskType};

/// Weights that a queue may have of its own (Temporal: matching.maxFairnessKeyWeightOverrides).
const OVERRIDES_MAX: usize = 1000;
/// Queues of one namespace with settings.
const QUEUES_MAX: usize = 10_000;

pub fn update(ctx: &mut Context<'_, '_>, op: &UpdateQueueConfig) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("queue config op", "no request"))?;
    if tables::namespace(ctx.txn, &op.namespace_id)?.is_none() {
        return Err(Reject::namespace_not_found(&request.namespace).into());
    }
    let task_type = TaskType::from_number(request.task_queue_type)
        .ok_or_else(|| Reject::invalid_argument("Task queue type is not supported."))?;
    let queue = QueueKey { namespace_id: op.namespace_id.clone(), task_type, name: request.task_queue.clone() };
    let known = tables::queue_config(ctx.txn, &queue)?;
    if known.is_none() && tables::queue_configs(ctx.txn, Some(&op.namespace_id), QUEUES_MAX)?.len() >= QUEUES_MAX {
        return Err(Reject::failed_precondition("too many task queues of this namespace have settings").into());
    }
    let mut row = known.unwrap_or_else(|| state::QueueConfig {
        namespace_id: queue.namespace_id.clone(),
        task_type: queue.task_type as i32,
        name: queue.name.clone(),
        config: None,
    });
    let config = row.config.get_or_insert_default();
    if let Some(sent) = &request.update_queue_rate_limit {
        config.queue_rate_limit = Some(rate_limit(ctx, request, sent));
    }
    if let Some(sent) = &request.update_fairness_key_rate_limit_default {
        config.fairness_keys_rate_limit_default = Some(rate_limit(ctx, request, sent));
    }
    for key in &request.unset_fairness_weight_overrides {
        config.fairness_weight_overrides.remove(key);
    }
    config.fairness_weight_overrides.extend(request.set_fairness_weight_overrides.clone());
    if config.fairness_weight_overrides.len() > OVERRIDES_MAX {
        return Err(Reject::invalid_argument(format!(
            "fairness weight overrides exceed the limit of {OVERRIDES_MAX} keys"
        ))
        .into());
    }
    let answer = QueueConfigAnswer { config: row.config.clone() };
    tables::put_queue_config(ctx.txn, &queue, &row);
    ctx.txn.effect(Effect::QueueConfigChanged { queue });
    Ok(answer::Kind::QueueConfig(answer))
}

fn rate_limit(
    ctx: &Context<'_, '_>,
    request: &UpdateTaskQueueConfigRequest,
    sent: &RateLimitUpdate,
) -> RateLimitConfig {
    RateLimitConfig {
        rate_limit: sent.rate_limit,
        metadata: Some(ConfigMetadata {
            reason: sent.reason.clone(),
            update_identity: request.identity.clone(),
            update_time: Some(timestamp(ctx.now)),
        }),
    }
}

/// The settings go with their namespace.
pub fn remove(ctx: &mut Context<'_, '_>, row: &state::QueueConfig) {
    let Some(task_type) = TaskType::from_number(row.task_type) else { return };
    let queue = QueueKey { namespace_id: row.namespace_id.clone(), task_type, name: row.name.clone() };
    tables::delete_queue_config(ctx.txn, &queue);
    ctx.txn.effect(Effect::QueueConfigChanged { queue });
}
