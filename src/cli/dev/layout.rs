//! The directory of a development cluster: one folder and one configuration for each node, and `dev.json`, which tells
//! processes and ports and keeps them over restarts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{FrontPorts, Plan};
use crate::config::{Config, Listen, Peer};

const STATE_FILE: &str = "dev.json";
const LOCK_FILE: &str = "dev.lock";
/// Below what the system gives to outgoing connections, so that none of those takes the port of a node that restarts.
const PORTS: std::ops::Range<u16> = 17_000..32_000;

/// `dev.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub cluster_id: String,
    pub pid: u32,
    pub address: SocketAddr,
    pub web: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    /// For `everstep cluster status --address`.
    pub admin: Option<SocketAddr>,
    pub nodes: Vec<NodeState>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeState {
    pub id: u64,
    /// Absent while the process is down.
    pub pid: Option<u32>,
    pub restarts: u32,
    pub api: SocketAddr,
    pub peer: SocketAddr,
    pub web: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
}

pub(super) struct Layout {
    pub root: PathBuf,
    /// Removes the directory when the layout goes.
    temporary: Option<TempDir>,
    /// Held for as long as this process uses the directory.
    _lock: fs_err::File,
    pub state: State,
    pub configs: Vec<Config>,
}

impl Layout {
    pub(super) fn prepare(plan: &Plan) -> anyhow::Result<Self> {
        let temporary = match plan.directory {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("everstep-dev-").tempdir().context("no temporary directory")?),
        };
        let root = match (&plan.directory, &temporary) {
            (Some(directory), _) => directory.clone(),
            (None, Some(temporary)) => temporary.path().into(),
            (None, None) => bail!("no directory"),
        };
        fs_err::create_dir_all(&root)?;
        let root = fs_err::canonicalize(&root)?;
        let lock = lock(&root)?;
        let earlier = read_state(&root)?;
        let state = plan_state(plan, earlier.as_ref())?;
        let configs = configs(plan, &root, &state);
        for config in &configs {
            config.validate()?;
            fs_err::write(config_file(&root, config.node_id), config.to_toml()?)?;
        }
        let layout = Self { root, temporary, _lock: lock, state, configs };
        layout.save(&layout.state)?;
        Ok(layout)
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub(super) fn state_file(&self) -> PathBuf {
        self.root.join(STATE_FILE)
    }

    pub(super) fn config_file(&self, node: u64) -> PathBuf {
        config_file(&self.root, node)
    }

    /// Readers see the old file or the new one, never half of one.
    pub(super) fn save(&self, state: &State) -> anyhow::Result<()> {
        let next = self.root.join("dev.json.next");
        fs_err::write(&next, format!("{}\n", serde_json::to_string_pretty(state)?))?;
        fs_err::rename(&next, self.state_file())?;
        Ok(())
    }
}

fn lock(root: &Path) -> anyhow::Result<fs_err::File> {
    let file = fs_err::File::create(root.join(LOCK_FILE))?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(_) => bail!("{} is used by another `everstep dev`", root.display()),
    }
}

fn config_file(root: &Path, node: u64) -> PathBuf {
    root.join(format!("node-{node}.toml"))
}

fn read_state(root: &Path) -> anyhow::Result<Option<State>> {
    let path = root.join(STATE_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(&path)?;
    let state = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(Some(state))
}

fn plan_state(plan: &Plan, earlier: Option<&State>) -> anyhow::Result<State> {
    if let Some(earlier) = earlier {
        let before = earlier.nodes.len() as u64;
        ensure!(before == plan.nodes, "the directory holds a cluster of {before} nodes, --nodes says {}", plan.nodes);
    }
    let mut ports = PortPicker::new(&plan.ports);
    let mut nodes = Vec::new();
    for id in 1..=plan.nodes {
        let before = earlier.and_then(|state| state.nodes.iter().find(|node| node.id == id));
        nodes.push(if plan.nodes == 1 {
            single_node(plan, before, &mut ports)?
        } else {
            one_of_many(plan, id, before, &mut ports)?
        });
    }
    Ok(State {
        cluster_id: earlier.map_or_else(|| format!("dev-{}", uuid::Uuid::new_v4()), |state| state.cluster_id.clone()),
        pid: std::process::id(),
        address: plan.ports.api(),
        web: plan.ports.web(),
        http: plan.ports.http(),
        admin: plan.ports.admin().filter(|address| plan.nodes > 1 || nodes[0].peer == *address),
        nodes,
    })
}

/// The node itself listens where clients connect.
fn single_node(plan: &Plan, before: Option<&NodeState>, ports: &mut PortPicker) -> anyhow::Result<NodeState> {
    let peer = match plan.ports.admin().filter(|address| is_free(*address)) {
        Some(address) => address,
        None => ports.again_or_free(before.map(|node| node.peer))?,
    };
    let metrics = match plan.ports.metrics {
        Some(port) => SocketAddr::new(plan.ports.ip, port),
        None => ports.again_or_free(before.and_then(|node| node.metrics))?,
    };
    Ok(NodeState {
        id: 1,
        pid: Some(std::process::id()),
        restarts: 0,
        api: plan.ports.api(),
        peer,
        web: plan.ports.web(),
        http: plan.ports.http(),
        metrics: Some(metrics),
    })
}

fn one_of_many(plan: &Plan, id: u64, before: Option<&NodeState>, ports: &mut PortPicker) -> anyhow::Result<NodeState> {
    if let Some(node) = before {
        ensure!(is_free(node.peer), "port {} of node {id} is used by another program", node.peer.port());
    }
    let web = before.and_then(|node| node.web);
    let http = before.and_then(|node| node.http);
    Ok(NodeState {
        id,
        pid: None,
        restarts: 0,
        api: ports.again_or_free(before.map(|node| node.api))?,
        peer: ports.again_or_free(before.map(|node| node.peer))?,
        web: plan.ports.web().map(|_| ports.again_or_free(web)).transpose()?,
        http: plan.ports.http().map(|_| ports.again_or_free(http)).transpose()?,
        metrics: Some(ports.again_or_free(before.and_then(|node| node.metrics))?),
    })
}

fn configs(plan: &Plan, root: &Path, state: &State) -> Vec<Config> {
    let peers = state.nodes.iter().map(|node| Peer { id: node.id, address: node.peer.to_string() }).collect::<Vec<_>>();
    let one = |node: &NodeState| Config {
        cluster_id: state.cluster_id.clone(),
        node_id: node.id,
        data_dir: root.join(format!("node-{}", node.id)),
        advertise: Some(reachable(node.peer).to_string()),
        chaos: true,
        listen: Listen { api: node.api, peer: node.peer, web: node.web, http: node.http, metrics: node.metrics },
        peers: if plan.nodes == 1 { Vec::new() } else { peers.clone() },
        ..plan.config.clone()
    };
    state.nodes.iter().map(one).collect()
}

/// Where to connect to something that listens on `address`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        false => address,
    }
}

struct PortPicker {
    taken: Vec<u16>,
    next: u16,
}

impl PortPicker {
    fn new(front: &FrontPorts) -> Self {
        let given = [Some(front.api), front.web, front.http, front.admin, front.metrics];
        Self { taken: given.into_iter().flatten().collect(), next: rand::random_range(PORTS) }
    }

    /// The port of the last time, or a free one.
    fn again_or_free(&mut self, before: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
        if let Some(address) = before.filter(|address| is_free(*address) && !self.taken.contains(&address.port())) {
            self.taken.push(address.port());
            return Ok(address);
        }
        for _ in PORTS {
            let port = self.next;
            self.next = if port + 1 == PORTS.end { PORTS.start } else { port + 1 };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if !self.taken.contains(&port) && is_free(address) {
                self.taken.push(port);
                return Ok(address);
            }
        }
        bail!("no free port between {} and {}", PORTS.start, PORTS.end)
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: u64, directory: Option<PathBuf>) -> Plan {
        let ip = Ipv4Addr::LOCALHOST.into();
        let ports = FrontPorts { ip, web_ip: ip, api: 1, web: Some(2), http: Some(3), admin: None, metrics: None };
        Plan { nodes, directory, ports, config: Config::default(), restart: true, warnings: Vec::new() }
    }

    #[test]
    fn ports_and_cluster_are_kept_over_restarts() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Layout::prepare(&plan(3, Some(directory.path().into()))).expect("first");
        assert!(Layout::prepare(&plan(3, Some(directory.path().into()))).is_err(), "in use");
        let state = first.state.clone();
        drop(first);
        let again = Layout::prepare(&plan(3, Some(directory.path().into()))).expect("again");
        assert_eq!(state, again.state);
        assert_eq!(again.configs[1].peers.len(), 3);
        let stored = Config::load(&again.config_file(2)).expect("a valid configuration");
        assert_eq!(stored, again.configs[1]);
        drop(again);
        assert!(Layout::prepare(&plan(1, Some(directory.path().into()))).is_err());
    }

    #[test]
    fn a_temporary_directory_goes_away() {
        let layout = Layout::prepare(&plan(1, None)).expect("prepared");
        let root = layout.root.clone();
        assert!(root.join("dev.json").exists());
        assert_eq!(layout.state.nodes[0].api, layout.state.address);
        drop(layout);
        assert!(!root.exists());
    }
}
