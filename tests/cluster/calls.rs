//! Calls that are repeated until they are answered: what an SDK does while a leader is missing.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

pub type Client = WorkflowServiceClient<Channel>;

pub const NAMESPACE: &str = "default";
pub const QUEUE: &str = "chaos";
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects when it is first used, and again whenever the connection is lost.
pub fn client(address: SocketAddr, timeout: Duration) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    Client::new(endpoint.connect_timeout(Duration::from_secs(1)).timeout(timeout).connect_lazy())
}

/// True if the call may or may not have been done, so that it is to be sent again, the same.
pub fn unknown(status: &Status) -> bool {
    let codes = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown, Code::ResourceExhausted];
    codes.contains(&status.code()) || status.source().is_some()
}

/// Sends the same call again until its outcome is known.
pub async fn persist<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if unknown(&status) && Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(status) => return Err(status),
        }
    }
}

pub fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: QUEUE.into(), ..Default::default() })
}

pub fn execution(workflow_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() })
}

pub fn number(number: u32) -> Option<Payloads> {
    let payload = Payload { data: number.to_string().into(), ..Default::default() };
    Some(Payloads { payloads: vec![payload] })
}

pub fn number_in(payloads: Option<&Payloads>) -> Option<u32> {
    std::str::from_utf8(&payloads?.payloads.first()?.data).ok()?.parse().ok()
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}
