//! Ways to the servers.

use std::time::Duration;

use anyhow::{anyhow, bail, Context};
use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use proto::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use tonic::transport::{Channel, Endpoint};

use super::options::Options;

pub(super) type Client = WorkflowServiceClient<Channel>;

const MESSAGE_MOST: usize = 64 << 20;
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(30);

/// What starts workflows and what works on them.
pub(super) struct Clients {
    pub(super) starters: Vec<Client>,
    pub(super) workers: Vec<Client>,
}

impl Clients {
    pub(super) async fn connect(options: &Options) -> anyhow::Result<Self> {
        Ok(Self { starters: clients(options).await?, workers: clients(options).await? })
    }
}

/// One client a connection, the addresses in turn.
async fn clients(options: &Options) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..options.connections {
        for address in &options.address {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))
                .map_err(|_| anyhow!("--address: `{address}` is not HOST:PORT"))?
                .tcp_nodelay(true)
                .initial_connection_window_size(16 << 20)
                .connect_timeout(Duration::from_secs(5));
            let channel = endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))?;
            clients.push(Client::new(channel).max_decoding_message_size(MESSAGE_MOST));
        }
    }
    Ok(clients)
}

pub(super) async fn wait_for_namespace(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    loop {
        let request = DescribeNamespaceRequest { namespace: namespace.into(), ..Default::default() };
        match client.clone().describe_namespace(request).await {
            Ok(_) => return Ok(()),
            Err(status) if begun.elapsed() > NAMESPACE_PATIENCE => {
                bail!("namespace `{namespace}` cannot be used: {}", status.message())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
