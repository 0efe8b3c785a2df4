//! Who polls a task queue, what waits in it and how fast it moves.

use std::collections::BTreeMap;

use proto::temporal::api::enums::v1::{RateLimitSource, TaskQueueType};
use proto::temporal::api::taskqueue::v1::{
    PollerInfo, TaskQueuePartitionMetadata, TaskQueueStats, TaskQueueStatus, TaskQueueVersioningInfo,
};
use proto::temporal::api::workflowservice::v1::{
    describe_task_queue_response::EffectiveRateLimit, DescribeTaskQueueRequest, DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse,
};
use statemachine::time::{duration, timestamp};
use statemachine::{QueueKey, TaskType};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::Frontend;
use crate::api::validate;
use crate::matching::QueueInfo;

/// What Temporal shows for a poller that asked for no limit.
const RATE_UNLIMITED: f64 = 100_000.0;
/// The version of workers that have none.
const UNVERSIONED: &str = "__unversioned__";

pub async fn describe(
    frontend: &Frontend,
    mut call: Call<DescribeTaskQueueRequest>,
) -> Result<DescribeTaskQueueResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    validate::task_queue(&mut call.message.task_queue)?;
    let request = call.message;
    let name = request.task_queue.map(|queue| queue.name).unwrap_or_default();
    let task_type = match TaskQueueType::try_from(request.task_queue_type) {
        Ok(TaskQueueType::Activity) => Some(TaskType::Activity),
        Ok(TaskQueueType::Nexus) => None,
        Ok(TaskQueueType::Workflow | TaskQueueType::Unspecified) | Err(_) => Some(TaskType::Workflow),
    };
    let info = match task_type {
        Some(task_type) => {
            let key = QueueKey { namespace_id: namespace.id.clone(), task_type, name };
            frontend.matching.describe(&key).await
        }
        None => QueueInfo::default(),
    };
    let stats = request.report_stats.then(|| stats(&info));
    #[expect(deprecated, reason = "clients still read the older fields")]
    let response = DescribeTaskQueueResponse {
        pollers: info.pollers.iter().map(poller).collect(),
        stats_by_priority_key: stats.iter().map(|stats| (3, *stats)).collect::<BTreeMap<_, _>>(),
        stats,
        versioning_info: Some(TaskQueueVersioningInfo {
            current_version: UNVERSIONED.into(),
            // The beginning of time, as Go writes it.
            update_time: Some(timestamp(0)),
            ..Default::default()
        }),
        effective_rate_limit: Some(rate_limit(&info)),
        task_queue_status: request
            .include_task_queue_status
            .then(|| TaskQueueStatus { backlog_count_hint: info.backlog, ..Default::default() }),
        ..Default::default()
    };
    Ok(response)
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

fn stats(info: &QueueInfo) -> TaskQueueStats {
    let age = info.oldest.map_or(0, |oldest| (crate::cluster::now() - oldest).max(0));
    TaskQueueStats {
        approximate_backlog_count: info.backlog,
        approximate_backlog_age: Some(duration(age)),
        tasks_add_rate: info.add_rate,
        tasks_dispatch_rate: info.dispatch_rate,
        ..Default::default()
    }
}

/// The lowest rate that a worker asked for.
fn rate_limit(info: &QueueInfo) -> EffectiveRateLimit {
    let asked = info.pollers.iter().map(|poller| poller.rate).filter(|rate| *rate > 0.0).reduce(f64::min);
    match asked {
        Some(rate) => {
            EffectiveRateLimit { requests_per_second: rate as f32, rate_limit_source: RateLimitSource::Worker as i32 }
        }
        None => EffectiveRateLimit {
            requests_per_second: RATE_UNLIMITED as f32,
            rate_limit_source: RateLimitSource::System as i32,
        },
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
