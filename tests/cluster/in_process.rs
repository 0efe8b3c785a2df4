//! Three nodes in this process, without processes and clients in between: routing, reads, handing over.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::Arc;
use std::time::Duration;

use everstep::cluster::{Router, Target, SYSTEM_SHARD};
use everstep::config::{Config, NamespaceSeed, Peer};
use everstep::node::Node;
use futures::future::{join_all, try_join_all};
use proto::temporal::api::common::v1::WorkflowType;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::{RegisterNamespaceRequest, StartWorkflowExecutionRequest};
use statemachine::op::{answer, op::Kind, NamespaceFacts, Op, RegisterNamespace, StartWorkflow};
use statemachine::{state, tables};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

pub fn configs(directory: &Path) -> Vec<Config> {
    let held: Vec<_> = free_ports().take(3).collect();
    let addresses = held.iter().map(|listener| listener.local_addr().expect("it is bound"));
    let peers: Vec<Peer> = addresses.zip(1..).map(|(address, id)| Peer { id, address: address.to_string() }).collect();
    let config = |peer: &Peer| {
        let mut config = Config {
            node_id: peer.id,
            data_dir: directory.join(peer.id.to_string()),
            peers: peers.clone(),
            ..Config::default()
        };
        config.listen.api = "127.0.0.1:0".parse().expect("an address");
        config.listen.peer = peer.address.parse().expect("an address");
        config.bootstrap.namespaces = vec![NamespaceSeed::named("default")];
        config
    };
    peers.iter().map(config).collect()
}

/// Ports nobody listens on, below the range that the system gives to outgoing connections: one of those could take a
/// port between its choice here and its use.
/// None is given out twice: the tests of one process run at the same time.
pub fn free_ports() -> impl Iterator<Item = TcpListener> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = 27_000 + (std::process::id() % 4_000) as u16;
    let ports = std::iter::repeat_with(move || first + GIVEN.fetch_add(1, Ordering::Relaxed));
    ports.take_while(|port| *port < 32_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
}

pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) fn start(namespace: &state::Namespace, workflow_id: &str) -> Op {
    let request = StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "order".into() }),
        task_queue: Some(TaskQueue { name: "orders".into(), ..Default::default() }),
        request_id: format!("request of {workflow_id}"),
        ..Default::default()
    };
    let facts = NamespaceFacts { id: namespace.id.clone(), name: "default".into(), ..Default::default() };
    Op { kind: Some(Kind::StartWorkflow(StartWorkflow { namespace: Some(facts), request: Some(request) })) }
}

/// Starts one workflow after the other until told to stop; how many and the longest wait.
pub async fn starts(
    router: Arc<Router>,
    namespace: Arc<state::Namespace>,
    name: String,
    stop: CancellationToken,
) -> (u32, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !stop.is_cancelled() {
        let workflow_id = format!("{name}-{count}");
        let target = Target::Workflow { namespace_id: &namespace.id, workflow_id: &workflow_id };
        let begun = Instant::now();
        let committed = router.propose(target, start(&namespace, &workflow_id), soon()).await.expect("it is committed");
        assert!(matches!(committed.answer.kind, Some(answer::Kind::StartWorkflow(_))), "{:?}", committed.answer);
        slowest = slowest.max(begun.elapsed());
        count += 1;
    }
    (count, slowest)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_answer_alike_and_one_leaves_without_a_failed_call() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configs = configs(directory.path());
    let mut nodes = try_join_all(configs.into_iter().map(Node::start)).await.expect("three nodes start");

    registered_on_one_node_known_on_another(&nodes).await;
    let namespace = nodes[0].namespaces().by_name("default").await.expect("it was bootstrapped");
    started_on_one_node_read_on_another(&nodes, &namespace).await;

    let stop = CancellationToken::new();
    let leaving = nodes.pop().expect("there are three");
    let load = join_all(nodes.iter().map(|node| {
        let name = format!("load-{}", node.router().this_node());
        tokio::spawn(starts(node.router().clone(), namespace.clone(), name, stop.clone()))
    }));
    let load = tokio::spawn(load);
    tokio::time::sleep(Duration::from_millis(500)).await;
    leaving.shutdown().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();
    for counted in load.await.expect("the load ends") {
        let (count, slowest) = counted.expect("no start fails");
        println!("{count} starts, the slowest took {slowest:?}");
    }

    let snapshot = nodes[0].router().read(Target::System, soon()).await.expect("a majority is left");
    assert_eq!(tables::nodes(&snapshot).expect("readable").len(), 3);
    join_all(nodes.into_iter().map(Node::shutdown)).await;
}

async fn registered_on_one_node_known_on_another(nodes: &[Node]) {
    let request = RegisterNamespaceRequest {
        namespace: "second".into(),
        workflow_execution_retention_period: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        ..Default::default()
    };
    let op = Op { kind: Some(Kind::RegisterNamespace(RegisterNamespace { request: Some(request) })) };
    let committed = nodes[1].router().propose(Target::System, op, soon()).await.expect("it is committed");
    assert_eq!(committed.shard, SYSTEM_SHARD);
    for node in nodes {
        let namespace = node.namespaces().by_name("second").await.expect("known everywhere at once");
        assert_eq!(node.namespaces().by_id(&namespace.id).await.expect("by id as well"), namespace);
    }
}

async fn started_on_one_node_read_on_another(nodes: &[Node], namespace: &state::Namespace) {
    for number in 0..12 {
        let workflow_id = format!("order-{number}");
        let target = Target::Workflow { namespace_id: &namespace.id, workflow_id: &workflow_id };
        let writer = nodes[number % 3].router();
        let op = start(namespace, &workflow_id);
        let first = writer.propose(target, op.clone(), soon()).await.expect("it is committed");
        let again = nodes[(number + 1) % 3].router().propose(target, op, soon()).await.expect("it is committed");
        let run = |answer: &statemachine::op::Answer| match &answer.kind {
            Some(answer::Kind::StartWorkflow(started)) => started.run_id.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(run(&first.answer), run(&again.answer), "the same request starts one run");
        for node in nodes {
            let rows = node.router().read(target, soon()).await.expect("a barrier passes");
            let current = tables::current(&rows, &namespace.id, &workflow_id).expect("readable").expect("it is there");
            assert_eq!(current.run_id, run(&first.answer));
        }
    }
}
