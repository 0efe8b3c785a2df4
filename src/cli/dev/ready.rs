//! Waits for an API to be of use, and says so.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto::grpc::health::v1::health_check_response::ServingStatus;
use proto::grpc::health::v1::health_client::HealthClient;
use proto::grpc::health::v1::HealthCheckRequest;
use tonic::transport::Endpoint;

use super::layout::{reachable, Layout, State};

const BETWEEN_CHECKS: Duration = Duration::from_millis(25);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// Returns once the node's health service says SERVING; asks for ever.
pub(super) async fn serving(address: SocketAddr) {
    while !is_serving(reachable(address)).await {
        tokio::time::sleep(BETWEEN_CHECKS).await;
    }
}

async fn is_serving(address: SocketAddr) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else { return false };
    let endpoint = endpoint.connect_timeout(CHECK_TIMEOUT).timeout(CHECK_TIMEOUT);
    let Ok(channel) = endpoint.connect().await else { return false };
    let request = HealthCheckRequest { service: SERVICE.into() };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => answer.get_ref().status() == ServingStatus::Serving,
        Err(_) => false,
    }
}

/// Tells where everything is; what scripts and people wait for.
pub(super) fn announce(layout: &Layout, state: &State, started: Instant) {
    let fate = if layout.is_temporary() { " (thrown away at exit)" } else { "" };
    let plural = if state.nodes.len() == 1 { "" } else { "s" };
    println!(
        "Everstep {}: {} node{plural}, data in {}{fate}",
        env!("CARGO_PKG_VERSION"),
        state.nodes.len(),
        layout.root.display()
    );
    println!("Server:   {}", state.address);
    if let Some(web) = state.web {
        println!("UI:       http://{web}");
    }
    if let Some(http) = state.http {
        println!("HTTP:     http://{http}");
    }
    match state.nodes.as_slice() {
        [node] => node.metrics.iter().for_each(|metrics| println!("Metrics:  http://{metrics}/metrics")),
        nodes => {
            for node in nodes {
                let pid = node.pid.map_or_else(|| "down".into(), |pid| format!("pid {pid}"));
                println!("Node {}:   {pid}, API {}, peers {}", node.id, node.api, node.peer);
            }
        }
    }
    println!("State:    {}", layout.state_file().display());
    println!("Ready after {:.1} s.", started.elapsed().as_secs_f64());
}
