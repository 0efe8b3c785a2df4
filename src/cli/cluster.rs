//! `everstep cluster status`: asks any node what the cluster looks like.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{ClusterStatusRequest, ClusterStatusResponse, NodeStatus, ShardStatus};
use serde_json::{json, Value};
use tonic::transport::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Nodes, shards, leaders and lag, as a table or as JSON.
    Status {
        /// Peer ports of nodes (host:port); the first that answers is taken. Repeatable, or separated by commas.
        #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:7234")]
        address: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Command::Status { address, json } = args.command;
    let status = ask_any(&address).await?;
    if json {
        println!("{:#}", to_json(&status));
    } else {
        print!("{}", to_table(&status));
    }
    Ok(())
}

async fn ask_any(addresses: &[String]) -> anyhow::Result<ClusterStatusResponse> {
    let mut failures = Vec::new();
    for address in addresses {
        match ask(address).await {
            Ok(status) => return Ok(status),
            Err(error) => failures.push(format!("{address}: {error:#}")),
        }
    }
    bail!("no node answers: {}", failures.join("; "))
}

async fn ask(address: &str) -> anyhow::Result<ClusterStatusResponse> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| anyhow!("not host:port"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT);
    let channel = endpoint.connect().await.map_err(|_| anyhow!("cannot connect"))?;
    let answer = AdminClient::new(channel).cluster_status(ClusterStatusRequest {}).await;
    Ok(answer.map_err(|status| anyhow!("{}", status.message()))?.into_inner())
}

fn to_json(status: &ClusterStatusResponse) -> Value {
    json!({
        "cluster_id": status.cluster_id,
        "answered_by": status.answered_by,
        "nodes": status.nodes.iter().map(node_json).collect::<Vec<_>>(),
        "shards": status.shards.iter().map(shard_json).collect::<Vec<_>>(),
    })
}

fn node_json(node: &NodeStatus) -> Value {
    json!({
        "id": node.node_id,
        "up": node.up,
        "draining": node.draining,
        "disk_full": node.disk_full,
        "version": node.version,
        "peer": node.peer_address,
        "api": node.api_address,
        "web": node.web_address,
        "started": node.started / 1_000_000_000,
        "replicas": node.replicas.iter().map(|replica| json!({
            "shard": replica.shard,
            "term": replica.term,
            "leader": replica.leader,
            "last_log": replica.last_log,
            "committed": replica.committed,
            "applied": replica.applied,
            "flushed": replica.flushed,
            "snapshot": replica.snapshot,
            "purged": replica.purged,
            "stopped": replica.stopped,
        })).collect::<Vec<_>>(),
    })
}

fn shard_json(shard: &ShardStatus) -> Value {
    json!({
        "id": shard.shard,
        "leader": shard.leader,
        "term": shard.term,
        "committed": shard.committed,
        "voters": shard.voters,
        "first_slot": shard.first_slot,
        "slots": shard.slots,
        "replicas": shard.replicas.iter().map(|replica| json!({
            "node": replica.node_id,
            "up": replica.up,
            "applied": replica.applied,
            "lag": replica.lag,
        })).collect::<Vec<_>>(),
    })
}

fn to_table(status: &ClusterStatusResponse) -> String {
    let mut nodes = vec![["NODE", "STATE", "LEADS", "API", "PEER", "VERSION"].map(String::from).to_vec()];
    for node in &status.nodes {
        let leads = status.shards.iter().filter(|shard| shard.leader == node.node_id).count();
        nodes.push(vec![
            node.node_id.to_string(),
            node_state(node).into(),
            leads.to_string(),
            node.api_address.clone(),
            node.peer_address.clone(),
            node.version.clone(),
        ]);
    }
    let mut shards = vec![["SHARD", "LEADER", "TERM", "COMMITTED", "REPLICAS (lag)"].map(String::from).to_vec()];
    for shard in &status.shards {
        let name = if shard.shard == 0 { "system".into() } else { shard.shard.to_string() };
        let leader = if shard.leader == 0 { "none".into() } else { shard.leader.to_string() };
        shards.push(vec![name, leader, shard.term.to_string(), shard.committed.to_string(), replicas(shard)]);
    }
    format!(
        "Cluster {}, as node {} sees it\n\n{}\n{}",
        status.cluster_id,
        status.answered_by,
        table(&nodes),
        table(&shards)
    )
}

fn node_state(node: &NodeStatus) -> &'static str {
    match node {
        NodeStatus { up: false, .. } => "down",
        NodeStatus { disk_full: true, .. } => "disk full",
        NodeStatus { draining: true, .. } => "leaving",
        NodeStatus { .. } => "up",
    }
}

fn replicas(shard: &ShardStatus) -> String {
    let one = |replica: &proto::everstep::admin::v1::ShardReplica| match replica.up {
        true => format!("{} ({})", replica.node_id, replica.lag),
        false => format!("{} (down)", replica.node_id),
    };
    shard.replicas.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use proto::everstep::admin::v1::ShardReplica;

    use super::*;

    fn example() -> ClusterStatusResponse {
        let node = |node_id, up| NodeStatus {
            node_id,
            up,
            api_address: format!("127.0.0.1:{node_id}"),
            ..NodeStatus::default()
        };
        let replica = |node_id, up, lag| ShardReplica { node_id, up, lag, ..ShardReplica::default() };
        ClusterStatusResponse {
            cluster_id: "c".into(),
            answered_by: 1,
            nodes: vec![node(1, true), node(2, false)],
            shards: vec![ShardStatus {
                shard: 0,
                leader: 1,
                term: 3,
                replicas: vec![replica(1, true, 0), replica(2, false, 9)],
                voters: vec![1, 2],
                ..ShardStatus::default()
            }],
        }
    }

    #[test]
    fn the_table() {
        let text = to_table(&example());
        assert!(text.contains("1     up     1      127.0.0.1:1"), "{text}");
        assert!(text.contains("system  1       3     0          1 (0), 2 (down)"), "{text}");
    }

    #[test]
    fn the_json() {
        let value = to_json(&example());
        assert_eq!(value["shards"][0]["leader"], 1);
        assert_eq!(value["nodes"][1]["up"], false);
        assert_eq!(value["shards"][0]["voters"], json!([1, 2]));
    }
}
