//! Completion callbacks reach their address although the node that was to call is killed between close and delivery.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use proto::temporal::api::common::v1::callback::{Nexus, Variant};
use proto::temporal::api::common::v1::{Callback, WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::CallbackState;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use proto::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
};
use tokio::time::{sleep, Instant};
use tonic::transport::{Channel, Endpoint};

use crate::dev::Cluster;

/// Enough for every shard to have some.
const WORKFLOWS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Who is called: it refuses until it is open, and remembers by workflow what it took.
#[derive(Default)]
struct Receiver {
    open: AtomicBool,
    refused: Mutex<BTreeMap<String, usize>>,
    taken: Mutex<BTreeMap<String, (HeaderMap, Bytes)>>,
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    Path(workflow): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if receiver.open.load(Ordering::SeqCst) {
        receiver.taken.lock().expect("no panic while held").insert(workflow, (headers, body));
        return StatusCode::OK;
    }
    *receiver.refused.lock().expect("no panic while held").entry(workflow).or_default() += 1;
    StatusCode::SERVICE_UNAVAILABLE
}

async fn listen(receiver: Arc<Receiver>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("a bound address"));
    let service = axum::Router::new().route("/{workflow}", post(receive)).with_state(receiver);
    tokio::spawn(async move { axum::serve(listener, service).await.expect("it serves") });
    address
}

type Client = WorkflowServiceClient<Channel>;

/// Tries until it works: nodes die meanwhile.
async fn until_done<T, F: std::future::Future<Output = Result<T, tonic::Status>>>(mut call: impl FnMut() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(done) => return done,
            Err(status) => assert!(Instant::now() < end, "it does not work: {status}"),
        }
        sleep(LOOK).await;
    }
}

fn execution(workflow: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: workflow.into(), run_id: String::new() })
}

async fn start_and_end(client: &Client, workflow: &str, url: &str) {
    let nexus = Nexus { url: format!("{url}/{workflow}"), header: [("X-Token".into(), "t".into())].into() };
    let request = StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: workflow.into(),
        request_id: workflow.into(),
        workflow_type: Some(WorkflowType { name: "order".into() }),
        task_queue: Some(TaskQueue { name: "nobody".into(), ..Default::default() }),
        completion_callbacks: vec![Callback { variant: Some(Variant::Nexus(nexus)), ..Default::default() }],
        ..Default::default()
    };
    until_done(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.start_workflow_execution(request).await }
    })
    .await;
    let request = TerminateWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_execution: execution(workflow),
        ..Default::default()
    };
    until_done(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.terminate_workflow_execution(request).await }
    })
    .await;
}

async fn state_of(client: &Client, workflow: &str) -> (CallbackState, i32) {
    let request = DescribeWorkflowExecutionRequest { namespace: "default".into(), execution: execution(workflow) };
    let described = until_done(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.describe_workflow_execution(request).await }
    })
    .await;
    let callback = described.get_ref().callbacks.first().expect("it has one");
    (callback.state(), callback.attempt)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_are_delivered_although_the_leader_is_killed_before() {
    let receiver = Arc::new(Receiver::default());
    let url = listen(receiver.clone()).await;
    let mut cluster = Cluster::start().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.address())).expect("an address");
    let client = WorkflowServiceClient::new(endpoint.connect_lazy());
    let workflows: Vec<_> = (0..WORKFLOWS).map(|number| format!("w{number}")).collect();
    for workflow in &workflows {
        start_and_end(&client, workflow, &url).await;
    }
    let end = Instant::now() + PATIENCE;
    while receiver.refused.lock().expect("no panic while held").len() < WORKFLOWS {
        assert!(Instant::now() < end, "not all were called\n{}", cluster.last_log_lines());
        sleep(LOOK).await;
    }
    cluster.kill_busiest().await;
    receiver.open.store(true, Ordering::SeqCst);
    for workflow in &workflows {
        let (mut state, mut attempt) = state_of(&client, workflow).await;
        while state != CallbackState::Succeeded {
            assert!(Instant::now() < end + PATIENCE, "{workflow} stays {state:?}\n{}", cluster.last_log_lines());
            sleep(LOOK).await;
            (state, attempt) = state_of(&client, workflow).await;
        }
        assert!(attempt >= 1, "{workflow} was delivered without an attempt");
    }
    let taken = receiver.taken.lock().expect("no panic while held");
    for workflow in &workflows {
        let (headers, body) = taken.get(workflow).expect("delivered, as Describe says");
        assert_eq!(headers["nexus-operation-state"], "failed");
        assert_eq!(headers["x-token"], "t");
        let link = headers["nexus-link"].to_str().expect("plain text");
        assert!(link.starts_with(&format!("<temporal:///namespaces/default/workflows/{workflow}/")), "{link}");
        let failure: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(failure["message"], "operation terminated");
    }
}
