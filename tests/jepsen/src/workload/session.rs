//! One process of a history.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::common::v1::WorkflowType;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::{
    SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
};
use rand::rngs::StdRng;
use rand::SeedableRng;
use serde_json::{json, Value};
use tonic::{Response, Status};
use uuid::Uuid;

use super::Context;
use crate::client::{self, Ask, Client, NAMESPACE, QUEUE};
use crate::history::Outcome;

/// Longer than a failover, shorter than most faults.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long one request is repeated before its outcome stays unknown.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(60);

/// A task queue without workers.
pub const NOBODY: &str = "nobody";

pub struct Session {
    pub context: Arc<Context>,
    pub workload: &'static str,
    pub process: u32,
    pub random: StdRng,
    clients: BTreeMap<u64, Client>,
    /// The node that is asked first.
    own: u64,
}

/// Where a workflow's tasks go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    ToWorkers,
    ToNobody,
}

impl Session {
    pub fn new(context: &Arc<Context>, workload: &'static str, node: u64) -> Self {
        let process = context.new_process();
        let clients = context.clients(DEADLINE).into_iter().collect();
        let random = StdRng::seed_from_u64(context.seed ^ u64::from(process).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { context: context.clone(), workload, process, random, clients, own: node }
    }

    /// The session's own node, or another one if it is a member no more; the next member after `tried` failures.
    fn client(&self, tried: usize) -> (u64, Client) {
        let members = self.context.cluster.ids();
        let first = members.iter().position(|&node| node == self.own).unwrap_or(self.process as usize);
        let node = members[(first + tried) % members.len()];
        (node, self.clients[&node].clone())
    }

    /// One call through the session's own node, or another after `tried` failures.
    pub async fn once<T, F>(
        &self,
        tried: usize,
        f: &str,
        key: &str,
        input: Value,
        read: impl FnOnce(&T) -> Value,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (node, client) = self.client(tried);
        let ask = Ask { workload: self.workload, process: self.process, node, f, key, input };
        client::call(&self.context.recorder, ask, call(client), read).await
    }

    /// The same call through one node after the other until its outcome is known, at most for `PATIENCE`.
    pub async fn until_known<T, F>(
        &self,
        f: &str,
        key: &str,
        input: Value,
        read: impl Fn(&T) -> Value,
        call: impl Fn(Client) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut tried = 0;
        loop {
            match self.once(tried, f, key, input.clone(), &read, &call).await {
                Err(status) if client::outcome_of(&status) == Outcome::Info && tokio::time::Instant::now() < end => {
                    tried += 1;
                    tokio::time::sleep(RETRY).await;
                }
                known => return known,
            }
        }
    }

    /// Starts a workflow of this type; its run, if that is known.
    pub async fn start(&self, kind: &str, key: &str, tasks: Tasks, input: &Value) -> Option<String> {
        let request = start_request(kind, key, tasks, input, &Uuid::new_v4().to_string());
        let told = json!({ "kind": kind, "request": request.request_id });
        let started = self.until_known(
            "start",
            key,
            told,
            |answer: &proto::temporal::api::workflowservice::v1::StartWorkflowExecutionResponse| {
                json!({ "run": answer.run_id })
            },
            |mut client| {
                let request = request.clone();
                async move { client.start_workflow_execution(request).await }
            },
        );
        let run_id = started.await.ok()?.run_id;
        self.context.remember(self.workload, key, &run_id);
        Some(run_id)
    }

    /// Signals with a request id of its own, the same in every try.
    pub async fn signal(&self, key: &str, name: &str, value: &Value) -> Result<(), Status> {
        let request = SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_execution: client::execution(key),
            signal_name: name.into(),
            input: client::payloads(value),
            request_id: Uuid::new_v4().to_string(),
            ..SignalWorkflowExecutionRequest::default()
        };
        let signaled = self.until_known(
            name,
            key,
            value.clone(),
            |_| Value::Null,
            |mut client| {
                let request = request.clone();
                async move { client.signal_workflow_execution(request).await }
            },
        );
        signaled.await.map(|_| ())
    }

    /// Ends a workflow that nobody is to complete.
    pub async fn terminate(&self, key: &str, run_id: &str) {
        let request = TerminateWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_execution: client::run_of(key, run_id),
            reason: "over".into(),
            ..TerminateWorkflowExecutionRequest::default()
        };
        let ended = self.until_known(
            "terminate",
            key,
            json!({ "run": run_id }),
            |_| Value::Null,
            |mut client| {
                let request = request.clone();
                async move { client.terminate_workflow_execution(request).await }
            },
        );
        // A second try may find it closed by the first.
        let _ended = ended.await;
    }
}

pub fn start_request(
    kind: &str,
    key: &str,
    tasks: Tasks,
    input: &Value,
    request_id: &str,
) -> StartWorkflowExecutionRequest {
    let queue = if tasks == Tasks::ToWorkers { QUEUE } else { NOBODY };
    StartWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_id: key.into(),
        workflow_type: Some(WorkflowType { name: kind.into() }),
        task_queue: Some(TaskQueue { name: queue.into(), ..TaskQueue::default() }),
        input: client::payloads(input),
        workflow_task_timeout: client::duration(Duration::from_secs(3)),
        request_id: request_id.into(),
        // Found again in the history, so that a start whose outcome is unknown can be told from others.
        identity: request_id.into(),
        ..StartWorkflowExecutionRequest::default()
    }
}
