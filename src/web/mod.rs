//! The web pages: plain HTML made on the server, readable without scripts, on small screens and in the dark. They show
//! what the API answers, from the same functions, and change nothing.
//!
//! ```text
//! browser ─► axum routes ─► pages/* ─► WebBackend (the API's own functions)
//!                              └─► html (escapes everything), history_text, decode
//! ```
//! Whatever comes from outside reaches a page through [`html::Html::text`] only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::Router;
use proto::everstep::admin::v1::ClusterStatusResponse;
use proto::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse, GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse, ListNamespacesRequest, ListNamespacesResponse, ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;

mod decode;
mod format;
pub mod history_text;
mod html;
mod pages;

const PAGE_TIMEOUT: Duration = Duration::from_secs(15);
/// No scripts, nothing from elsewhere, no frames.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'self'; script-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// What the pages ask; answered by the API's own functions.
#[tonic::async_trait]
pub trait WebBackend: Send + Sync + 'static {
    async fn list_namespaces(&self, request: ListNamespacesRequest) -> Result<ListNamespacesResponse, Status>;
    async fn list_workflows(
        &self,
        request: ListWorkflowExecutionsRequest,
    ) -> Result<ListWorkflowExecutionsResponse, Status>;
    async fn describe(
        &self,
        request: DescribeWorkflowExecutionRequest,
    ) -> Result<DescribeWorkflowExecutionResponse, Status>;
    async fn history(
        &self,
        request: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, Status>;
    async fn cluster_status(&self) -> Result<ClusterStatusResponse, Status>;
}

/// Serves the pages until `stop`.
pub async fn serve(
    address: SocketAddr,
    backend: Arc<dyn WebBackend>,
    stop: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    run("listen.web", address, router(backend), stop).await
}

/// Holds the port of the HTTP API, and says that it is not built yet.
pub async fn serve_http_placeholder(address: SocketAddr, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let app = Router::new().fallback(async || {
        // The shape of google.rpc.Status; 12 is UNIMPLEMENTED.
        let body = r#"{"code":12,"message":"Everstep does not serve Temporal's HTTP API yet; use gRPC","details":[]}"#;
        (StatusCode::NOT_IMPLEMENTED, [("content-type", "application/json")], body)
    });
    run("listen.http", address, app, stop).await
}

async fn run(key: &str, address: SocketAddr, app: Router, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "the listener on {address} ended");
        }
    });
    Ok(bound)
}

type Backend = State<Arc<dyn WebBackend>>;

fn router(backend: Arc<dyn WebBackend>) -> Router {
    Router::new()
        .route("/", get(pages::namespaces::page))
        .route("/namespaces/{namespace}/workflows", get(pages::workflows::page))
        .route("/namespaces/{namespace}/workflows/{workflow}/{run}", get(pages::workflow::page))
        .route("/cluster", get(pages::cluster::page))
        .fallback(async || pages::error::not_found("There is no such page."))
        .layer(middleware::from_fn(guard))
        .with_state(backend)
}

/// Around every page: a limit of time, and the headers that keep foreign content harmless.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(PAGE_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => pages::error::page(&Status::deadline_exceeded("The cluster did not answer in time.")).into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
