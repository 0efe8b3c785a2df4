//! The processes of `everstep dev --nodes 3`, with their data in a temporary directory.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use everstep::chaos::{Site, Violation};
use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{ClusterStatusRequest, ClusterStatusResponse};
use serde::Deserialize;
use tempfile::TempDir;
use tonic::transport::Endpoint;

const PATIENCE: Duration = Duration::from_secs(60);
const CALLBACKS_ANYWHERE: &str = "callback.allowedAddresses=[{\"Pattern\":\"*\",\"AllowInsecure\":true}]";

#[derive(Deserialize)]
struct State {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: u64,
    /// Absent while it is down.
    pid: Option<u32>,
    api: SocketAddr,
    peer: SocketAddr,
}

pub struct Cluster {
    directory: TempDir,
    supervisor: Child,
    port: u16,
    kills: usize,
}

impl Cluster {
    pub async fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let log = fs_err::File::create(directory.path().join("log")).expect("a log file").into_parts().0;
        let port = free_port();
        let supervisor = Command::new(env!("CARGO_BIN_EXE_everstep"))
            .args(["dev", "--nodes", "3", "--headless", "--port", &port.to_string()])
            .args(["--dynamic-config-value", CALLBACKS_ANYWHERE])
            .args(["--http-port", &free_port().to_string(), "--db"])
            .arg(directory.path().join("db"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("the server was built for this test");
        let cluster = Self { directory, supervisor, port, kills: 0 };
        cluster.await_all_up().await;
        cluster
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The API of every node itself, not through the supervisor.
    pub fn nodes(&self) -> BTreeMap<u64, String> {
        self.state()
            .expect("dev.json while the cluster runs")
            .nodes
            .into_iter()
            .map(|node| (node.id, node.api.to_string()))
            .collect()
    }

    /// Where the load goes.
    pub fn site(&self) -> Arc<Site> {
        Arc::new(Site {
            addresses: vec![self.address().to_string()],
            namespace: "default".into(),
            queue: "chaos".into(),
            try_for: Duration::from_secs(10),
        })
    }

    pub fn kills(&self) -> usize {
        self.kills
    }

    /// Waits until three nodes are up and every shard has a leader among them.
    pub async fn await_all_up(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.status().await {
                let up = status.nodes.iter().filter(|node| node.up).count();
                let led = status.shards.iter().filter(|shard| shard.leader != 0).count();
                if up == 3 && status.shards.len() > 1 && led == status.shards.len() {
                    return;
                }
            }
            assert!(Instant::now() < end, "not all nodes up after {PATIENCE:?}\n{}", self.last_log_lines());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// kill -9 of the node that leads most shards.
    pub async fn kill_busiest(&mut self) {
        let status = self.status().await.expect("a node answers: all were up a moment ago");
        let mut led = BTreeMap::<u64, usize>::new();
        for shard in &status.shards {
            *led.entry(shard.leader).or_default() += 1;
        }
        let (&node, _) = led.iter().max_by_key(|(_, shards)| **shards).expect("there are shards");
        let state = self.state().expect("dev.json while the cluster runs");
        let victim = state.nodes.iter().find(|candidate| candidate.id == node).expect("leaders are nodes");
        kill(victim.pid.expect("it was up a moment ago"));
        self.kills += 1;
    }

    /// The node dies and cannot start again: its configuration is gone.
    pub fn kill_for_ever(&mut self, node: u64) {
        let config = self.database().join(format!("node-{node}.toml"));
        fs_err::rename(&config, config.with_extension("gone")).expect("the supervisor wrote it");
        let state = self.state().expect("dev.json while the cluster runs");
        let victim = state.nodes.iter().find(|candidate| candidate.id == node).expect("a node of this cluster");
        kill(victim.pid.expect("it is up"));
        self.kills += 1;
    }

    /// The peer port of every node that the supervisor started, for `everstep cluster --address`.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.state().expect("dev.json while the cluster runs").nodes.iter().map(|node| node.peer).collect()
    }

    /// A configuration of the supervisor's, to make another one from.
    pub fn configuration(&self, node: u64) -> String {
        fs_err::read_to_string(self.database().join(format!("node-{node}.toml"))).expect("the supervisor wrote it")
    }

    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub async fn status(&self) -> Option<ClusterStatusResponse> {
        for node in self.state()?.nodes {
            let endpoint = Endpoint::from_shared(format!("http://{}", node.peer)).expect("an address");
            let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(3));
            let Ok(channel) = endpoint.connect().await else { continue };
            if let Ok(status) = AdminClient::new(channel).cluster_status(ClusterStatusRequest {}).await {
                return Some(status.into_inner());
            }
        }
        None
    }

    fn state(&self) -> Option<State> {
        let text = fs_err::read(self.database().join("dev.json")).ok()?;
        Some(serde_json::from_slice(&text).expect("dev.json is replaced as a whole"))
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    pub fn last_log_lines(&self) -> String {
        let text = fs_err::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Cluster {
    /// The nodes end with their supervisor.
    fn drop(&mut self) {
        let _gone_already = self.supervisor.kill();
        let _reaped = self.supervisor.wait();
    }
}

/// One a line.
pub fn lines(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("{}: {}\n", violation.workflow_id, violation.what)).collect()
}

pub fn kill(pid: u32) {
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
    assert!(killed.is_ok_and(|status| status.success()), "process {pid} was not there to be killed");
}

/// Nobody listens on it, and no outgoing connection will take it before the server does.
pub fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| rand::random_range(12_000..26_000_u16));
    ports.take(100).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
