//! The Prometheus endpoint.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{anyhow, Context};
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::Router;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::catalog::{self, Kind, Metric};
use super::process;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
/// Histograms collect samples until this moves them into buckets.
const UPKEEP: Duration = Duration::from_secs(5);
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Starts to collect and serves `/metrics` until `stop`. Without it, what is recorded is lost.
pub async fn serve(address: SocketAddr, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let handle = install()?;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listen.metrics: cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let upkeep = tokio::spawn(keep_up(handle.clone(), stop.clone()));
    let app = Router::new().route("/metrics", get(move || render(handle.clone())));
    tokio::spawn(async move {
        let ended = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the metrics endpoint ended");
        }
        upkeep.abort();
    });
    Ok(bound)
}

fn install() -> anyhow::Result<PrometheusHandle> {
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in catalog::ALL.iter().filter(|metric| metric.kind == Kind::Histogram) {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), catalog::buckets(metric.unit))?;
    }
    let handle = builder.install_recorder().map_err(|error| anyhow!("metrics are already set up: {error}"))?;
    catalog::ALL.iter().for_each(describe);
    process::started();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

fn describe(metric: &Metric) {
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
        Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
        Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
    }
}

async fn render(handle: PrometheusHandle) -> impl axum::response::IntoResponse {
    process::measure();
    ([(CONTENT_TYPE, TEXT_FORMAT)], handle.render())
}

async fn keep_up(handle: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporals_names_stay_as_they_are() {
        let handle = install().expect("first recorder of this test process");
        metrics::counter!("service_requests", "operation" => "StartWorkflowExecution").increment(1);
        metrics::histogram!("service_latency", "operation" => "StartWorkflowExecution").record(0.003);
        let text = handle.render();
        assert!(text.contains("service_requests{operation=\"StartWorkflowExecution\"} 1"), "{text}");
        assert!(text.contains("service_latency_bucket{operation=\"StartWorkflowExecution\",le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("# HELP service_requests Requests taken."), "{text}");
    }
}
