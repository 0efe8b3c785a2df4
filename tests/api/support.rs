//! A node to call, and short ways to call it.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use everstep::config::{Config, NamespaceSeed};
use everstep::node::Node;
use proto::temporal::api::common::v1::{Priority, WorkflowExecution, WorkflowType};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use proto::temporal::api::workflowservice::v1::{StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

pub(crate) type Client = WorkflowServiceClient<Channel>;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A node of its own, with the namespaces `default` and `other`.
pub(crate) async fn node(directory: &Path, change: impl FnOnce(&mut Config)) -> (Node, Channel) {
    let mut config = Config { data_dir: directory.to_owned(), ..Config::default() };
    config.listen.api = "127.0.0.1:0".parse().expect("an address");
    config.listen.peer = "127.0.0.1:0".parse().expect("an address");
    config.bootstrap.namespaces = vec![NamespaceSeed::named("default"), NamespaceSeed::named("other")];
    change(&mut config);
    let node = Node::start(config).await.expect("a node starts");
    let endpoint = Endpoint::from_shared(format!("http://{}", node.api_address())).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    for name in ["default", "other"] {
        until(|| async { node.namespaces().by_name(name).await.is_ok() }).await;
    }
    (node, channel)
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "it does not come about");
        tokio::time::sleep(LOOK).await;
    }
}

pub(crate) fn start_request(namespace: &str, workflow_id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: namespace.into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "order".into() }),
        task_queue: queue("orders"),
        request_id: workflow_id.into(),
        ..Default::default()
    }
}

pub(crate) fn with_priority(workflow_id: &str, priority_key: i32, fairness_key: &str) -> StartWorkflowExecutionRequest {
    let priority = Priority { priority_key, fairness_key: fairness_key.into(), ..Default::default() };
    StartWorkflowExecutionRequest { priority: Some(priority), ..start_request("default", workflow_id) }
}

pub(crate) fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue { name: name.into(), ..Default::default() })
}

pub(crate) async fn start(client: &mut Client, namespace: &str, workflow_id: &str) {
    client.start_workflow_execution(start_request(namespace, workflow_id)).await.expect("it starts");
}

pub(crate) async fn terminate(client: &mut Client, namespace: &str, workflow_id: &str) {
    let workflow_execution = Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() });
    let request =
        TerminateWorkflowExecutionRequest { namespace: namespace.into(), workflow_execution, ..Default::default() };
    client.terminate_workflow_execution(request).await.expect("it ends");
}
