//! `everstep cluster`: looks at a running cluster and changes its members, through any of its nodes.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{ClusterStatusRequest, ClusterStatusResponse};
use tonic::transport::{Channel, Endpoint};

mod change;
mod status;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Nodes, shards, leaders and lag, as a table or as JSON.
    Status {
        #[command(flatten)]
        nodes: Nodes,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Wait until a node that was started with `join` in its configuration is in its place.
    Join(change::Join),
    /// Take a node out of the cluster, dead or alive. Its replicas move to the nodes that stay.
    Remove(change::Remove),
    /// Give the replicas of a node, dead or alive, to one that has joined, and take the old one out.
    Replace(change::Replace),
    /// Let a node lead a shard, and keep the leadership there while it can.
    Transfer(change::Transfer),
    /// Move all leaderships away from a node and keep them away; --undo ends that.
    Drain(change::Drain),
}

/// Where to ask.
#[derive(clap::Args)]
struct Nodes {
    /// Peer ports of nodes (host:port); the first that answers is taken. Repeatable, or separated by commas.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:7234")]
    address: Vec<String>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Status { nodes, json } => {
            let status = nodes.status().await?;
            match json {
                true => println!("{:#}", status::to_json(&status)),
                false => print!("{}", status::to_table(&status)),
            }
            Ok(())
        }
        Command::Join(join) => join.run().await,
        Command::Remove(remove) => remove.run().await,
        Command::Replace(replace) => replace.run().await,
        Command::Transfer(transfer) => transfer.run().await,
        Command::Drain(drain) => drain.run().await,
    }
}

impl Nodes {
    /// A connection to the first node that answers.
    async fn any(&self) -> anyhow::Result<AdminClient<Channel>> {
        Ok(self.first().await?.0)
    }

    async fn status(&self) -> anyhow::Result<ClusterStatusResponse> {
        Ok(self.first().await?.1)
    }

    async fn first(&self) -> anyhow::Result<(AdminClient<Channel>, ClusterStatusResponse)> {
        let mut failures = Vec::new();
        for address in &self.address {
            match ask(address).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failures.push(format!("{address}: {error:#}")),
            }
        }
        bail!("no node answers: {}", failures.join("; "))
    }
}

async fn ask(address: &str) -> anyhow::Result<(AdminClient<Channel>, ClusterStatusResponse)> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| anyhow!("not host:port"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT);
    let channel = endpoint.connect().await.map_err(|_| anyhow!("cannot connect"))?;
    let mut client = AdminClient::new(channel);
    let answer = client.cluster_status(ClusterStatusRequest {}).await;
    let status = answer.map_err(|status| anyhow!("{}", status.message()))?.into_inner();
    Ok((client, status))
}
