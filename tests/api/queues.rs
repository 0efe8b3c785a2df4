//! Task queues: what is told of them, and the order and speed in which they are served.

use std::time::Instant;

use proto::temporal::api::enums::v1::{DescribeTaskQueueMode, RateLimitSource, TaskQueueType};
use proto::temporal::api::taskqueue::v1::{RateLimit, TaskQueueMetadata};
use proto::temporal::api::worker::v1::WorkerHeartbeat;
use proto::temporal::api::workflowservice::v1::update_task_queue_config_request::RateLimitUpdate;
use proto::temporal::api::workflowservice::v1::{
    CountWorkersRequest, DescribeTaskQueueRequest, DescribeTaskQueueResponse, DescribeWorkerRequest,
    ListTaskQueuePartitionsRequest, ListWorkersRequest, PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest,
    RecordWorkerHeartbeatRequest, UpdateTaskQueueConfigRequest,
};

use crate::support::{node, queue, until, with_priority, Client};

async fn describe(client: &mut Client, request: DescribeTaskQueueRequest) -> DescribeTaskQueueResponse {
    let request = DescribeTaskQueueRequest { namespace: "default".into(), task_queue: queue("orders"), ..request };
    client.describe_task_queue(request).await.expect("a description").into_inner()
}

async fn poll(client: &mut Client) -> (String, i32) {
    let request =
        PollWorkflowTaskQueueRequest { namespace: "default".into(), task_queue: queue("orders"), ..Default::default() };
    let task = client.poll_workflow_task_queue(request).await.expect("a task").into_inner();
    let advice = task.poller_scaling_decision.map(|advice| advice.poll_request_delta_suggestion).unwrap_or_default();
    (task.workflow_execution.expect("its workflow").workflow_id, advice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_told_by_priority_and_served_by_priority_and_fairness() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    for number in 0..30 {
        let request = with_priority(&format!("many-{number:02}"), 3, "many");
        client.start_workflow_execution(request).await.expect("it starts");
    }
    for (workflow_id, priority, key) in
        [("late-0", 5, ""), ("few-0", 3, "few"), ("few-1", 3, "few"), ("urgent-0", 1, "")]
    {
        client.start_workflow_execution(with_priority(workflow_id, priority, key)).await.expect("it starts");
    }
    let stats = DescribeTaskQueueRequest { report_stats: true, ..Default::default() };
    let told = describe(&mut client, stats.clone()).await;
    let counts: Vec<_> =
        told.stats_by_priority_key.iter().map(|(key, stats)| (*key, stats.approximate_backlog_count)).collect();
    assert_eq!(counts, [(1, 1), (3, 32), (5, 1)]);
    let total = told.stats.expect("asked for");
    assert_eq!(total.approximate_backlog_count, 34);
    assert!(total.approximate_backlog_age.is_some_and(|age| age.nanos > 0 || age.seconds > 0));
    assert!(total.tasks_add_rate > 1.0 && total.tasks_dispatch_rate == 0.0, "{total:?}");

    #[expect(deprecated, reason = "clients still ask in the older way")]
    let enhanced = DescribeTaskQueueRequest { api_mode: DescribeTaskQueueMode::Enhanced as i32, ..stats };
    let told = describe(&mut client, enhanced).await;
    let by_type = &told.versions_info[""].types_info;
    let workflow = by_type[&(TaskQueueType::Workflow as i32)].stats.expect("asked for");
    assert_eq!((workflow.approximate_backlog_count, by_type.len()), (34, 3));

    // Everything waits for longer than advice is held back for.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(poll(&mut client).await);
    }
    assert_eq!(order[0].0, "urgent-0");
    let few = order.iter().filter(|(id, _)| id.starts_with("few")).count();
    assert_eq!(few, 2, "a key with little waits for no more than its turn: {order:?}");
    assert!(order.iter().all(|(_, advice)| *advice == 1), "more pollers would help: {order:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_was_set_holds_and_goes_before_that_of_workers() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    let set = |rate: Option<f32>| UpdateTaskQueueConfigRequest {
        namespace: "default".into(),
        task_queue: "orders".into(),
        task_queue_type: TaskQueueType::Workflow as i32,
        update_fairness_key_rate_limit_default: Some(RateLimitUpdate {
            rate_limit: rate.map(|requests_per_second| RateLimit { requests_per_second }),
            reason: "calm".into(),
        }),
        ..Default::default()
    };
    client.update_task_queue_config(set(Some(4.0))).await.expect("it is set");
    for number in 0..8 {
        client.start_workflow_execution(with_priority(&format!("w{number}"), 3, "one")).await.expect("it starts");
    }
    let begun = Instant::now();
    for _ in 0..7 {
        poll(&mut client).await;
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(took > 0.5, "four at once, then four a second: {took}");
    client.update_task_queue_config(set(None)).await.expect("it is taken back");
    poll(&mut client).await;

    let on_activities = UpdateTaskQueueConfigRequest {
        task_queue_type: TaskQueueType::Activity as i32,
        update_queue_rate_limit: Some(RateLimitUpdate {
            rate_limit: Some(RateLimit { requests_per_second: 7.0 }),
            reason: "calm".into(),
        }),
        ..set(None)
    };
    client.update_task_queue_config(on_activities).await.expect("it is set");
    let request = DescribeTaskQueueRequest {
        task_queue_type: TaskQueueType::Activity as i32,
        report_config: true,
        ..Default::default()
    };
    let told = describe(&mut client, request).await;
    let effective = told.effective_rate_limit.expect("told");
    assert_eq!((effective.requests_per_second, effective.rate_limit_source()), (7.0, RateLimitSource::Api));
    assert_eq!(told.config.expect("asked for").queue_rate_limit.expect("set").metadata.expect("why").reason, "calm");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_that_is_told_is_the_one_that_holds() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let soon = std::time::Duration::from_millis(50);
    let (node, channel) = node(directory.path(), |config| config.frontend.poll_timeout = soon).await;
    let mut client = Client::new(channel);
    let unlimited = (100_000.0, RateLimitSource::System);
    let asked = [
        ("a", None, unlimited),
        ("a", Some(5.0), (5.0, RateLimitSource::Worker)),
        ("b", Some(80.0), (80.0, RateLimitSource::Worker)),
        ("c", None, (80.0, RateLimitSource::Worker)),
        ("c", Some(0.0), (0.0, RateLimitSource::Worker)),
    ];
    for (identity, rate, expected) in asked {
        let request = PollActivityTaskQueueRequest {
            namespace: "default".into(),
            task_queue: queue("orders"),
            identity: identity.into(),
            task_queue_metadata: Some(TaskQueueMetadata { max_tasks_per_second: rate }),
            ..Default::default()
        };
        client.poll_activity_task_queue(request).await.expect("nothing to do");
        let request =
            DescribeTaskQueueRequest { task_queue_type: TaskQueueType::Activity as i32, ..Default::default() };
        let told = describe(&mut client, request).await.effective_rate_limit.expect("told");
        assert_eq!((told.requests_per_second, told.rate_limit_source()), expected, "{identity} asks for {rate:?}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_page_by_page_and_a_queue_is_its_only_partition() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    let heartbeat = |number: usize| WorkerHeartbeat {
        worker_instance_key: format!("key-{number:02}"),
        task_queue: if number.is_multiple_of(2) { "even".into() } else { "odd".into() },
        ..Default::default()
    };
    let request = RecordWorkerHeartbeatRequest {
        namespace: "default".into(),
        worker_heartbeat: (0..20).map(heartbeat).collect(),
        ..Default::default()
    };
    client.record_worker_heartbeat(request).await.expect("recorded");
    let (mut token, mut keys) = (Default::default(), Vec::new());
    loop {
        let request = ListWorkersRequest {
            namespace: "default".into(),
            page_size: 3,
            next_page_token: token,
            query: "TaskQueue = 'even'".into(),
            ..Default::default()
        };
        let page = client.list_workers(request).await.expect("a page").into_inner();
        keys.extend(page.workers.into_iter().map(|worker| worker.worker_instance_key));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let even: Vec<_> = (0..20).step_by(2).map(|number| format!("key-{number:02}")).collect();
    assert_eq!(keys, even);
    for (query, expected) in [("", 20), ("TaskQueue = 'odd'", 10)] {
        let request = CountWorkersRequest { namespace: "default".into(), query: query.into(), ..Default::default() };
        assert_eq!(client.count_workers(request).await.expect("counted").into_inner().count, expected);
    }
    let request = DescribeWorkerRequest { namespace: "default".into(), worker_instance_key: "key-07".into() };
    let worker = client.describe_worker(request).await.expect("known").into_inner().worker_info.expect("told");
    assert_eq!(worker.worker_heartbeat.expect("told").task_queue, "odd");
    let partitions = ListTaskQueuePartitionsRequest { namespace: "default".into(), task_queue: queue("orders") };
    let told = client.list_task_queue_partitions(partitions).await.expect("told").into_inner();
    assert_eq!(told.workflow_task_queue_partitions[0].key, "orders");
    until(|| async { node.router().data_shards().len() == 3 }).await;
    node.shutdown().await;
}
