//! Who polls a task queue, what waits in it and how fast it moves.

use std::collections::BTreeMap;

use proto::temporal::api::enums::v1::{BuildIdTaskReachability, DescribeTaskQueueMode, RateLimitSource, TaskQueueType};
use proto::temporal::api::taskqueue::v1::{
    PollerInfo, TaskQueueConfig, TaskQueuePartitionMetadata, TaskQueueStats, TaskQueueStatus, TaskQueueTypeInfo,
    TaskQueueVersionInfo, TaskQueueVersioningInfo,
};
use proto::temporal::api::workflowservice::v1::{
    describe_task_queue_response::EffectiveRateLimit, DescribeTaskQueueRequest, DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse,
};
use statemachine::time::{duration, timestamp};
use statemachine::{tables, QueueKey, TaskType};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{Frontend, PATIENCE};
use crate::api::validate;
use crate::cluster::Target;
use crate::matching::{QueueInfo, QueueLevel};

/// What Temporal shows for a poller that asked for no limit.
const RATE_UNLIMITED: f64 = 100_000.0;
/// The version of workers that have none.
const UNVERSIONED: &str = "__unversioned__";
/// Priorities are shown for this level if there are none.
const PRIORITY_DEFAULT: i32 = 3;

pub async fn describe(
    frontend: &Frontend,
    mut call: Call<DescribeTaskQueueRequest>,
) -> Result<DescribeTaskQueueResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    validate::task_queue(&mut call.message.task_queue)?;
    if call.message.api_mode() == DescribeTaskQueueMode::Enhanced {
        return enhanced(frontend, &namespace.id, &call.message).await;
    }
    let deadline = call.until(PATIENCE);
    let request = call.message;
    let name = request.task_queue.clone().map(|queue| queue.name).unwrap_or_default();
    let key = queue_key(&namespace.id, &name, request.task_queue_type);
    let info = described(frontend, key.as_ref()).await;
    let config = match &key {
        Some(key) => config(frontend, key, deadline).await?,
        None => None,
    };
    #[expect(deprecated, reason = "clients still read the older fields")]
    let response = DescribeTaskQueueResponse {
        pollers: info.pollers.iter().map(poller).collect(),
        stats: request.report_stats.then(|| stats(&info.total())),
        stats_by_priority_key: if request.report_stats { stats_by_priority(&info) } else { BTreeMap::new() },
        versioning_info: Some(TaskQueueVersioningInfo {
            current_version: UNVERSIONED.into(),
            // The beginning of time, as Go writes it.
            update_time: Some(timestamp(0)),
            ..Default::default()
        }),
        effective_rate_limit: Some(rate_limit(&info, config.as_ref())),
        config: config.filter(|_| request.report_config),
        task_queue_status: request
            .include_task_queue_status
            .then(|| TaskQueueStatus { backlog_count_hint: info.total().backlog, ..Default::default() }),
        ..Default::default()
    };
    Ok(response)
}

/// `None`: a queue of a kind that nothing waits in here.
fn queue_key(namespace_id: &str, name: &str, task_queue_type: i32) -> Option<QueueKey> {
    let task_type = match TaskQueueType::try_from(task_queue_type) {
        Ok(TaskQueueType::Activity) => TaskType::Activity,
        Ok(TaskQueueType::Nexus) => return None,
        Ok(TaskQueueType::Workflow | TaskQueueType::Unspecified) | Err(_) => TaskType::Workflow,
    };
    Some(QueueKey { namespace_id: namespace_id.into(), task_type, name: name.into() })
}

async fn described(frontend: &Frontend, key: Option<&QueueKey>) -> QueueInfo {
    match key {
        Some(key) => frontend.matching.describe(key).await,
        None => QueueInfo::default(),
    }
}

/// What UpdateTaskQueueConfig has set, on whichever node.
async fn config(
    frontend: &Frontend,
    key: &QueueKey,
    deadline: tokio::time::Instant,
) -> Result<Option<TaskQueueConfig>, ApiError> {
    let rows = frontend.router.read(Target::System, deadline).await?;
    Ok(tables::queue_config(&rows, key)?.and_then(|row| row.config))
}

/// The older form: by version, of which there is only the unversioned one, and by type.
#[expect(deprecated, reason = "clients still ask in the older way")]
async fn enhanced(
    frontend: &Frontend,
    namespace_id: &str,
    request: &DescribeTaskQueueRequest,
) -> Result<DescribeTaskQueueResponse, ApiError> {
    let name = request.task_queue.as_ref().map(|queue| queue.name.as_str()).unwrap_or_default();
    let all = [TaskQueueType::Workflow as i32, TaskQueueType::Activity as i32, TaskQueueType::Nexus as i32];
    let asked = &request.task_queue_types;
    let types = if asked.is_empty() { all.as_slice() } else { asked.as_slice() };
    let mut types_info = BTreeMap::new();
    for &task_type in types.iter().filter(|kind| all.contains(kind)) {
        let info = described(frontend, queue_key(namespace_id, name, task_type).as_ref()).await;
        let pollers = if request.report_pollers { info.pollers.iter().map(poller).collect() } else { Vec::new() };
        let stats = request.report_stats.then(|| stats(&info.total()));
        types_info.insert(task_type, TaskQueueTypeInfo { pollers, stats });
    }
    let reachability = match request.report_task_reachability {
        true => BuildIdTaskReachability::Reachable,
        false => BuildIdTaskReachability::Unspecified,
    };
    let unversioned = TaskQueueVersionInfo { types_info, task_reachability: reachability as i32 };
    let wanted = request.versions.as_ref().is_none_or(|versions| {
        versions.unversioned || versions.all_active || versions.build_ids.iter().any(String::is_empty)
    });
    let versions_info = wanted.then(|| (String::new(), unversioned)).into_iter().collect();
    Ok(DescribeTaskQueueResponse { versions_info, ..Default::default() })
}

#[expect(deprecated, reason = "clients still read the older fields")]
fn poller(info: &crate::matching::PollerInfo) -> PollerInfo {
    let rate_per_second = if info.rate > 0.0 { info.rate } else { RATE_UNLIMITED };
    PollerInfo {
        last_access_time: Some(timestamp(info.last_access)),
        identity: info.identity.clone(),
        rate_per_second,
        worker_version_capabilities: info.version.clone(),
        deployment_options: info.deployment.clone(),
    }
}

fn stats(level: &QueueLevel) -> TaskQueueStats {
    let age = if level.oldest > 0 { (crate::cluster::now() - level.oldest).max(0) } else { 0 };
    TaskQueueStats {
        approximate_backlog_count: level.backlog,
        approximate_backlog_age: Some(duration(age)),
        tasks_add_rate: level.add_rate,
        tasks_dispatch_rate: level.dispatch_rate,
        ..Default::default()
    }
}

fn stats_by_priority(info: &QueueInfo) -> BTreeMap<i32, TaskQueueStats> {
    if info.levels.is_empty() {
        return BTreeMap::from([(PRIORITY_DEFAULT, stats(&QueueLevel::default()))]);
    }
    info.levels.iter().map(|(&priority, level)| (priority, stats(level))).collect()
}

/// What was set for the queue, or else what its workers ask for: what matching goes by.
fn rate_limit(info: &QueueInfo, config: Option<&TaskQueueConfig>) -> EffectiveRateLimit {
    let limit = |rate: f32, source: RateLimitSource| EffectiveRateLimit {
        requests_per_second: rate,
        rate_limit_source: source as i32,
    };
    let set = config.and_then(|config| config.queue_rate_limit.as_ref()?.rate_limit);
    if let Some(set) = set {
        return limit(set.requests_per_second, RateLimitSource::Api);
    }
    match info.asked_rate {
        Some(rate) => limit(rate as f32, RateLimitSource::Worker),
        None => limit(RATE_UNLIMITED as f32, RateLimitSource::System),
    }
}

/// A queue is not partitioned here: it is its own only partition.
pub async fn list_partitions(
    frontend: &Frontend,
    mut call: Call<ListTaskQueuePartitionsRequest>,
) -> Result<ListTaskQueuePartitionsResponse, ApiError> {
    frontend.namespace(&call, &call.message.namespace).await?;
    validate::task_queue(&mut call.message.task_queue)?;
    let key = call.message.task_queue.map(|queue| queue.name).unwrap_or_default();
    let only = vec![TaskQueuePartitionMetadata { key, owner_host_name: String::new() }];
    Ok(ListTaskQueuePartitionsResponse {
        activity_task_queue_partitions: only.clone(),
        workflow_task_queue_partitions: only,
    })
}
