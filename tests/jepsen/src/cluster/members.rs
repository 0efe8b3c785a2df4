//! Changes of members and leaders, asked for as an operator asks: by the admin service of any node that is up.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{ensure, Context};
use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{
    ChangeResponse, ClusterStatusResponse, DrainNodeRequest, RemoveNodeRequest, ReplaceNodeRequest,
    TransferLeaderRequest,
};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{layout, Cluster, Stuck};

/// A member that comes or goes needs every shard's log or a snapshot; more than this is a hang.
const CHANGED: Duration = Duration::from_secs(90);
/// A call that meets an election is made again for so long.
const ASKED: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

impl Cluster {
    /// Starts a node that was never there and lets it join; its id.
    pub async fn admit(&self) -> anyhow::Result<u64> {
        let id = self.spares.lock().expect("no panic while held").pop_front().context("no spare node is left")?;
        let members: Vec<SocketAddr> = self.ids().into_iter().map(|member| self.admin(member)).collect();
        let node = &self.nodes[&id];
        let text = layout::config(id, &self.plan, &node.addresses, &members);
        fs_err::write(node.folder.join("everstep.toml"), text)?;
        self.start_node(id).await?;
        self.until(&format!("node {id} is a member"), |status| {
            status.nodes.iter().any(|node| node.node_id == id && node.up && node.member == "active")
        })
        .await?;
        self.members.lock().expect("no panic while held").insert(id);
        Ok(id)
    }

    /// One member leaves for good, another takes its votes. The process of the one that left ends by itself if it runs.
    pub async fn replace(&self, old: u64, new: u64) -> anyhow::Result<()> {
        self.ask(
            |mut admin| async move { admin.replace_node(ReplaceNodeRequest { node_id: old, replaced_by: new }).await },
        )
        .await?;
        self.gone(old).await
    }

    /// One member leaves for good and nobody comes for it.
    pub async fn remove(&self, old: u64) -> anyhow::Result<()> {
        self.ask(|mut admin| async move { admin.remove_node(RemoveNodeRequest { node_id: old }).await }).await?;
        self.gone(old).await
    }

    /// Waits until a member that leaves is none any more.
    async fn gone(&self, old: u64) -> anyhow::Result<()> {
        self.until(&format!("node {old} has left"), |status| {
            let gone = status.nodes.iter().all(|node| node.node_id != old);
            gone && status.shards.iter().all(|shard| shard.settled && !shard.voters.contains(&old))
        })
        .await?;
        self.members.lock().expect("no panic while held").remove(&old);
        let end = Instant::now() + ASKED;
        while self.alive().await.contains(&old) {
            ensure!(Instant::now() < end, Stuck(format!("node {old} was removed and still runs after {ASKED:?}")));
            tokio::time::sleep(PAUSE).await;
        }
        self.nodes[&old].process.lock().await.unexpected_end();
        Ok(())
    }

    /// Waits until every shard has the voters that it is to have.
    pub async fn settled(&self) -> anyhow::Result<()> {
        self.until("every shard has its voters", |status| status.shards.iter().all(|shard| shard.settled)).await
    }

    pub async fn drain(&self, node_id: u64, undo: bool) -> anyhow::Result<()> {
        self.ask(|mut admin| async move { admin.drain_node(DrainNodeRequest { node_id, undo }).await }).await
    }

    /// A data shard gets another leader, and the balancer is free again afterwards.
    pub async fn transfer(&self, choice: u64) -> anyhow::Result<String> {
        let status = self.status().await.context("no node answers")?;
        let data: Vec<_> = status.shards.iter().filter(|shard| shard.shard != 0).collect();
        ensure!(!data.is_empty(), "there is no data shard");
        let shard = data[choice as usize % data.len()];
        let others: Vec<u64> = shard.voters.iter().copied().filter(|node| *node != shard.leader).collect();
        ensure!(!others.is_empty(), "shard {} has one voter only", shard.shard);
        let to = others[(choice >> 32) as usize % others.len()];
        for node_id in [to, 0] {
            let request = TransferLeaderRequest { shard: shard.shard, node_id };
            self.ask(|mut admin| async move { admin.transfer_leader(request).await }).await?;
        }
        Ok(format!("shard {} from node {} to node {to}", shard.shard, shard.leader))
    }

    /// Asks one member after the other until one does it.
    async fn ask<F>(&self, call: impl Fn(AdminClient<Channel>) -> F) -> anyhow::Result<()>
    where
        F: std::future::Future<Output = Result<Response<ChangeResponse>, Status>>,
    {
        let end = Instant::now() + ASKED;
        let mut refused = String::from("no member is up");
        while Instant::now() < end {
            for node in self.ids() {
                let Some(channel) = self.admin_channel(node, ASKED) else { continue };
                match call(AdminClient::new(channel)).await {
                    Ok(_done) => return Ok(()),
                    Err(status) => refused = format!("node {node}: {}: {}", status.code(), status.message()),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Stuck(format!("not done after {ASKED:?}: {refused}")).into())
    }

    async fn until(&self, what: &str, reached: impl Fn(&ClusterStatusResponse) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + CHANGED;
        loop {
            if self.status().await.is_some_and(|status| reached(&status)) {
                return Ok(());
            }
            ensure!(Instant::now() < end, Stuck(format!("not after {CHANGED:?}: {what}")));
            tokio::time::sleep(PAUSE).await;
        }
    }
}
