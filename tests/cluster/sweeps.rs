//! What a namespace orders for all its runs is carried out although the node that drives it leaves in the middle.

use std::time::Duration;

use everstep::cluster::{Router, Target, SYSTEM_SHARD};
use everstep::node::Node;
use futures::future::{join_all, try_join_all};
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::namespace::v1::NamespaceConfig;
use proto::temporal::api::workflowservice::v1::{TerminateWorkflowExecutionRequest, UpdateNamespaceRequest};
use statemachine::op::{op::Kind, NamespaceFacts, Op, TerminateWorkflow, UpdateNamespace};
use statemachine::state::Namespace;
use statemachine::tables;

use crate::in_process::{configs, soon, start};

const RUNS: usize = 200;
const HOUR: i64 = 3600 * 1_000_000_000;

async fn start_and_end(router: &Router, namespace: &Namespace, workflow_id: &str) {
    let target = Target::Workflow { namespace_id: &namespace.id, workflow_id };
    router.propose(target, start(namespace, workflow_id), soon()).await.expect("it is committed");
    let request = TerminateWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() }),
        ..Default::default()
    };
    let facts = NamespaceFacts { id: namespace.id.clone(), name: "default".into(), ..Default::default() };
    let kind = Kind::TerminateWorkflow(TerminateWorkflow { namespace: Some(facts), request: Some(request) });
    router.propose(target, Op { kind: Some(kind) }, soon()).await.expect("it is committed");
}

/// Runs with the new retention, of all shards.
async fn swept(router: &std::sync::Arc<Router>, namespace_id: &str) -> usize {
    let mut count = 0;
    for shard in router.data_shards() {
        let rows = router.read(Target::Shard(shard), soon()).await.expect("a barrier passes");
        let visit = &mut |key: &[u8], _: &[u8]| {
            let key = tables::VisibleKey::decode(key).expect("a key");
            let run = tables::run(&rows, key.run).expect("readable").expect("a run");
            count += usize::from(run.retention == 2 * HOUR);
            true
        };
        tables::VisibleKey::scan(&rows, namespace_id, None, visit).expect("readable");
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_retention_survives_the_leader_that_brings_it_to_the_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = try_join_all(configs(directory.path()).into_iter().map(Node::start)).await.expect("they start");
    let namespace = nodes[0].namespaces().by_name("default").await.expect("it was bootstrapped");
    for first in (0..RUNS).step_by(20) {
        let names: Vec<_> = (first..first + 20).map(|number| format!("w{number}")).collect();
        join_all(names.iter().map(|name| start_and_end(nodes[0].router(), &namespace, name))).await;
    }
    let retention = prost_types::Duration { seconds: 7200, nanos: 0 };
    let request = UpdateNamespaceRequest {
        namespace: "default".into(),
        config: Some(NamespaceConfig { workflow_execution_retention_ttl: Some(retention), ..Default::default() }),
        ..Default::default()
    };
    let op = Op { kind: Some(Kind::UpdateNamespace(UpdateNamespace { request: Some(request) })) };
    nodes[0].router().propose(Target::System, op, soon()).await.expect("it is committed");
    let leader = nodes[0].router().leader_of(SYSTEM_SHARD).expect("somebody leads");
    let at = nodes.iter().position(|node| node.router().this_node() == leader).expect("one of them");
    nodes.remove(at).shutdown().await;

    let end = soon();
    while swept(nodes[0].router(), &namespace.id).await < RUNS {
        assert!(tokio::time::Instant::now() < end, "some runs keep the old retention");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    join_all(nodes.into_iter().map(Node::shutdown)).await;
}
