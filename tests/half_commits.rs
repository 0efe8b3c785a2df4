//! A task is made and started by one log entry when a worker waits for it (DESIGN §6, half the commits).

use std::time::{Duration, Instant};

use everstep::config::{Config, NamespaceSeed};
use everstep::node::Node;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use proto::temporal::api::command::v1::command::Attributes;
use proto::temporal::api::command::v1::{
    Command, CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
};
use proto::temporal::api::common::v1::{ActivityType, WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::{CommandType, EventType};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use proto::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse, RespondActivityTaskCompletedRequest, RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

type Client = WorkflowServiceClient<Channel>;

const PARKED: Duration = Duration::from_millis(300);
/// Namespace of the polls that come and go.
const LEAVERS: &str = "leavers";
const STARTS: usize = 50;
/// A workflow task that nobody answers times out after 10 s.
const BEFORE_TIMEOUTS: Duration = Duration::from_secs(9);

fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: "orders".into(), ..Default::default() })
}

async fn node(directory: &std::path::Path) -> (Node, Client) {
    let mut config = Config { data_dir: directory.to_owned(), data_shards: 1, ..Config::default() };
    config.listen.api = "127.0.0.1:0".parse().expect("an address");
    config.listen.peer = "127.0.0.1:0".parse().expect("an address");
    config.bootstrap.namespaces = vec![NamespaceSeed::named("default"), NamespaceSeed::named(LEAVERS)];
    let node = Node::start(config).await.expect("a node starts");
    let client = Client::connect(format!("http://{}", node.api_address())).await.expect("it listens");
    (node, client)
}

async fn entries(node: &Node) -> u64 {
    node.router().status().await.shards.iter().filter(|shard| shard.shard > 0).map(|shard| shard.committed).sum()
}

fn poll(client: &Client, namespace: &str) -> JoinHandle<PollWorkflowTaskQueueResponse> {
    let mut client = client.clone();
    let request =
        PollWorkflowTaskQueueRequest { namespace: namespace.into(), task_queue: queue(), ..Default::default() };
    tokio::spawn(async move { client.poll_workflow_task_queue(request).await.expect("a task").into_inner() })
}

async fn start(client: &mut Client, namespace: &str, workflow_id: &str) {
    let request = StartWorkflowExecutionRequest {
        namespace: namespace.into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "order".into() }),
        task_queue: queue(),
        request_id: workflow_id.into(),
        ..Default::default()
    };
    client.start_workflow_execution(request).await.expect("it starts");
}

async fn complete(client: &mut Client, task: PollWorkflowTaskQueueResponse, attributes: Attributes) {
    let command_type = match attributes {
        Attributes::ScheduleActivityTaskCommandAttributes(_) => CommandType::ScheduleActivityTask,
        _ => CommandType::CompleteWorkflowExecution,
    };
    let commands =
        vec![Command { command_type: command_type as i32, attributes: Some(attributes), ..Default::default() }];
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token,
        namespace: "default".into(),
        commands,
        ..Default::default()
    };
    client.respond_workflow_task_completed(request).await.expect("it counts");
}

async fn events(client: &mut Client, workflow_id: &str) -> Vec<EventType> {
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: "default".into(),
        execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() }),
        ..Default::default()
    };
    let history = client.get_workflow_execution_history(request).await.expect("it is there").into_inner().history;
    history.expect("a history").events.iter().map(|event| event.event_type()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_with_one_activity_is_four_log_entries() {
    let directory = tempfile::tempdir().expect("a directory");
    let (node, mut client) = node(directory.path()).await;
    let first = poll(&client, "default");
    let activity = {
        let mut client = client.clone();
        let request =
            PollActivityTaskQueueRequest { namespace: "default".into(), task_queue: queue(), ..Default::default() };
        tokio::spawn(async move { client.poll_activity_task_queue(request).await.expect("a task").into_inner() })
    };
    sleep(PARKED).await;
    let before = entries(&node).await;

    start(&mut client, "default", "order-1").await;
    let task = first.await.expect("no panic");
    assert_eq!(task.history.as_ref().expect("a history").events.len(), 3);
    let second = poll(&client, "default");
    sleep(PARKED).await;
    let schedule = ScheduleActivityTaskCommandAttributes {
        activity_id: "1".into(),
        activity_type: Some(ActivityType { name: "pay".into() }),
        task_queue: queue(),
        start_to_close_timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    complete(&mut client, task, Attributes::ScheduleActivityTaskCommandAttributes(schedule)).await;
    let activity = activity.await.expect("no panic");
    let done = RespondActivityTaskCompletedRequest {
        task_token: activity.task_token,
        namespace: "default".into(),
        ..Default::default()
    };
    client.respond_activity_task_completed(done).await.expect("it counts");
    let task = second.await.expect("no panic");
    let close = CompleteWorkflowExecutionCommandAttributes::default();
    complete(&mut client, task, Attributes::CompleteWorkflowExecutionCommandAttributes(close)).await;

    assert_eq!(entries(&node).await - before, 4);
    assert_eq!(events(&mut client, "order-1").await.last(), Some(&EventType::WorkflowExecutionCompleted));
    node.shutdown().await;
}

async fn come_and_go(client: Client, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let poll = poll(&client, LEAVERS);
        sleep(Duration::from_millis(7)).await;
        poll.abort();
    }
}

/// Workflow tasks that the server has answered polls with. What was on its way when its poll went away is lost, as with
/// any server, so it cannot be counted where it arrives.
fn answered(metrics: &PrometheusHandle) -> usize {
    let text = metrics.render();
    let counts = text.lines().filter(|line| line.starts_with("poll_success{") && line.contains(LEAVERS));
    counts.filter_map(|line| line.rsplit_once(' ')).map(|(_, count)| count.parse::<usize>().expect("a count")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_started_for_a_poller_that_has_gone_does_not_wait_for_its_timeout() {
    let directory = tempfile::tempdir().expect("a directory");
    let metrics = PrometheusBuilder::new().install_recorder().expect("the first recorder");
    let (node, mut client) = node(directory.path()).await;
    // Polls come and go all the time while workflows start.
    let stop = CancellationToken::new();
    let leaving = tokio::spawn(come_and_go(client.clone(), stop.clone()));
    let begun = Instant::now();
    for number in 0..STARTS {
        start(&mut client, LEAVERS, &format!("order-{number}")).await;
    }
    stop.cancel();
    leaving.await.expect("no panic");
    while answered(&metrics) < STARTS && begun.elapsed() < BEFORE_TIMEOUTS {
        let mut poll = poll(&client, LEAVERS);
        if timeout(Duration::from_secs(1), &mut poll).await.is_err() {
            poll.abort();
        }
    }
    assert_eq!(answered(&metrics), STARTS, "every task is given out before its timeout, and once");
    node.shutdown().await;
}
