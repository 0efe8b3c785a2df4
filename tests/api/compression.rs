//! Answers are compressed for clients that announce it.

use proto::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution};
use proto::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;
use tonic::codec::CompressionEncoding;

use crate::support::{node, start_request, Client};

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_gzipped_for_who_asks_and_say_the_same() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut plain = Client::new(channel.clone());
    let mut gzip = Client::new(channel).accept_compressed(CompressionEncoding::Gzip);
    let mut request = start_request("default", "large");
    let payload = Payload { data: vec![b'x'; 100_000].into(), ..Default::default() };
    request.input = Some(Payloads { payloads: vec![payload] });
    plain.start_workflow_execution(request).await.expect("it starts");

    let request = GetWorkflowExecutionHistoryRequest {
        namespace: "default".into(),
        execution: Some(WorkflowExecution { workflow_id: "large".into(), run_id: String::new() }),
        ..Default::default()
    };
    let as_it_is = plain.get_workflow_execution_history(request.clone()).await.expect("its history");
    assert_eq!(as_it_is.metadata().get("grpc-encoding"), None);
    let compressed = gzip.get_workflow_execution_history(request).await.expect("its history");
    assert_eq!(compressed.metadata().get("grpc-encoding").expect("told").to_str().ok(), Some("gzip"));
    assert_eq!(compressed.into_inner(), as_it_is.into_inner());
    let small = gzip.get_system_info(proto::temporal::api::workflowservice::v1::GetSystemInfoRequest {}).await;
    assert!(small.expect("the info").into_inner().capabilities.is_some(), "a small one goes through as it is");
    node.shutdown().await;
}
