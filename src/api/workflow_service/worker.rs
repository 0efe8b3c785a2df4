//! Workers tell that they are there, and that they go.

use bytes::Bytes;
use proto::temporal::api::worker::v1::{WorkerHeartbeat, WorkerInfo, WorkerListInfo};
use proto::temporal::api::workflowservice::v1::{
    CountWorkersRequest, CountWorkersResponse, DescribeWorkerRequest, DescribeWorkerResponse, ListWorkersRequest,
    ListWorkersResponse, RecordWorkerHeartbeatRequest, RecordWorkerHeartbeatResponse, ShutdownWorkerRequest,
    ShutdownWorkerResponse,
};
use statemachine::Reject;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::Frontend;
use crate::api::token::{bad_page_token, Kind, ListPage};
use crate::api::validate;
use crate::reads::query::WorkerQuery;

const LIST_PAGE_MAX: usize = 1000;

/// Ends the worker's polls, so that it need not wait for them, and gives up its sticky queue.
pub async fn shutdown(
    frontend: &Frontend,
    call: Call<ShutdownWorkerRequest>,
) -> Result<ShutdownWorkerResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let ShutdownWorkerRequest { sticky_task_queue, worker_instance_key, worker_heartbeat, .. } = call.message;
    frontend.matching.record_workers(&namespace.id, worker_heartbeat.into_iter().collect());
    let ended = if frontend.config.features.end_polls_on_shutdown { worker_instance_key.as_str() } else { "" };
    frontend.matching.shutdown_worker(&namespace.id, &sticky_task_queue, ended).await;
    Ok(ShutdownWorkerResponse {})
}

pub async fn record_heartbeat(
    frontend: &Frontend,
    call: Call<RecordWorkerHeartbeatRequest>,
) -> Result<RecordWorkerHeartbeatResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    if frontend.config.features.worker_heartbeats {
        let heartbeats = call.message.worker_heartbeat;
        for heartbeat in &heartbeats {
            validate::length("WorkerInstanceKey", &heartbeat.worker_instance_key)?;
        }
        frontend.matching.record_workers(&namespace.id, heartbeats);
    }
    Ok(RecordWorkerHeartbeatResponse {})
}

pub async fn describe(
    frontend: &Frontend,
    call: Call<DescribeWorkerRequest>,
) -> Result<DescribeWorkerResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let key = &call.message.worker_instance_key;
    let found = frontend.matching.worker(&namespace.id, key).await;
    let found = found.ok_or_else(|| Reject::not_found(format!("Worker {key} not found")))?;
    Ok(DescribeWorkerResponse { worker_info: Some(WorkerInfo { worker_heartbeat: Some(found) }) })
}

/// The server runs no workers of its own, so there are none to leave out.
pub async fn count(frontend: &Frontend, call: Call<CountWorkersRequest>) -> Result<CountWorkersResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let query = WorkerQuery::parse(&call.message.query)?;
    let (mut count, mut after) = (0, Some(String::new()));
    while let Some(from) = after.take() {
        let page = frontend.matching.workers(&namespace.id, &from).await;
        count += page.workers.iter().filter(|worker| query.matches(worker)).count() as i64;
        after = page.after;
    }
    Ok(CountWorkersResponse { count })
}

pub async fn list(frontend: &Frontend, call: Call<ListWorkersRequest>) -> Result<ListWorkersResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let ListWorkersRequest { page_size, next_page_token, query, .. } = call.message;
    let query = WorkerQuery::parse(&query)?;
    let tokens = frontend.tokens()?;
    let after = match next_page_token.is_empty() {
        true => ListPage::default(),
        false => tokens.open(Kind::ListPage, &namespace.id, &next_page_token).map_err(bad_page_token)?,
    };
    let size = usize::try_from(page_size).ok().filter(|size| *size > 0).unwrap_or(LIST_PAGE_MAX).min(LIST_PAGE_MAX);
    let mut after = Some(String::from_utf8_lossy(&after.after).into_owned());
    let mut found = Vec::new();
    while let Some(from) = after.take().filter(|_| found.len() < size) {
        let page = frontend.matching.workers(&namespace.id, &from).await;
        let mut matching = page.workers.into_iter().filter(|worker| query.matches(worker)).peekable();
        found.extend(matching.by_ref().take(size - found.len()));
        after = match matching.peek() {
            Some(_) => found.last().map(|last: &WorkerHeartbeat| last.worker_instance_key.clone()),
            None => page.after,
        };
        if matching.peek().is_some() {
            break;
        }
    }
    let next_page_token = match after {
        Some(after) => tokens.seal(Kind::ListPage, &namespace.id, &ListPage { after: after.into() }),
        None => Bytes::new(),
    };
    let workers = found.iter().map(in_short).collect();
    #[expect(deprecated, reason = "older clients read the long form")]
    let response = ListWorkersResponse {
        workers_info: found.into_iter().map(|heartbeat| WorkerInfo { worker_heartbeat: Some(heartbeat) }).collect(),
        workers,
        next_page_token,
    };
    Ok(response)
}

fn in_short(heartbeat: &WorkerHeartbeat) -> WorkerListInfo {
    let host = heartbeat.host_info.clone().unwrap_or_default();
    WorkerListInfo {
        worker_instance_key: heartbeat.worker_instance_key.clone(),
        worker_identity: heartbeat.worker_identity.clone(),
        task_queue: heartbeat.task_queue.clone(),
        deployment_version: heartbeat.deployment_version.clone(),
        sdk_name: heartbeat.sdk_name.clone(),
        sdk_version: heartbeat.sdk_version.clone(),
        status: heartbeat.status,
        start_time: heartbeat.start_time,
        host_name: host.host_name,
        worker_grouping_key: host.worker_grouping_key,
        process_id: host.process_id,
        plugins: heartbeat.plugins.clone(),
        drivers: heartbeat.drivers.clone(),
    }
}
