//! Three nodes in one process, without a network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::FutureExt;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::matching_server::Matching as MatchingRpc;
use proto::temporal::api::worker::v1::WorkerHeartbeat;
use proto::temporal::api::workflowservice::v1::RespondQueryTaskCompletedRequest;
use statemachine::op::TaskRef;
use statemachine::QueueKey;
use tokio::time::{sleep, Instant};
use tonic::Request;

use super::support::{poller, queue, sticky_queue, task};
use crate::matching::types::span;
use crate::matching::{
    Call, Limits, Matching, PeerService, PollRequest, PollResult, QueryError, QueryRequest, ReadyBacklog, Reply,
    Started, Task, TaskKind, TaskSource, Topology,
};

struct Net {
    nodes: Mutex<BTreeMap<u64, Matching>>,
    home: AtomicU64,
    began: Instant,
    /// How far the clocks are ahead of what they should show, in seconds.
    wrong: AtomicI64,
}

struct View {
    net: Arc<Net>,
    node: u64,
}

impl Topology for View {
    fn this_node(&self) -> u64 {
        self.node
    }

    fn time(&self) -> i64 {
        self.net.wrong.load(Ordering::SeqCst) * span::SECOND
            + 1_000_000 * span::SECOND
            + self.net.began.elapsed().as_nanos() as i64
    }

    fn home(&self, _: &QueueKey) -> Option<u64> {
        Some(self.net.home.load(Ordering::SeqCst))
    }

    fn alive_nodes(&self) -> Vec<u64> {
        self.net.nodes.lock().expect("test").keys().copied().collect()
    }

    fn generation(&self) -> u64 {
        self.net.home.load(Ordering::SeqCst)
    }

    fn call(&self, node: u64, call: Call) -> BoxFuture<'static, Result<Reply, tonic::Status>> {
        let found = self.net.nodes.lock().expect("test").get(&node).cloned();
        async move {
            let matching = found.ok_or_else(|| tonic::Status::unavailable("no such node"))?;
            // What a network does: the call ends at the other side when this side drops it.
            answer(PeerService::new(matching), call).await
        }
        .boxed()
    }
}

async fn answer(service: PeerService, call: Call) -> Result<Reply, tonic::Status> {
    Ok(match call {
        Call::PollTask(request) => {
            Reply::PollTask(Box::new(service.poll_task(Request::new(*request)).await?.into_inner()))
        }
        Call::CancelPolls(request) => {
            Reply::CancelPolls(service.cancel_polls(Request::new(request)).await?.into_inner())
        }
        Call::OfferTasks(request) => Reply::OfferTasks(service.offer_tasks(Request::new(request)).await?.into_inner()),
        Call::PullTasks(request) => Reply::PullTasks(service.pull_tasks(Request::new(request)).await?.into_inner()),
        Call::CompleteQuery(request) => {
            Reply::CompleteQuery(service.complete_query(Request::new(*request)).await?.into_inner())
        }
        Call::FindWorkers(request) => {
            Reply::FindWorkers(service.find_workers(Request::new(request)).await?.into_inner())
        }
        Call::EndWorkerPolls(request) => {
            Reply::EndWorkerPolls(service.end_worker_polls(Request::new(request)).await?.into_inner())
        }
        Call::ForgetPolls(request) => {
            Reply::ForgetPolls(service.forget_polls(Request::new(request)).await?.into_inner())
        }
        Call::DescribeQueue(request) => {
            Reply::DescribeQueue(Box::new(service.describe_queue(Request::new(request)).await?.into_inner()))
        }
    })
}

/// A ready table in memory.
#[derive(Default)]
struct Table {
    tasks: Mutex<Vec<Task>>,
    unpolled: Mutex<Vec<Task>>,
}

impl TaskSource for Table {
    fn ready_tasks(&self, _: &QueueKey, max: usize) -> BoxFuture<'static, Vec<Task>> {
        let tasks = self.tasks.lock().expect("test").iter().take(max).cloned().collect();
        async move { tasks }.boxed()
    }

    fn unpolled(&self, task: Task) {
        self.unpolled.lock().expect("test").push(task);
    }

    fn given_back(&self, _: u32, _: TaskRef) {}

    fn backlog(&self, _: &QueueKey) -> BoxFuture<'static, ReadyBacklog> {
        let tasks = self.tasks.lock().expect("test").len() as i64;
        async move {
            let mut backlog = ReadyBacklog::default();
            backlog.add(3, tasks, 7);
            backlog
        }
        .boxed()
    }
}

struct Cluster {
    net: Arc<Net>,
    nodes: Vec<Matching>,
    tables: Vec<Arc<Table>>,
}

/// Three nodes; the first is home of every queue.
fn cluster(limits: Limits) -> Cluster {
    cluster_started_at(limits, [0; 3])
}

/// Each node's clock was wrong by so many seconds as it started, and then was set right.
fn cluster_started_at(limits: Limits, wrong: [i64; 3]) -> Cluster {
    let net = Arc::new(Net {
        nodes: Mutex::default(),
        home: AtomicU64::new(1),
        began: Instant::now(),
        wrong: AtomicI64::new(0),
    });
    let mut cluster = Cluster { net: net.clone(), nodes: Vec::new(), tables: Vec::new() };
    for node in 1..=3 {
        net.wrong.store(wrong[node as usize - 1], Ordering::SeqCst);
        let matching = Matching::start(Arc::new(View { net: net.clone(), node }), limits.clone());
        let table = Arc::new(Table::default());
        matching.set_source(table.clone());
        net.nodes.lock().expect("test").insert(node, matching.clone());
        cluster.nodes.push(matching);
        cluster.tables.push(table);
    }
    net.wrong.store(0, Ordering::SeqCst);
    cluster
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.iter().for_each(Matching::stop);
        self.net.nodes.lock().expect("test").clear();
    }
}

fn request(queue: &QueueKey, identity: &str, seconds: u64) -> PollRequest {
    PollRequest {
        queue: queue.clone(),
        sticky: false,
        poller: poller(identity),
        max_tasks_per_second: None,
        deadline: Instant::now() + Duration::from_secs(seconds),
    }
}

/// Polls and keeps the task.
async fn take(matching: &Matching, queue: &QueueKey, identity: &str, seconds: u64) -> Option<String> {
    match matching.poll(request(queue, identity, seconds)).await.expect("within the limits") {
        PollResult::Task(handed) => Some(handed.done().task.run_id),
        PollResult::Started(_) | PollResult::Empty => None,
    }
}

async fn moment() {
    sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_of_one_node_finds_a_poller_of_another() {
    let cluster = cluster(Limits::default());
    let (second, q) = (cluster.nodes[1].clone(), queue("q"));
    let polling = tokio::spawn(async move { take(&second, &queue("q"), "w", 60).await });
    moment().await;
    cluster.nodes[2].offer(vec![task(&q, "a", 3, 1)]);
    assert_eq!(polling.await.expect("no panic").as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_at_home_comes_to_a_later_poller() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    cluster.nodes[2].offer(vec![task(&q, "a", 3, 1)]);
    moment().await;
    assert_eq!(take(&cluster.nodes[1], &q, "w", 1).await.as_deref(), Some("a"));
    assert_eq!(take(&cluster.nodes[1], &q, "w", 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_poll_without_a_task_ends_at_its_deadline() {
    let cluster = cluster(Limits::default());
    let begun = Instant::now();
    assert_eq!(take(&cluster.nodes[1], &queue("q"), "w", 60).await, None);
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_poll_loses_no_task() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    for node in 0..3 {
        let mut polling = Box::pin(cluster.nodes[node].poll(request(&q, "gone", 60)));
        assert!(polling.as_mut().now_or_never().is_none());
        moment().await;
        assert!(polling.as_mut().now_or_never().is_none());
        cluster.nodes[node].offer(vec![task(&q, "a", 3, 1)]);
        drop(polling);
        moment().await;
        assert_eq!(take(&cluster.nodes[2], &q, "w", 1).await.as_deref(), Some("a"), "dropped at node {node}");
        sleep(Duration::from_secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_on_its_way_from_home_to_a_dropped_poll_goes_back() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    let mut polling = Box::pin(cluster.nodes[1].poll(request(&q, "gone", 60)));
    assert!(polling.as_mut().now_or_never().is_none());
    moment().await;
    cluster.nodes[0].offer(vec![task(&q, "a", 3, 1)]);
    drop(polling);
    moment().await;
    assert_eq!(take(&cluster.nodes[2], &q, "w", 1).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_task_for_a_node_that_died_is_offered_again_later() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    cluster.net.nodes.lock().expect("test").remove(&1);
    cluster.nodes[1].offer(vec![task(&q, "a", 3, 1)]);
    moment().await;
    assert_eq!(take(&cluster.nodes[2], &q, "w", 1).await, None);
    cluster.net.home.store(2, Ordering::SeqCst);
    cluster.nodes[1].offer(vec![task(&q, "a", 3, 1)]);
    assert_eq!(take(&cluster.nodes[2], &q, "w", 1).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_not_started_goes_back() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    cluster.nodes[0].offer(vec![task(&q, "a", 3, 1)]);
    let result = cluster.nodes[1].poll(request(&q, "w", 5)).await.expect("within the limits");
    assert!(matches!(&result, PollResult::Task(handed) if handed.task.run_id == "a"));
    drop(result);
    moment().await;
    assert_eq!(take(&cluster.nodes[2], &q, "w", 1).await.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_poller_served_by_its_own_node_leaves_the_home() {
    let cluster = cluster(Limits::default());
    let (second, q) = (cluster.nodes[1].clone(), queue("q"));
    let polling = tokio::spawn(async move { take(&second, &queue("q"), "w", 60).await });
    moment().await;
    cluster.nodes[1].offer(vec![task(&q, "a", 3, 1)]);
    assert_eq!(polling.await.expect("no panic").as_deref(), Some("a"));
    moment().await;
    cluster.nodes[0].offer(vec![task(&q, "b", 3, 1)]);
    assert_eq!(take(&cluster.nodes[2], &q, "w", 1).await.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn pollers_follow_the_home() {
    let cluster = cluster(Limits::default());
    let (second, q) = (cluster.nodes[1].clone(), queue("q"));
    let polling = tokio::spawn(async move { take(&second, &queue("q"), "w", 60).await });
    moment().await;
    cluster.net.home.store(3, Ordering::SeqCst);
    cluster.nodes[0].offer(vec![task(&q, "a", 3, 1)]);
    let begun = Instant::now();
    assert_eq!(polling.await.expect("no panic").as_deref(), Some("a"));
    assert!(begun.elapsed() <= Duration::from_millis(1200), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_pulled_later() {
    let cluster = cluster(Limits { buffered_per_queue: 4, low_water: 2, ..Limits::default() });
    let q = queue("q");
    let fresh = i64::MAX / 2;
    let tasks: Vec<Task> = (0..10).map(|number| task(&q, &format!("{number}"), 3, fresh + number)).collect();
    *cluster.tables[2].tasks.lock().expect("test") = tasks.clone();
    cluster.nodes[2].offer(tasks);
    moment().await;
    assert!(!cluster.nodes[2].wants(&q));
    let mut order = Vec::new();
    while let Some(run) = take(&cluster.nodes[1], &q, "w", 2).await {
        cluster.tables[2].tasks.lock().expect("test").retain(|task| task.task.run_id != run);
        order.push(run);
    }
    assert_eq!(order, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(cluster.nodes[2].wants(&q));
}

#[tokio::test(start_paused = true)]
async fn one_old_task_is_enough_to_have_the_rest_pulled() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    let tasks: Vec<Task> = (0..3000).map(|number| task(&q, &format!("{number}"), 3, number)).collect();
    *cluster.tables[2].tasks.lock().expect("test") = tasks.clone();
    cluster.nodes[2].offer(tasks[..1].to_vec());
    let begun = Instant::now();
    for number in 0..3000 {
        let run = take(&cluster.nodes[1], &q, "w", 2).await.expect("there are more");
        assert_eq!(run, number.to_string());
        cluster.tables[2].tasks.lock().expect("test").retain(|task| task.task.run_id != run);
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_shut_down_ends_its_polls_everywhere() {
    let cluster = cluster(Limits::default());
    let second = cluster.nodes[1].clone();
    let polling = tokio::spawn(async move { take(&second, &queue("q"), "w", 60).await });
    moment().await;
    let begun = Instant::now();
    cluster.nodes[2].shutdown_worker("ns", "sticky", "w-key").await;
    assert_eq!(polling.await.expect("no panic"), None);
    assert_eq!(take(&cluster.nodes[0], &queue("q"), "w", 60).await, None);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_node_about_to_leave_ends_its_polls_but_still_brings_its_tasks() {
    let cluster = cluster(Limits::default());
    let third = cluster.nodes[2].clone();
    let polling = tokio::spawn(async move { take(&third, &queue("q"), "w", 60).await });
    moment().await;
    cluster.nodes[2].drain().await;
    assert_eq!(polling.await.expect("no panic"), None);
    assert_eq!(take(&cluster.nodes[2], &queue("q"), "w", 60).await, None);
    cluster.nodes[2].offer(vec![task(&queue("q"), "a", 3, 1)]);
    assert_eq!(take(&cluster.nodes[1], &queue("q"), "w", 1).await.as_deref(), Some("a"));
}

/// Its worker has to find another node, and the workflow need not wait for that.
#[tokio::test(start_paused = true)]
async fn a_sticky_task_does_not_wait_for_a_worker_whose_node_leaves() {
    let cluster = cluster(Limits::default());
    sleep(Duration::from_secs(4)).await;
    let queue = sticky_queue("sticky");
    let (third, polled) = (cluster.nodes[2].clone(), PollRequest { sticky: true, ..request(&queue, "w", 60) });
    let polling = tokio::spawn(async move { third.poll(polled).await });
    moment().await;
    cluster.nodes[2].drain().await;
    assert!(matches!(polling.await.expect("no panic"), Ok(PollResult::Empty)));
    moment().await;
    let mut sticky = task(&queue, "a", 3, 1);
    sticky.sticky = true;
    cluster.nodes[1].offer(vec![sticky.clone()]);
    moment().await;
    assert_eq!(*cluster.tables[1].unpolled.lock().expect("test"), [sticky.clone()]);

    let second = cluster.nodes[1].clone();
    let polling = tokio::spawn(async move { take(&second, &queue, "w", 60).await });
    moment().await;
    cluster.nodes[1].offer(vec![sticky]);
    assert_eq!(polling.await.expect("no panic").as_deref(), Some("a"), "it polls again");
}

#[tokio::test(start_paused = true)]
async fn the_node_that_offers_a_sticky_task_hears_that_nobody_polls() {
    let cluster = cluster(Limits::default());
    sleep(Duration::from_secs(4)).await;
    let mut sticky = task(&sticky_queue("sticky"), "a", 3, 1);
    sticky.sticky = true;
    cluster.nodes[2].offer(vec![sticky.clone()]);
    moment().await;
    assert_eq!(*cluster.tables[2].unpolled.lock().expect("test"), [sticky]);
}

fn query(sticky: Option<QueueKey>, seconds: u64) -> QueryRequest {
    QueryRequest {
        sticky,
        normal: sticky_queue("normal"),
        task: peer::QueryTask { workflow_id: "wf".into(), ..Default::default() },
        deadline: Instant::now() + Duration::from_secs(seconds),
    }
}

/// A worker that answers one query, from the node it polls.
fn answer_one(matching: Matching, queue: QueueKey) -> tokio::task::JoinHandle<bool> {
    tokio::spawn(async move {
        let PollResult::Task(handed) = matching.poll(request(&queue, "w", 60)).await.expect("within the limits") else {
            panic!("no query came");
        };
        let TaskKind::Query(query) = handed.done().kind else { panic!("not a query") };
        let answer = RespondQueryTaskCompletedRequest { error_message: "answered".into(), ..Default::default() };
        matching.complete_query(query.origin_node, query.id, answer).await;
        query.sticky
    })
}

#[tokio::test(start_paused = true)]
async fn a_query_is_answered_from_another_node() {
    let cluster = cluster(Limits::default());
    let worker = answer_one(cluster.nodes[1].clone(), sticky_queue("normal"));
    moment().await;
    let answer = cluster.nodes[2].query(query(None, 10)).await.expect("a worker polls");
    assert_eq!(answer.error_message, "answered");
    assert!(!worker.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_started_with_wrong_clocks_answer_queries_for_each_other() {
    for wrong in [[3600, 0, 0], [-3600, 0, 0], [0, 0, 3600], [0, 0, -3600]] {
        let cluster = cluster_started_at(Limits::default(), wrong);
        let late = cluster.nodes[2].clone();
        let asked = tokio::spawn(async move { late.query(query(None, 10)).await });
        sleep(Duration::from_secs(2)).await;
        let worker = answer_one(cluster.nodes[1].clone(), sticky_queue("normal"));
        asked.await.expect("no panic").unwrap_or_else(|error| panic!("{wrong:?}: {error:?}"));
        assert!(!worker.await.expect("no panic"));
        let window = Duration::from_secs(30);
        assert!(cluster.nodes[2].has_recent_poller(&sticky_queue("normal"), window).await, "{wrong:?}");
        sleep(2 * window).await;
        assert!(!cluster.nodes[2].has_recent_poller(&sticky_queue("normal"), window).await, "{wrong:?}");
        let polls = cluster.nodes[2].describe(&sticky_queue("normal")).await.pollers;
        let ago = 1_000_000 * span::SECOND + cluster.net.began.elapsed().as_nanos() as i64 - polls[0].last_access;
        assert_eq!(ago / span::SECOND, 60, "{wrong:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_workers_last_word_is_found_wherever_clocks_were_wrong() {
    for wrong in [[3600, 0, 0], [0, 0, -3600]] {
        let cluster = cluster_started_at(Limits::default(), wrong);
        for (node, word) in [(0, "first"), (2, "last")] {
            let heartbeat = WorkerHeartbeat {
                worker_instance_key: "w".into(),
                worker_identity: word.into(),
                ..WorkerHeartbeat::default()
            };
            cluster.nodes[node].record_workers("ns", vec![heartbeat]);
            sleep(Duration::from_secs(1)).await;
        }
        let found = cluster.nodes[1].worker("ns", "w").await.expect("it spoke a second ago");
        assert_eq!(found.worker_identity, "last", "{wrong:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_falls_back_to_the_normal_queue() {
    let cluster = cluster(Limits::default());
    sleep(Duration::from_secs(4)).await;
    let worker = answer_one(cluster.nodes[1].clone(), sticky_queue("normal"));
    moment().await;
    let begun = Instant::now();
    cluster.nodes[2].query(query(Some(sticky_queue("sticky")), 10)).await.expect("a worker polls");
    assert!(!worker.await.expect("no panic"));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let worker = answer_one(cluster.nodes[0].clone(), sticky_queue("sticky"));
    moment().await;
    cluster.nodes[2].query(query(Some(sticky_queue("sticky")), 10)).await.expect("a worker polls");
    assert!(worker.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn a_query_without_a_worker_says_so() {
    let cluster = cluster(Limits::default());
    let begun = Instant::now();
    assert_eq!(cluster.nodes[2].query(query(None, 10)).await, Err(QueryError::NoPoller));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!cluster.nodes[1].complete_query(3, 1, Default::default()).await);
}

#[tokio::test(start_paused = true)]
async fn a_reserved_poller_outlives_its_deadline_a_little() {
    let cluster = cluster(Limits::default());
    let (first, q) = (cluster.nodes[0].clone(), queue("q"));
    let polling = tokio::spawn(async move { first.poll(request(&queue("q"), "w", 10)).await });
    moment().await;
    let reserved = cluster.nodes[0].reserve(&q).expect("one waits");
    sleep(Duration::from_secs(12)).await;
    let answer = statemachine::op::ReservationAnswer { id: reserved.id, ..Default::default() };
    cluster.nodes[0].fulfil(Started { shard: 1, answer, queries: Default::default() });
    assert!(matches!(polling.await.expect("no panic"), Ok(PollResult::Started(_))));
}

#[tokio::test(start_paused = true)]
async fn a_description_is_merged_over_the_nodes() {
    let cluster = cluster(Limits::default());
    let q = queue("q");
    *cluster.tables[2].tasks.lock().expect("test") = vec![task(&q, "a", 3, 7), task(&q, "b", 3, 8)];
    take(&cluster.nodes[0], &q, "one", 1).await;
    take(&cluster.nodes[1], &q, "two", 1).await;
    let described = cluster.nodes[2].describe(&q).await;
    let identities: Vec<&str> = described.pollers.iter().map(|poller| poller.identity.as_str()).collect();
    assert_eq!(identities, ["one", "two"]);
    assert_eq!((described.total().backlog, described.total().oldest), (2, 7));
    assert!(described.last_poll.is_some());
}
