//! The other nodes: where they listen, one connection per lane, and the metadata that every call carries.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use proto::everstep::peer::v1::cluster_client::ClusterClient;
use statemachine::state;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::cuts::Cuts;
use crate::raft::PeerDirectory;

/// Names the cluster that the caller belongs to.
const CLUSTER: &str = "everstep-cluster";
/// The node that calls.
const FROM: &str = "everstep-from";
/// The node that is meant.
const TO: &str = "everstep-to";

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A peer that does not even answer pings for so long is taken for dead, and its calls fail.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A node that did not answer is not asked for so long, where others can be asked.
const SUSPECT_FOR: Duration = Duration::from_secs(2);

/// Calls of one kind share a connection, so that long polls never hold up a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Calls,
    Polls,
}

/// A connection to a node that says who calls whom.
pub type Peer = InterceptedService<Channel, PeerHeaders>;

/// Addresses of the nodes. Those of the configuration stand, so that a cluster whose nodes all moved finds together;
/// the system shard tells the rest.
pub struct Peers {
    cluster_id: MetadataValue<Ascii>,
    this_node: u64,
    /// Peer addresses by the configuration.
    configured: BTreeMap<u64, String>,
    nodes: RwLock<BTreeMap<u64, state::Node>>,
    channels: Mutex<HashMap<(u64, Lane), (String, Channel)>>,
    /// When a node last did not answer.
    suspects: Mutex<HashMap<u64, Instant>>,
    pub(super) cuts: Arc<Cuts>,
}

impl Peers {
    /// `Err` if the cluster id cannot stand in a header.
    pub fn new(
        cluster_id: &str,
        this_node: u64,
        nodes: impl IntoIterator<Item = state::Node>,
    ) -> Result<Self, tonic::metadata::errors::InvalidMetadataValue> {
        let nodes: BTreeMap<u64, state::Node> = nodes.into_iter().map(|node| (node.node_id, node)).collect();
        Ok(Self {
            cluster_id: cluster_id.parse()?,
            this_node,
            configured: nodes.iter().map(|(&id, node)| (id, node.peer_address.clone())).collect(),
            nodes: RwLock::new(nodes),
            channels: Mutex::new(HashMap::new()),
            suspects: Mutex::new(HashMap::new()),
            cuts: Arc::default(),
        })
    }

    pub fn this_node(&self) -> u64 {
        self.this_node
    }

    /// All known nodes by id, this one included.
    pub fn nodes(&self) -> Vec<state::Node> {
        self.nodes.read().expect("no panic while held").values().cloned().collect()
    }

    pub fn node(&self, id: u64) -> Option<state::Node> {
        self.nodes.read().expect("no panic while held").get(&id).cloned()
    }

    /// Takes over what the system shard says. This node's own row is its own to tell; who has none was removed.
    pub(super) fn update(&self, rows: Vec<state::Node>) {
        let mut nodes = self.nodes.write().expect("no panic while held");
        if !rows.is_empty() {
            nodes.retain(|id, _| *id == self.this_node || rows.iter().any(|row| row.node_id == *id));
        }
        for mut row in rows {
            if let Some(address) = self.configured.get(&row.node_id) {
                row.peer_address.clone_from(address);
            }
            if row.node_id != self.this_node && !row.peer_address.is_empty() {
                nodes.insert(row.node_id, row);
            }
        }
    }

    /// Nodes that this one has heard of before it has the system shard.
    pub(super) fn learn(&self, heard: Vec<(u64, String)>) {
        let mut nodes = self.nodes.write().expect("no panic while held");
        for (node_id, peer_address) in heard {
            if node_id != self.this_node {
                let node = state::Node { node_id, peer_address, ..Default::default() };
                nodes.entry(node_id).or_insert(node);
            }
        }
    }

    pub(super) fn heard(&self, node: u64, answered: bool) {
        let mut suspects = self.suspects.lock().expect("no panic while held");
        match answered {
            true => suspects.remove(&node),
            false => suspects.insert(node, Instant::now()),
        };
    }

    pub(super) fn is_suspect(&self, node: u64) -> bool {
        let suspects = self.suspects.lock().expect("no panic while held");
        suspects.get(&node).is_some_and(|since| since.elapsed() < SUSPECT_FOR)
    }

    /// A connection to the node. It connects when first used and again when it was lost.
    pub fn connection(&self, node: u64, lane: Lane) -> Result<Peer, Status> {
        if self.cuts.is_cut(node) {
            return Err(Status::unavailable(format!("cut off from node {node}")));
        }
        let address = self.address(node).ok_or_else(|| Status::unavailable(format!("no address of node {node}")))?;
        let channel = self.channel(node, lane, address)?;
        Ok(InterceptedService::new(channel, self.headers(node)))
    }

    pub(super) fn client(&self, node: u64) -> Result<ClusterClient<Peer>, Status> {
        let client = ClusterClient::new(self.connection(node, Lane::Calls)?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn channel(&self, node: u64, lane: Lane, address: String) -> Result<Channel, Status> {
        let mut channels = self.channels.lock().expect("no panic while held");
        if let Some((connected_to, channel)) = channels.get(&(node, lane)) {
            if *connected_to == address {
                return Ok(channel.clone());
            }
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::unavailable(format!("address of node {node}: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        let channel = endpoint.connect_lazy();
        channels.insert((node, lane), (address, channel.clone()));
        Ok(channel)
    }

    fn headers(&self, to: u64) -> PeerHeaders {
        PeerHeaders { cluster_id: self.cluster_id.clone(), from: self.this_node.into(), to: to.into() }
    }

    /// What the peer server checks of every call.
    pub fn guard(&self) -> PeerGuard {
        PeerGuard { cluster_id: self.cluster_id.clone(), this_node: self.this_node.into(), cuts: self.cuts.clone() }
    }
}

impl PeerDirectory for Peers {
    fn address(&self, node: u64) -> Option<String> {
        self.node(node).map(|node| node.peer_address)
    }

    fn is_cut(&self, node: u64) -> bool {
        self.cuts.is_cut(node)
    }
}

/// Says on every call which cluster and node it comes from and which node is meant.
#[derive(Debug, Clone)]
pub struct PeerHeaders {
    cluster_id: MetadataValue<Ascii>,
    from: MetadataValue<Ascii>,
    to: MetadataValue<Ascii>,
}

impl Interceptor for PeerHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, self.cluster_id.clone());
        metadata.insert(FROM, self.from.clone());
        metadata.insert(TO, self.to.clone());
        Ok(request)
    }
}

/// The node that calls, as it says.
pub(super) fn caller(metadata: &MetadataMap) -> Option<u64> {
    metadata.get(FROM)?.to_str().ok()?.parse().ok()
}

/// Refuses calls of another cluster, and those meant for a node that used to have this one's address.
#[derive(Clone)]
pub struct PeerGuard {
    cluster_id: MetadataValue<Ascii>,
    this_node: MetadataValue<Ascii>,
    cuts: Arc<Cuts>,
}

impl Interceptor for PeerGuard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata();
        if metadata.get(CLUSTER) != Some(&self.cluster_id) {
            return Err(Status::failed_precondition("the caller belongs to another cluster"));
        }
        if metadata.get(TO) != Some(&self.this_node) {
            return Err(Status::failed_precondition("another node is meant"));
        }
        if caller(metadata).is_some_and(|from| self.cuts.is_cut(from)) {
            return Err(Status::unavailable("cut off from the caller"));
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(cluster_id: &str, this_node: u64) -> Peers {
        Peers::new(cluster_id, this_node, []).expect("a plain id")
    }

    #[test]
    fn only_the_node_meant_and_of_the_same_cluster_takes_a_call() {
        let call = |from: &Peers, to: u64| from.headers(to).call(Request::new(())).expect("headers are added");
        let one = peers("blue", 1);
        assert!(peers("blue", 2).guard().call(call(&one, 2)).is_ok());
        assert!(peers("blue", 3).guard().call(call(&one, 2)).is_err());
        assert!(peers("green", 2).guard().call(call(&one, 2)).is_err());
        assert!(peers("blue", 2).guard().call(Request::new(())).is_err());
    }

    fn node(node_id: u64, address: &str) -> state::Node {
        state::Node { node_id, peer_address: address.into(), ..Default::default() }
    }

    #[tokio::test]
    async fn a_changed_address_makes_a_new_connection() {
        let peers = Peers::new("blue", 1, []).expect("a plain id");
        for address in ["127.0.0.1:1", "127.0.0.1:2"] {
            peers.update(vec![node(2, address)]);
            peers.connection(2, Lane::Calls).expect("known");
            let channels = peers.channels.lock().expect("not poisoned");
            assert_eq!(channels[&(2, Lane::Calls)].0, address);
        }
    }

    #[test]
    fn the_configured_address_of_a_peer_stands_against_an_old_row() {
        let peers = Peers::new("blue", 1, [node(2, "127.0.0.1:9")]).expect("a plain id");
        let row = state::Node { api_address: "127.0.0.1:3".into(), ..node(2, "127.0.0.1:1") };
        peers.update(vec![row, node(4, "127.0.0.1:4")]);
        let known = peers.node(2).expect("known");
        assert_eq!((known.peer_address.as_str(), known.api_address.as_str()), ("127.0.0.1:9", "127.0.0.1:3"));
        assert_eq!(peers.address(4), Some("127.0.0.1:4".into()));
    }

    #[test]
    fn a_removed_node_is_forgotten_and_a_silent_one_suspected() {
        let peers = Peers::new("blue", 1, [node(1, "127.0.0.1:1"), node(2, "127.0.0.1:2")]).expect("a plain id");
        peers.learn(vec![(1, "127.0.0.1:9".into()), (3, "127.0.0.1:3".into())]);
        assert_eq!(peers.address(1), Some("127.0.0.1:1".into()));
        peers.update(Vec::new());
        assert_eq!(peers.nodes().len(), 3, "before there is a cluster, nothing is forgotten");
        peers.update(vec![node(1, "127.0.0.1:1"), node(3, "127.0.0.1:3")]);
        assert_eq!(peers.nodes().iter().map(|node| node.node_id).collect::<Vec<_>>(), [1, 3]);
        peers.heard(3, false);
        assert!(peers.is_suspect(3) && !peers.is_suspect(1));
        peers.heard(3, true);
        assert!(!peers.is_suspect(3));
    }
}
