//! The cluster as an operator sees it: its status, and the faults that can be done to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context};
use proto::everstep::admin::v1 as admin;
use proto::everstep::admin::v1::admin_client::AdminClient;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::schedule::{Fault, Means};

const CONNECT: Duration = Duration::from_secs(1);
const CALL: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);
/// For a cluster to be whole again after a fault.
pub const WHOLE_AGAIN: Duration = Duration::from_secs(60);

pub struct Cluster {
    /// Admin addresses, at first those given, then those of all nodes.
    addresses: Vec<String>,
    pub nodes: BTreeMap<u64, admin::NodeStatus>,
    shards: usize,
}

impl Cluster {
    /// Looks at a cluster, which must be whole.
    pub async fn find(addresses: &[String]) -> anyhow::Result<Self> {
        let mut cluster = Self { addresses: addresses.to_vec(), nodes: BTreeMap::new(), shards: 0 };
        let status = cluster.status().await?;
        cluster.shards = status.shards.len();
        cluster.nodes = status.nodes.into_iter().map(|node| (node.node_id, node)).collect();
        cluster.addresses = cluster.nodes.values().map(|node| node.peer_address.clone()).collect();
        ensure!(
            cluster.nodes.len() >= 3,
            "faults need a cluster of three nodes or more; this one has {}",
            cluster.nodes.len()
        );
        ensure!(cluster.shards > 1, "the cluster is not bootstrapped yet");
        Ok(cluster)
    }

    pub fn means(&self) -> Means {
        let loopback = |node: &admin::NodeStatus| {
            node.peer_address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        };
        Means {
            processes: self.nodes.values().all(|node| loopback(node) && is_node(node.pid)),
            cuts: self.nodes.values().all(|node| node.chaos),
        }
    }

    /// The API of every node, by id.
    pub fn apis(&self) -> BTreeMap<u64, String> {
        self.nodes.iter().map(|(&id, node)| (id, node.api_address.clone())).collect()
    }

    pub async fn status(&self) -> anyhow::Result<admin::ClusterStatusResponse> {
        let mut failures = Vec::new();
        for address in &self.addresses {
            let asked =
                async { anyhow::Ok(connect(address).await?.cluster_status(admin::ClusterStatusRequest {}).await?) };
            match asked.await {
                Ok(status) => return Ok(status.into_inner()),
                Err(error) => failures.push(format!("{address}: {error}")),
            }
        }
        bail!("no node answers: {}", failures.join("; "))
    }

    /// Waits until all nodes are up and every shard has a leader.
    pub async fn whole(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + WHOLE_AGAIN;
        loop {
            if let Ok(status) = self.status().await {
                let up = status.nodes.iter().filter(|node| node.up).count();
                let led = status.shards.iter().filter(|shard| shard.leader != 0).count();
                if up >= self.nodes.len() && led >= self.shards {
                    self.nodes = status.nodes.into_iter().map(|node| (node.node_id, node)).collect();
                    return Ok(());
                }
            }
            if Instant::now() > end {
                bail!("the cluster was not whole again {} s after a fault", WHOLE_AGAIN.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Does it, and what ends it, at once if the run is to stop. Tells what was done.
    pub async fn inflict(&self, fault: Fault, random: u64, stop: &CancellationToken) -> anyhow::Result<String> {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        let nth = |nth: usize| ids[nth % ids.len()];
        match fault {
            Fault::KillLeader => {
                let node = self.busiest().await?;
                self.signal(node, "KILL").await?;
                Ok(format!("kill -9 node {node}"))
            }
            Fault::Pause(time) => {
                let node = nth(random as usize);
                self.signal(node, "STOP").await?;
                let held = hold(time, stop).await;
                self.signal(node, "CONT").await?;
                Ok(format!("pause node {node} for {held:.1} s"))
            }
            Fault::CutOff(time) => {
                let node = nth(random as usize);
                let others = ids.iter().copied().filter(|id| *id != node).collect();
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let request = admin::CutOffRequest { nodes: others, millis };
                connect(&self.node(node)?.peer_address).await?.cut_off(request).await?;
                // The node ends it by itself.
                tokio::time::sleep(time).await;
                Ok(format!("cut node {node} off for {:.1} s", time.as_secs_f64()))
            }
            Fault::Stop(at) => {
                let node = nth(at);
                self.signal(node, "TERM").await?;
                Ok(format!("stop and start node {node}"))
            }
            Fault::Drain(at, time) => {
                let node = nth(at);
                self.drain(node, false).await?;
                let held = hold(time, stop).await;
                self.undrain(node).await?;
                Ok(format!("drain node {node} for {held:.1} s"))
            }
            Fault::Transfer => self.transfer(random).await,
        }
    }

    async fn drain(&self, node_id: u64, undo: bool) -> anyhow::Result<()> {
        self.any().await?.drain_node(admin::DrainNodeRequest { node_id, undo }).await?;
        Ok(())
    }

    /// A node must not stay drained because a leader was just missing.
    async fn undrain(&self, node_id: u64) -> anyhow::Result<()> {
        let end = Instant::now() + CALL;
        loop {
            match self.drain(node_id, true).await {
                Err(error) if Instant::now() > end => {
                    return Err(error.context(format!("node {node_id} stays drained")))
                }
                Err(_) => tokio::time::sleep(LOOK).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// A shard gets another leader, and the balancer is free again afterwards.
    async fn transfer(&self, random: u64) -> anyhow::Result<String> {
        let status = self.status().await?;
        let data: Vec<_> = status.shards.iter().filter(|shard| shard.shard != 0).collect();
        let shard = data[random as usize % data.len()];
        let others: Vec<u64> = shard.voters.iter().copied().filter(|node| *node != shard.leader).collect();
        let to = *others.get(random as usize / 7 % others.len().max(1)).ok_or_else(|| anyhow!("one voter only"))?;
        let request = |node_id| admin::TransferLeaderRequest { shard: shard.shard, node_id };
        self.any().await?.transfer_leader(request(to)).await?;
        self.any().await?.transfer_leader(request(0)).await?;
        Ok(format!("transfer shard {} to node {to}", shard.shard))
    }

    async fn any(&self) -> anyhow::Result<AdminClient<Channel>> {
        for address in &self.addresses {
            if let Ok(client) = connect(address).await {
                return Ok(client);
            }
        }
        bail!("no node answers")
    }

    async fn busiest(&self) -> anyhow::Result<u64> {
        let mut led = BTreeMap::<u64, usize>::new();
        for shard in self.status().await?.shards {
            *led.entry(shard.leader).or_default() += 1;
        }
        led.remove(&0);
        led.into_iter().max_by_key(|(node, shards)| (*shards, *node)).map(|(node, _)| node).context("nobody leads")
    }

    fn node(&self, id: u64) -> anyhow::Result<&admin::NodeStatus> {
        self.nodes.get(&id).with_context(|| format!("node {id} is gone"))
    }

    async fn signal(&self, id: u64, signal: &str) -> anyhow::Result<()> {
        let pid = self.node(id)?.pid;
        ensure!(is_node(pid), "process {pid} is not node {id} any more");
        let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().await?;
        ensure!(sent.success(), "node {id} (process {pid}) cannot be sent SIG{signal}");
        Ok(())
    }
}

/// Waits for so long, or until the run is to stop. Seconds.
async fn hold(time: Duration, stop: &CancellationToken) -> f64 {
    let began = Instant::now();
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
    began.elapsed().as_secs_f64()
}

/// Whether a node runs in the process: nothing else is to be killed, whatever the cluster says.
fn is_node(pid: u32) -> bool {
    let command = fs_err::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split('\0').skip(1);
    pid > 1 && words.next() == Some("server")
}

async fn connect(address: &str) -> anyhow::Result<AdminClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| anyhow!("not host:port"))?;
    let channel = endpoint.connect_timeout(CONNECT).timeout(CALL).connect().await;
    Ok(AdminClient::new(channel.map_err(|_| anyhow!("cannot connect"))?))
}
