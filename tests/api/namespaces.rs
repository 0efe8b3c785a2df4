//! What a namespace orders for all its runs.

use everstep::cluster::Target;
use everstep::node::Node;
use proto::temporal::api::namespace::v1::{NamespaceConfig, UpdateNamespaceInfo};
use proto::temporal::api::operatorservice::v1::operator_service_client::OperatorServiceClient;
use proto::temporal::api::operatorservice::v1::DeleteNamespaceRequest;
use proto::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, RegisterNamespaceRequest, UpdateNamespaceRequest,
};
use statemachine::state::Run;
use statemachine::tables;
use tonic::Code;

use crate::support::{node, start, start_request, terminate, until, Client};

const HOUR: i64 = 3600 * 1_000_000_000;

/// The runs of a namespace that are stored on any shard.
async fn runs(node: &Node, namespace_id: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    for shard in node.router().data_shards() {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
        let rows = node.router().read(Target::Shard(shard), deadline).await.expect("a barrier passes");
        let visit = &mut |key: &[u8], _: &[u8]| {
            let key = tables::VisibleKey::decode(key).expect("a key");
            runs.push(tables::run(&rows, key.run).expect("readable").expect("a run"));
            true
        };
        tables::VisibleKey::scan(&rows, namespace_id, None, visit).expect("readable");
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_retention_reaches_the_runs_that_are_closed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    let id = node.namespaces().by_name("default").await.expect("it is there").id.clone();
    for number in 0..12 {
        start(&mut client, "default", &format!("w{number}")).await;
        terminate(&mut client, "default", &format!("w{number}")).await;
    }
    start(&mut client, "default", "open").await;
    assert!(runs(&node, &id).await.iter().all(|run| run.retention == 24 * HOUR));

    let retention = prost_types::Duration { seconds: 7200, nanos: 0 };
    let request = UpdateNamespaceRequest {
        namespace: "default".into(),
        config: Some(NamespaceConfig { workflow_execution_retention_ttl: Some(retention), ..Default::default() }),
        update_info: Some(UpdateNamespaceInfo {
            data: [("team".to_owned(), "blue".to_owned())].into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let updated = client.update_namespace(request).await.expect("it is updated").into_inner();
    assert_eq!(updated.namespace_info.expect("told").data["team"], "blue");
    let kept = |run: &Run| run.close_time == 0 || run.retention_deadline == run.close_time + 2 * HOUR;
    until(|| async { runs(&node, &id).await.iter().all(kept) }).await;
    assert_eq!(runs(&node, &id).await.len(), 13);
    terminate(&mut client, "default", "open").await;
    assert!(runs(&node, &id).await.iter().all(kept), "those that close later as well");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_goes_with_its_runs_and_its_name_is_free() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel.clone());
    let id = node.namespaces().by_name("other").await.expect("it is there").id.clone();
    for number in 0..40 {
        start(&mut client, "other", &format!("w{number}")).await;
    }
    start(&mut client, "default", "mine").await;

    let request = DeleteNamespaceRequest { namespace: "other".into(), ..Default::default() };
    let deleted = OperatorServiceClient::new(channel).delete_namespace(request).await.expect("it is deleted");
    assert_eq!(deleted.into_inner().deleted_namespace, format!("other-deleted-{}", &id[..5]));
    let late = client.start_workflow_execution(start_request("other", "late")).await.expect_err("it is gone");
    assert_eq!(late.code(), Code::NotFound);

    until(|| async { runs(&node, &id).await.is_empty() }).await;
    let by_id = DescribeNamespaceRequest { id: id.clone(), ..Default::default() };
    let gone = client.describe_namespace(by_id).await.expect_err("nothing is left of it");
    assert_eq!(gone.code(), Code::NotFound);
    let mine = node.namespaces().by_name("default").await.expect("it is there").id.clone();
    assert_eq!(runs(&node, &mine).await.len(), 1, "others keep theirs");

    let again = RegisterNamespaceRequest {
        namespace: "other".into(),
        workflow_execution_retention_period: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        ..Default::default()
    };
    client.register_namespace(again).await.expect("the name is free");
    start(&mut client, "other", "w0").await;
    node.shutdown().await;
}
