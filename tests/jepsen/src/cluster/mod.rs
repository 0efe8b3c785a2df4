//! A cluster of real `everstep server` processes that the harness owns: it starts, kills, pauses and restarts them, and
//! asks them how they are past all its own faults.
//!
//! ```text
//!   folder/node-1/{everstep.toml, log, data/}   folder/node-2/…   one process each
//!   clients ──► api port, through the Net      harness ──► peer port (admin), directly
//! ```

mod layout;
mod logs;
mod members;
mod process;
pub mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::disk::Disk;
use crate::net::links::Links;
use crate::net::netns::Namespaces;
use crate::net::proxy::Proxy;
use crate::net::Net;
use process::Process;

pub use layout::Addresses;

/// How a cluster is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    pub everstep: PathBuf,
    pub folder: PathBuf,
    pub nodes: u64,
    /// Nodes that may join later.
    pub spares: u64,
    pub netns: bool,
    /// Clocks can be set: the processes run with `clock/shim.c` preloaded.
    pub clocks: bool,
    /// What each node's data lies on.
    pub disk: crate::disk::Kind,
    /// Logs are cut and snapshots made after little, so that followers need snapshots.
    pub small_logs: bool,
}

/// What the cluster did not do although it had to: a violation, and no failure of the harness.
#[derive(Debug)]
pub struct Stuck(pub String);

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stuck {}

pub struct Cluster {
    plan: Plan,
    pub net: Net,
    /// Proxies listen for as long as they are here.
    _proxies: Vec<Proxy>,
    /// All that are, were or may become members.
    nodes: BTreeMap<u64, Node>,
    members: Mutex<BTreeSet<u64>>,
    spares: Mutex<VecDeque<u64>>,
    /// What nodes did wrong while something was done to them: node, what.
    complaints: Mutex<Vec<(u64, String)>>,
}

struct Node {
    folder: PathBuf,
    addresses: Addresses,
    disk: Disk,
    process: tokio::sync::Mutex<Process>,
}

impl Cluster {
    /// Processes that are started, and all of them answer.
    pub async fn start(plan: Plan) -> anyhow::Result<Arc<Self>> {
        let members: BTreeSet<u64> = (1..=plan.nodes).collect();
        let spares: VecDeque<u64> = (1..=plan.spares).map(|spare| plan.nodes + spare).collect();
        let ids: Vec<u64> = members.iter().chain(&spares).copied().collect();
        if plan.clocks {
            layout::make_clocks(&plan.folder).await?;
        }
        let (net, addresses, proxies) = match plan.netns {
            true => {
                let namespaces = Namespaces::create(&ids).await?;
                let addresses = layout::in_namespaces(&ids, &namespaces);
                (Net::Netns(namespaces), addresses, Vec::new())
            }
            false => {
                let links = Arc::new(Links::healthy());
                let (addresses, proxies) = layout::behind_proxies(&ids, &links).await?;
                (Net::Proxy(links), addresses, proxies)
            }
        };
        let mut nodes = BTreeMap::new();
        for (id, addresses) in addresses {
            let folder = plan.folder.join(format!("node-{id}"));
            fs_err::create_dir_all(&folder)?;
            fs_err::write(folder.join("everstep.toml"), layout::config(id, &plan, &addresses, &[]))?;
            let disk = Disk::prepare(plan.disk, &folder).with_context(|| format!("the disk of node {id}"))?;
            nodes.insert(id, Node { folder, addresses, disk, process: tokio::sync::Mutex::new(Process::new()) });
        }
        let (members, spares) = (Mutex::new(members), Mutex::new(spares));
        let cluster =
            Arc::new(Self { plan, net, _proxies: proxies, nodes, members, spares, complaints: Mutex::default() });
        for id in cluster.ids() {
            cluster.start_node(id).await?;
        }
        cluster.await_leaders(Duration::from_secs(60)).await?;
        Ok(cluster)
    }

    /// The members.
    pub fn ids(&self) -> Vec<u64> {
        self.members.lock().expect("no panic while held").iter().copied().collect()
    }

    /// All that are, were or may become members.
    pub fn everybody(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// Where clients reach a node.
    pub fn api(&self, node: u64) -> SocketAddr {
        self.nodes[&node].addresses.for_clients
    }

    /// The peer port, past all faults of the network.
    pub fn admin(&self, node: u64) -> SocketAddr {
        self.nodes[&node].addresses.peer
    }

    pub fn disk(&self, node: u64) -> &Disk {
        &self.nodes[&node].disk
    }

    /// Starts a process that is down.
    pub async fn start_node(&self, id: u64) -> anyhow::Result<()> {
        let node = &self.nodes[&id];
        let mut command = layout::command(id, &self.plan, &self.net, &node.folder);
        node.process.lock().await.start(&mut command, &node.folder).with_context(|| format!("node {id}"))
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&self, id: u64) -> anyhow::Result<()> {
        self.nodes[&id].process.lock().await.kill().await
    }

    /// SIGTERM, and waits until it is gone.
    pub async fn terminate(&self, id: u64) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.nodes[&id].process.lock().await.terminate().await.with_context(|| format!("node {id}"))?;
        Ok(began.elapsed())
    }

    pub async fn pause(&self, id: u64) -> anyhow::Result<()> {
        self.nodes[&id].process.lock().await.signal("STOP").await
    }

    pub async fn resume(&self, id: u64) -> anyhow::Result<()> {
        self.nodes[&id].process.lock().await.signal("CONT").await
    }

    /// Nodes whose process runs (or is paused).
    pub async fn alive(&self) -> Vec<u64> {
        let mut alive = Vec::new();
        for (&id, node) in &self.nodes {
            if node.process.lock().await.is_running() {
                alive.push(id);
            }
        }
        alive
    }

    /// Ends of processes that nobody here asked for, told once.
    pub async fn unexpected_ends(&self) -> Vec<(u64, String)> {
        let mut ends = Vec::new();
        for (&id, node) in &self.nodes {
            ends.extend(node.process.lock().await.unexpected_end().map(|how| (id, how)));
        }
        ends
    }

    /// Waits until a node's process has ended by itself; after how long, and how.
    pub async fn await_end(&self, id: u64, patience: Duration) -> Option<(Duration, String)> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(how) = self.nodes[&id].process.lock().await.unexpected_end() {
                return Some((began.elapsed(), how));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Notes a violation that no checker of histories would see.
    pub fn complain(&self, node: u64, what: String) {
        self.complaints.lock().expect("no panic while held").push((node, what));
    }

    pub fn complaints(&self) -> Vec<(u64, String)> {
        self.complaints.lock().expect("no panic while held").clone()
    }

    pub fn data(&self, id: u64) -> PathBuf {
        self.nodes[&id].folder.join("data")
    }

    /// Where a node's log ends now.
    pub fn log_end(&self, id: u64) -> u64 {
        fs_err::metadata(self.nodes[&id].folder.join("log")).map_or(0, |log| log.len())
    }

    /// What a node has logged since.
    pub fn log_since(&self, id: u64, from: u64) -> Vec<String> {
        logs::since(&self.nodes[&id].folder.join("log"), from)
    }

    /// Moves a node's wall clock by so many milliseconds against the real one.
    pub fn set_clock(&self, id: u64, millis: i64) -> anyhow::Result<()> {
        layout::write_clock(&self.nodes[&id].folder, millis)
    }

    /// Waits until each shard has a leader that is up and every replica is up.
    pub async fn await_leaders(&self, patience: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        let mut seen = String::from("no node answers");
        while Instant::now() < end {
            if let Some(status) = self.status().await {
                let led = !status.shards.is_empty() && status.shards.iter().all(|shard| shard.leader != 0);
                if led && status.nodes.iter().all(|node| node.up) && status.shards.len() > 1 {
                    return Ok(());
                }
                let leaders: Vec<String> = status.shards.iter().map(|s| format!("{}: {}", s.shard, s.leader)).collect();
                let up = status.nodes.iter().filter(|node| node.up).count();
                seen = format!("{up} nodes up, leaders {}", leaders.join(", "));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Stuck(format!("not every shard has a leader and every node is up after {patience:?}: {seen}")).into())
    }

    /// Lines of the nodes' logs that should not be there.
    pub fn bad_log_lines(&self) -> Vec<String> {
        let lines = |(id, node): (&u64, &Node)| logs::bad_lines(*id, &node.folder.join("log"));
        self.nodes.iter().flat_map(lines).collect()
    }

    /// Ends everything. Data and logs stay.
    pub async fn stop(&self) {
        for node in self.nodes.values() {
            let _ended = node.process.lock().await.kill().await;
        }
        self.nodes.values().for_each(|node| node.disk.remove());
        if let Net::Netns(namespaces) = &self.net {
            namespaces.remove().await;
        }
    }
}
