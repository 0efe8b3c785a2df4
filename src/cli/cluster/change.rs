//! Changes of members: asks for them, then tells how far they are until they are done.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use proto::everstep::admin::v1 as admin;
use proto::everstep::admin::v1::{ClusterStatusResponse, ShardStatus};
use tonic::{Response, Status};

use super::Nodes;

const LOOK: Duration = Duration::from_millis(300);

/// Whether to stay until it is done.
#[derive(clap::Args)]
struct Waiting {
    /// Return as soon as the wish is written down; the cluster carries it out by itself.
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait; what is under way goes on afterwards.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

#[derive(clap::Args)]
pub(super) struct Join {
    /// The node's id.
    node: u64,
    #[command(flatten)]
    nodes: Nodes,
    /// Seconds to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

#[derive(clap::Args)]
pub(super) struct Remove {
    /// The node's id. It is never used again.
    node: u64,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(clap::Args)]
pub(super) struct Replace {
    /// The node that goes.
    old: u64,
    /// The node that takes its place.
    new: u64,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(clap::Args)]
pub(super) struct Transfer {
    /// The shard; 0 is the system shard.
    shard: u32,
    /// The node that is to lead; `any` leaves it to the balancer again.
    #[arg(value_parser = node_or_any)]
    node: u64,
    #[command(flatten)]
    nodes: Nodes,
}

#[derive(clap::Args)]
pub(super) struct Drain {
    /// The node's id.
    node: u64,
    /// Let it lead again.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    nodes: Nodes,
}

fn node_or_any(text: &str) -> Result<u64, String> {
    match text {
        "any" => Ok(0),
        _ => text.parse().ok().filter(|node| *node > 0).ok_or_else(|| "a node id, or `any`".into()),
    }
}

impl Join {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let id = self.node;
        let joined = |status: &ClusterStatusResponse| {
            status.nodes.iter().any(|node| node.node_id == id && node.up && node.member == "active")
        };
        let missing = format!("node {id} has not asked to join: start it with `join` in its configuration");
        wait(&self.nodes, self.timeout, &joined, &missing).await?;
        println!("node {id} is in its place");
        Ok(())
    }
}

impl Remove {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let request = admin::RemoveNodeRequest { node_id: self.node };
        tell(self.nodes.any().await?.remove_node(request).await, &format!("node {} leaves", self.node))?;
        left(&self.nodes, self.node, &self.waiting).await
    }
}

impl Replace {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (old, new) = (self.old, self.new);
        let request = admin::ReplaceNodeRequest { node_id: old, replaced_by: new };
        let done = format!("node {old} leaves and node {new} takes its place");
        tell(self.nodes.any().await?.replace_node(request).await, &done)?;
        left(&self.nodes, old, &self.waiting).await
    }
}

impl Transfer {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let request = admin::TransferLeaderRequest { shard: self.shard, node_id: self.node };
        let done = match self.node {
            0 => format!("the balancer decides again who leads shard {}", self.shard),
            node => format!("node {node} leads shard {}", self.shard),
        };
        tell(self.nodes.any().await?.transfer_leader(request).await, &done)
    }
}

impl Drain {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let request = admin::DrainNodeRequest { node_id: self.node, undo: self.undo };
        let done = match self.undo {
            true => format!("node {} may lead again", self.node),
            false => format!("node {} leads nothing, and stays so until --undo", self.node),
        };
        tell(self.nodes.any().await?.drain_node(request).await, &done)
    }
}

fn tell(answer: Result<Response<admin::ChangeResponse>, Status>, done: &str) -> anyhow::Result<()> {
    let note = answer.map_err(|status| anyhow!("{}", status.message()))?.into_inner().note;
    match note.is_empty() {
        true => println!("{done}"),
        false => println!("{done}; note: {note}"),
    }
    Ok(())
}

async fn left(nodes: &Nodes, id: u64, waiting: &Waiting) -> anyhow::Result<()> {
    if waiting.no_wait {
        return Ok(());
    }
    let gone = |status: &ClusterStatusResponse| status.nodes.iter().all(|node| node.node_id != id);
    wait(nodes, waiting.timeout, &gone, "").await?;
    println!("node {id} is removed");
    Ok(())
}

/// Prints each shard's line when it changes, until `done`. A node that does not answer meanwhile is asked again.
async fn wait(
    nodes: &Nodes,
    seconds: u64,
    done: &dyn Fn(&ClusterStatusResponse) -> bool,
    before: &str,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut told: Vec<String> = Vec::new();
    loop {
        let asked = nodes.status().await;
        if let Ok(status) = &asked {
            if done(status) {
                return Ok(());
            }
            let lines: Vec<String> = status.shards.iter().filter_map(under_way).collect();
            lines.iter().filter(|line| !told.contains(line)).for_each(|line| println!("  {line}"));
            told = lines;
        }
        if Instant::now() >= deadline {
            match asked {
                Err(error) => return Err(error),
                Ok(_) if told.is_empty() && !before.is_empty() => bail!("{before}"),
                Ok(_) => bail!("not done after {seconds} s; it goes on: {}", told.join("; ")),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn under_way(shard: &ShardStatus) -> Option<String> {
    if shard.settled {
        return None;
    }
    let list = |nodes: &[u64]| nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let name = if shard.shard == 0 { "the system shard".into() } else { format!("shard {}", shard.shard) };
    let late = shard.replicas.iter().filter(|replica| replica.learner && shard.target.contains(&replica.node_id));
    let late: Vec<String> = late.map(|replica| format!("node {} catches up", replica.node_id)).collect();
    let late = if late.is_empty() { String::new() } else { format!(": {}", late.join(", ")) };
    Some(format!("{name}: voters {} become {}{late}", list(&shard.voters), list(&shard.target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_one_line() {
        let replica = |node_id, learner| admin::ShardReplica { node_id, learner, ..Default::default() };
        let mut shard = ShardStatus {
            shard: 2,
            voters: vec![1, 2, 3],
            target: vec![1, 2, 4],
            replicas: vec![replica(1, false), replica(4, true), replica(5, true)],
            ..Default::default()
        };
        let line = under_way(&shard).expect("it is under way");
        assert_eq!(line, "shard 2: voters 1, 2, 3 become 1, 2, 4: node 4 catches up");
        shard.settled = true;
        assert_eq!(under_way(&shard), None);
    }

    #[test]
    fn a_node_or_any() {
        assert_eq!((node_or_any("3"), node_or_any("any")), (Ok(3), Ok(0)));
        assert!(node_or_any("0").is_err() && node_or_any("some").is_err());
    }
}
