//! grpc.health.v1: who watches is told at once, and again when it changes.

use std::time::Duration;

use proto::grpc::health::v1::health_check_response::ServingStatus;
use proto::grpc::health::v1::health_client::HealthClient;
use proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tokio::time::timeout;
use tonic::Streaming;

use crate::support::node;

async fn next(stream: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let told = timeout(Duration::from_secs(5), stream.message()).await.ok()?;
    told.expect("the stream is well").map(|told| told.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_of_the_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = HealthClient::new(channel);
    let service = "temporal.api.workflowservice.v1.WorkflowService".to_owned();
    let mut known = client.watch(HealthCheckRequest { service }).await.expect("a stream").into_inner();
    // A node that has just started may say so first.
    let mut first = next(&mut known).await;
    if first == Some(ServingStatus::NotServing) {
        first = next(&mut known).await;
    }
    assert_eq!(first, Some(ServingStatus::Serving));
    let nobody = HealthCheckRequest { service: "nobody".into() };
    let mut unknown = client.watch(nobody).await.expect("a stream").into_inner();
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    let quiet = timeout(Duration::from_millis(200), unknown.message()).await;
    assert!(quiet.is_err(), "it may become known, so the stream stays open");
    drop(unknown);
    let stopping = tokio::spawn(node.shutdown());
    assert_eq!(next(&mut known).await, Some(ServingStatus::NotServing));
    drop((known, client));
    stopping.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_answers_for_the_services_it_knows() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    let mut client = HealthClient::new(channel);
    // A node that has just started may watch first: the stream tells when it serves.
    let mut watched = client.watch(HealthCheckRequest::default()).await.expect("a stream").into_inner();
    while next(&mut watched).await != Some(ServingStatus::Serving) {}
    for known in ["", "temporal.api.workflowservice.v1.WorkflowService"] {
        let answer = client.check(HealthCheckRequest { service: known.into() }).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{known}");
    }
    let refused = client.check(HealthCheckRequest { service: "nobody".into() }).await.expect_err("not known");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    drop((watched, client));
    node.shutdown().await;
}
