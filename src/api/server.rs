//! The gRPC server: services, HTTP/2 settings, start and graceful end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use proto::grpc::health::v1::health_server::HealthServer;
use proto::temporal::api::operatorservice::v1::operator_service_server::OperatorServiceServer;
use proto::temporal::api::workflowservice::v1::workflow_service_server::WorkflowServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_reflection::server::Builder as Reflection;

use super::connections::accept;
use super::envelope::EnvelopeLayer;
use super::fast_lane::FastLane;
use super::frontend::{ApiParts, Frontend};
use super::health::HealthService;
use super::operator_service::OperatorService;
use super::workflow_service::WorkflowService;
use crate::telemetry::requests::MetricsLayer;

const CONNECTIONS_MAX: usize = 10_000;
/// Calls of one connection at a time; an SDK keeps some dozens of polls open.
const STREAMS_MAX: u32 = 1000;
const HEADER_BYTES_MAX: u32 = 16 << 10;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections are closed now and then, so that clients spread over nodes that came later. Longer than a long poll is
/// the grace that calls have to end.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
const CONNECTION_GRACE: Duration = Duration::from_secs(70);
/// What a poll may answer: a page of history of 256 batches has no smaller bound than its events have.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// How often the beginning looks for the namespaces it waits for.
const LOOK: Duration = Duration::from_millis(20);

/// Serves the API on `listener` until `stop`, then lets calls that run end, within the configured time. Health is told
/// by `serving`, once the namespaces that the cluster begins with can be used.
pub async fn serve(
    parts: ApiParts,
    listener: TcpListener,
    serving: watch::Receiver<bool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (healthy, seen) = watch::channel(false);
    let frontend = Arc::new(Frontend::new(parts.clone()));
    let workflow = workflow_service(&parts, frontend.clone());
    let routes = routes(&parts, frontend, workflow.clone(), seen)?;
    let server = Server::builder()
        .layer(MetricsLayer::default())
        .layer(EnvelopeLayer)
        .layer(FastLane::new(workflow))
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_GRACE)
        .add_routes(routes)
        .serve_with_incoming_shutdown(accept(listener, CONNECTIONS_MAX), stop.clone().cancelled_owned());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(parts.config.frontend.shutdown_drain).await;
    };
    tokio::select! {
        ended = server => ended.context("the API server ended"),
        () = tell_health(&parts, serving, &healthy) => unreachable!("health is told for ever"),
        () = drained => {
            tracing::info!("calls that did not end in time are dropped");
            Ok(())
        }
    }
}

/// Healthy is a node that serves, of a cluster whose first namespaces can be used.
async fn tell_health(parts: &ApiParts, mut serving: watch::Receiver<bool>, healthy: &watch::Sender<bool>) {
    until_ready(parts).await;
    loop {
        let now = *serving.borrow_and_update();
        healthy.send_replace(now);
        if serving.changed().await.is_err() {
            healthy.send_replace(false);
            return std::future::pending().await;
        }
    }
}

fn workflow_service(parts: &ApiParts, frontend: Arc<Frontend>) -> WorkflowServiceServer<WorkflowService> {
    WorkflowServiceServer::new(WorkflowService::new(frontend))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(parts.config.frontend.message_bytes_max)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

fn routes(
    parts: &ApiParts,
    frontend: Arc<Frontend>,
    workflow: WorkflowServiceServer<WorkflowService>,
    serving: watch::Receiver<bool>,
) -> anyhow::Result<Routes> {
    let message_bytes_max = parts.config.frontend.message_bytes_max;
    let operator = OperatorServiceServer::new(OperatorService::new(frontend))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let health = HealthServer::new(HealthService::new(serving))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let reflection = || Reflection::configure().register_encoded_file_descriptor_set(proto::PUBLIC_DESCRIPTORS);
    let mut routes = Routes::builder();
    routes
        .add_service(workflow)
        .add_service(operator)
        .add_service(health)
        .add_service(reflection().build_v1().context("the API's descriptors")?)
        .add_service(reflection().build_v1alpha().context("the API's descriptors")?);
    Ok(routes.routes())
}

/// Waits until the cluster exists and the namespaces it is to begin with can be used.
async fn until_ready(parts: &ApiParts) {
    while parts.router.cluster().is_none() {
        tokio::time::sleep(LOOK).await;
    }
    for seed in &parts.config.bootstrap.namespaces {
        while parts.namespaces.by_name(&seed.name).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }
}
