//! What a namespace orders for all its runs.

use std::time::Duration;

use everstep::cluster::Target;
use everstep::node::Node;
use proto::temporal::api::enums::v1::NamespaceState;
use proto::temporal::api::namespace::v1::{BadBinaries, BadBinaryInfo, NamespaceConfig, UpdateNamespaceInfo};
use proto::temporal::api::operatorservice::v1::operator_service_client::OperatorServiceClient;
use proto::temporal::api::operatorservice::v1::DeleteNamespaceRequest;
use proto::temporal::api::replication::v1::NamespaceReplicationConfig;
use proto::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, ListNamespacesRequest, PollWorkflowTaskQueueRequest, RegisterNamespaceRequest,
    RespondWorkflowTaskCompletedRequest, UpdateNamespaceRequest,
};
use statemachine::state::Run;
use statemachine::tables;
use tonic::Code;

use crate::support::{node, queue, start, start_request, terminate, until, Client};

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

fn update(change: impl FnOnce(&mut UpdateNamespaceRequest)) -> UpdateNamespaceRequest {
    let mut request = UpdateNamespaceRequest { namespace: "other".into(), ..Default::default() };
    change(&mut request);
    request
}

fn to_state(state: NamespaceState) -> UpdateNamespaceRequest {
    update(|request| {
        request.update_info = Some(UpdateNamespaceInfo { state: state as i32, ..Default::default() });
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_only_comes_closer_to_its_end() {
    use NamespaceState::{Deleted, Deprecated, Registered};
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    let mut unknown = to_state(Deleted);
    unknown.update_info.as_mut().expect("set").state = 17;
    let refused = client.update_namespace(unknown).await.expect_err("no such state");
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "Invalid namespace state update."));
    for (state, expected) in [
        (Registered, true),
        (Deprecated, true),
        (Registered, false),
        (Deleted, true),
        (Deleted, true),
        (Deprecated, false),
    ] {
        let answer = client.update_namespace(to_state(state)).await;
        let refusal = answer.err().map(|status| (status.code(), status.message().to_owned()));
        let expected = (!expected).then(|| (Code::InvalidArgument, "Invalid namespace state update.".to_owned()));
        assert_eq!(refusal, expected, "to {state:?}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_namespace_keeps_to_the_configuration() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |config| {
        config.limits.retention_min = Duration::from_secs(60);
        config.limits.blob_bytes = 12_345;
    })
    .await;
    let mut client = Client::new(channel);
    let keep = |seconds| {
        update(|request| {
            let workflow_execution_retention_ttl = Some(prost_types::Duration { seconds, nanos: 0 });
            request.config = Some(NamespaceConfig { workflow_execution_retention_ttl, ..Default::default() });
        })
    };
    client.update_namespace(keep(60)).await.expect("as long as it must be");
    let refused = client.update_namespace(keep(59)).await.expect_err("too short");
    assert_eq!(refused.message(), "A valid retention period is not set on request.");
    let elsewhere = update(|request| {
        let active_cluster_name = "elsewhere".to_owned();
        request.replication_config = Some(NamespaceReplicationConfig { active_cluster_name, ..Default::default() });
    });
    let refused = client.update_namespace(elsewhere).await.expect_err("there is no other cluster");
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "Invalid cluster name: elsewhere"));

    let request = DescribeNamespaceRequest { namespace: "other".into(), ..Default::default() };
    let described = client.describe_namespace(request).await.expect("told").into_inner().namespace_info;
    let listed = client.list_namespaces(ListNamespacesRequest::default()).await.expect("told").into_inner().namespaces;
    let listed = listed.into_iter().filter_map(|one| one.namespace_info).find(|info| info.name == "other");
    assert_eq!(listed, described, "both tell what is configured");
    let described = described.expect("told");
    assert_eq!(described.limits.expect("told").blob_size_limit_error, 12_345);
    assert!(!described.supports_schedules, "there are none");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(deprecated, reason = "older workers send checksums")]
async fn a_bad_binary_gets_no_tasks() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = Client::new(channel);
    start(&mut client, "other", "w").await;
    let poll = |binary_checksum: &str| PollWorkflowTaskQueueRequest {
        namespace: "other".into(),
        task_queue: queue("orders"),
        binary_checksum: binary_checksum.into(),
        ..Default::default()
    };
    let task = client.poll_workflow_task_queue(poll("5ad")).await.expect("a task").into_inner();
    let mark = update(|request| {
        let binaries = [("5ad".to_owned(), BadBinaryInfo::default())].into();
        let bad_binaries = Some(BadBinaries { binaries });
        request.config = Some(NamespaceConfig { bad_binaries, ..Default::default() });
    });
    client.update_namespace(mark).await.expect("it is marked");
    until(|| async {
        let known = node.namespaces().by_name("other").await.expect("it is there");
        known.config.as_ref().is_some_and(|config| !config.bad_binaries.clone().unwrap_or_default().binaries.is_empty())
    })
    .await;

    let answer = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token,
        binary_checksum: "5ad".into(),
        ..Default::default()
    };
    let refused = client.respond_workflow_task_completed(answer).await.expect_err("it decides nothing");
    let expected = (Code::InvalidArgument, "BadBinary: binary 5ad is marked as bad deployment");
    assert_eq!((refused.code(), refused.message()), expected);
    let refused = client.poll_workflow_task_queue(poll("5ad")).await.expect_err("it gets nothing");
    let expected = (Code::InvalidArgument, "Binary 5ad already marked as bad deployment.");
    assert_eq!((refused.code(), refused.message()), expected);
    let other = client.poll_workflow_task_queue(poll("900d")).await.expect("a task").into_inner();
    assert_eq!(other.attempt, 2, "another worker gets the task");
    node.shutdown().await;
}
