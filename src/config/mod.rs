//! One tree of settings with defaults: what `everstep.toml` may hold. It is read once at the start and never changes;
//! what a running cluster may change lives in the system shard. `docs/config.md` is generated from it.
//!
//! ```text
//! everstep.toml --load--> Config --dynamic::apply (Temporal's keys)--> Config --validate--> the node
//! ```
//! It never opens files other than its own, sockets or threads.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Context};
use serde::{Deserialize, Serialize};

pub mod callbacks;
pub mod document;
pub mod duration;
pub mod dynamic;
pub mod limits;
pub mod sections;
mod validate;

pub use callbacks::{AllowedAddress, Callbacks};
pub use limits::Limits;
pub use sections::{Bootstrap, Features, Frontend, Log, LogFormat, NamespaceSeed, Raft, SearchAttributeKind, Storage};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub cluster_id: String,
    pub cluster_name: String,
    pub node_id: u64,
    pub data_dir: PathBuf,
    /// The address of this node's peer port as others reach it; `listen.peer` if absent.
    pub advertise: Option<String>,
    pub data_shards: u32,
    /// Whether faults may be asked for by the operators' service.
    pub chaos: bool,
    pub listen: Listen,
    /// The nodes the cluster is first made of, this one included. Empty: a cluster of this node alone.
    pub peers: Vec<Peer>,
    /// Peer ports of nodes of a cluster that exists, to become a member of it.
    pub join: Vec<String>,
    pub raft: Raft,
    pub storage: Storage,
    pub limits: Limits,
    pub frontend: Frontend,
    pub features: Features,
    pub callbacks: Callbacks,
    pub bootstrap: Bootstrap,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    pub api: SocketAddr,
    pub peer: SocketAddr,
    /// Absent: no web pages.
    pub web: Option<SocketAddr>,
    /// Absent: no HTTP API.
    pub http: Option<SocketAddr>,
    /// Absent: no Prometheus endpoint.
    pub metrics: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub id: u64,
    /// `host:port` of that node's peer port.
    pub address: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_id: "everstep".into(),
            cluster_name: "active".into(),
            node_id: 1,
            data_dir: "everstep-data".into(),
            advertise: None,
            data_shards: 3,
            chaos: false,
            listen: Listen::default(),
            peers: Vec::new(),
            join: Vec::new(),
            raft: Raft::default(),
            storage: Storage::default(),
            limits: Limits::default(),
            frontend: Frontend::default(),
            features: Features::default(),
            callbacks: Callbacks::default(),
            bootstrap: Bootstrap::default(),
            log: Log::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { api: loopback(7233), peer: loopback(7234), web: None, http: None, metrics: None }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Config {
    /// Reads and checks a file. An error is one line: the file, the key, what is wrong with it.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = fs_err::read_to_string(path).context("cannot read the configuration")?;
        let config = Self::parse(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        config.validate().map_err(|error| anyhow!("{}: {error}", path.display()))?;
        Ok(config)
    }

    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let table = toml::Deserializer::parse(text).map_err(|error| anyhow!("{}", one_line(&error, text)))?;
        serde_path_to_error::deserialize(table).map_err(|error| {
            let key = error.path().to_string();
            anyhow!("{key}: {}", error.inner().message().replace('\n', " "))
        })
    }

    pub fn to_toml(&self) -> anyhow::Result<String> {
        toml::to_string(self).context("the configuration cannot be written as TOML")
    }

    /// One clear line per mistake, the first only.
    pub fn validate(&self) -> anyhow::Result<()> {
        validate::check(self)
    }

    /// Where other nodes reach this one.
    pub fn advertised_peer_address(&self) -> String {
        let own = self.peers.iter().find(|peer| peer.id == self.node_id);
        match (&self.advertise, own) {
            (Some(address), _) => address.clone(),
            (None, Some(peer)) => peer.address.clone(),
            (None, None) => self.listen.peer.to_string(),
        }
    }

    /// The limits of the deterministic core, which travel with each proposal.
    pub fn core_limits(&self) -> statemachine::limits::Limits {
        self.limits.for_core(&self.features)
    }
}

fn one_line(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', " ");
    match error.span() {
        Some(span) => {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let config = Config {
            peers: vec![Peer { id: 1, address: "127.0.0.1:7234".into() }],
            bootstrap: Bootstrap { namespaces: vec![NamespaceSeed::named("default")], ..Bootstrap::default() },
            ..Config::default()
        };
        let text = config.to_toml().expect("serializes");
        assert_eq!(Config::parse(&text).expect("parses"), config);
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(Config::parse("").expect("parses"), Config::default());
    }

    #[test]
    fn errors_are_one_line_that_names_the_key() {
        let cases = [
            ("nodeid = 3", "nodeid: unknown field `nodeid`"),
            ("[listen]\napi = \"nowhere\"", "listen.api: invalid socket address syntax"),
            ("[raft]\nheartbeat = \"soon\"", "raft.heartbeat: "),
            ("[limits]\nsignals = \"many\"", "limits.signals: invalid type: string \"many\", expected i64"),
            ("node_id = ", "line 1: "),
        ];
        for (text, expected) in cases {
            let message = Config::parse(text).expect_err(text).to_string();
            assert!(message.starts_with(expected), "{text:?} gave {message:?}");
            assert!(!message.contains('\n'), "{message:?}");
        }
    }
}
