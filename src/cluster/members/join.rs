//! A new node asks for its place. The answer is the list of all nodes; the rest comes with the system shard's log.

use std::time::Duration;

use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::JoinNodeRequest;
use tokio::time::sleep;
use tonic::transport::Endpoint;
use tonic::Code;

use crate::cluster::Router;

const CONNECT: Duration = Duration::from_secs(1);
const CALL: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(500);

/// Asks one after the other until one of them says yes; `Err` with the reason if one says no.
pub(in crate::cluster) async fn join(router: &Router, cluster_id: &str, addresses: &[String]) -> Result<(), String> {
    let node = &router.facts.node;
    let request = JoinNodeRequest {
        cluster_id: cluster_id.into(),
        node_id: node.node_id,
        peer_address: node.peer_address.clone(),
        api_address: node.api_address.clone(),
        web_address: node.web_address.clone(),
        incarnation: router.facts.incarnation.clone(),
    };
    tracing::info!(node = node.node_id, ?addresses, "asks to join the cluster");
    loop {
        for address in addresses {
            match ask(address, request.clone()).await {
                Ok(nodes) => {
                    router.peers.learn(nodes);
                    tracing::info!(node = node.node_id, "is admitted and catches up");
                    return Ok(());
                }
                Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument) => {
                    return Err(status.message().to_owned());
                }
                Err(status) => tracing::info!(address, why = status.message(), "cannot join yet"),
            }
        }
        sleep(BETWEEN).await;
    }
}

async fn ask(address: &str, request: JoinNodeRequest) -> Result<Vec<(u64, String)>, tonic::Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let channel = endpoint.connect_timeout(CONNECT).timeout(CALL).connect().await;
    let channel = channel.map_err(|_| tonic::Status::unavailable("no connection"))?;
    let joined = AdminClient::new(channel).join_node(request).await?.into_inner();
    Ok(joined.nodes.into_iter().map(|node| (node.node_id, node.peer_address)).collect())
}
