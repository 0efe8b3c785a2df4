//! Calls as a careful client makes them: to a given node, with a deadline, and with the outcome told honestly.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::cluster::Cluster;
use crate::history::{Op, Outcome, Recorder};

pub type Client = WorkflowServiceClient<Channel>;

pub const NAMESPACE: &str = "default";
pub const QUEUE: &str = "jepsen";

const CONNECT: Duration = Duration::from_secs(1);
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A client of one node. It connects when first used and again whenever the connection is lost.
pub fn connect(cluster: &Cluster, node: u64, deadline: Duration) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.api(node))).expect("an address");
    let channel = endpoint
        .connect_timeout(CONNECT)
        .timeout(deadline)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    Client::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// What a refusal or a failure means: refusals that depend on stored state or on the request were not done; everything
/// else, timeouts and lost connections above all, is unknown.
pub fn outcome_of(status: &Status) -> Outcome {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Outcome::Fail,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Outcome::Info,
    }
}

/// An operation that is about to be made.
pub struct Ask<'a> {
    pub workload: &'a str,
    pub process: u32,
    pub node: u64,
    pub f: &'a str,
    pub key: &'a str,
    pub input: Value,
}

/// Makes a call and records it. `read` makes the record's output out of the answer.
pub async fn call<T, F>(
    recorder: &Arc<Recorder>,
    ask: Ask<'_>,
    call: F,
    read: impl FnOnce(&T) -> Value,
) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let id = recorder.id();
    let invoke = recorder.now();
    let answer = call.await.map(Response::into_inner);
    let complete = recorder.now();
    let (outcome, output, error) = match &answer {
        Ok(answer) => (Outcome::Ok, read(answer), String::new()),
        Err(status) => (outcome_of(status), details(status), format!("{:?}: {}", status.code(), status.message())),
    };
    let Ask { workload, process, node, f, key, input } = ask;
    let (workload, f, key) = (workload.into(), f.into(), key.into());
    recorder.push(Op { id, workload, process, node, f, key, input, invoke, complete, outcome, output, error });
    answer
}

/// What a refusal tells besides its text.
fn details(status: &Status) -> Value {
    found_run(status).map_or(Value::Null, |run| serde_json::json!({ "run": run }))
}

/// The open run that a refused start found.
pub fn found_run(status: &Status) -> Option<String> {
    use prost::Message;
    use proto::google::rpc;
    use proto::temporal::api::errordetails::v1::WorkflowExecutionAlreadyStartedFailure as AlreadyStarted;
    let rich = rpc::Status::decode(status.details()).ok()?;
    let found = rich.details.iter().find(|any| any.type_url.ends_with("WorkflowExecutionAlreadyStartedFailure"))?;
    AlreadyStarted::decode(found.value.as_ref()).ok().map(|found| found.run_id)
}

/// Calls again, the same, until the outcome is known or the time is over. For what is not itself recorded.
pub async fn persist<T, F>(patience: Duration, mut call: impl FnMut(usize) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let end = tokio::time::Instant::now() + patience;
    let mut tried = 0;
    loop {
        match call(tried).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if outcome_of(&status) == Outcome::Info && tokio::time::Instant::now() < end => {
                tried += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(status) => return Err(status),
        }
    }
}

pub fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: QUEUE.into(), ..TaskQueue::default() })
}

pub fn execution(workflow_id: &str) -> Option<WorkflowExecution> {
    run_of(workflow_id, "")
}

pub fn run_of(workflow_id: &str, run_id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: run_id.into() })
}

/// A value as a JSON payload.
pub fn payloads(value: &Value) -> Option<Payloads> {
    let metadata = [("encoding".to_owned(), bytes::Bytes::from_static(b"json/plain"))];
    let payload = Payload { metadata: metadata.into(), data: value.to_string().into(), ..Payload::default() };
    Some(Payloads { payloads: vec![payload] })
}

pub fn value_in(payloads: Option<&Payloads>) -> Value {
    let first = payloads.and_then(|payloads| payloads.payloads.first());
    first.and_then(|payload| serde_json::from_slice(&payload.data).ok()).unwrap_or_default()
}

pub fn duration(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_unknown_and_a_refusal_is_not() {
        assert_eq!(outcome_of(&Status::deadline_exceeded("")), Outcome::Info);
        assert_eq!(outcome_of(&Status::unavailable("")), Outcome::Info);
        assert_eq!(outcome_of(&Status::not_found("")), Outcome::Fail);
        assert_eq!(outcome_of(&Status::already_exists("")), Outcome::Fail);
    }

    #[test]
    fn values_go_through_payloads() {
        let value = serde_json::json!({ "n": 7 });
        assert_eq!(value_in(payloads(&value).as_ref()), value);
        assert_eq!(value_in(None), Value::Null);
    }
}
