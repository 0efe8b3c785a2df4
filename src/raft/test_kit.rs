//! What the tests of this folder share: nodes in one process that talk over real sockets, through ways that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use sha2::{Digest, Sha256};
use statemachine::{op, Effect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{EffectSink, Group, Groups, OpenError, PeerDirectory, ProposeError, RaftConfig, RaftOptions};
use crate::storage::StorageConfig;

/// Registers a namespace: the op id, the ids it makes and its rows all derive from `name`.
pub fn proposal(name: &str) -> Bytes {
    let request = RegisterNamespaceRequest { namespace: name.to_owned(), ..Default::default() };
    let kind = op::op::Kind::RegisterNamespace(op::RegisterNamespace { request: Some(request) });
    let proposal = op::Proposal {
        stamp: Some(op::Stamp { now: 1, seed: Bytes::copy_from_slice(&Sha256::digest(name)[..16]) }),
        op: Some(op::Op { kind: Some(kind) }),
        op_id: Bytes::copy_from_slice(name.as_bytes()),
        ..Default::default()
    };
    proposal.encode_to_vec().into()
}

pub const SHARD: u32 = 0;
pub const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Sink {
    pub effects: Mutex<usize>,
    pub terms: Mutex<Vec<Option<u64>>>,
}

impl EffectSink for Sink {
    fn applied(&self, _shard: u32, _is_leader: bool, effects: Vec<Effect>) {
        *self.effects.lock().expect("no panic") += effects.len();
    }

    fn leadership(&self, _shard: u32, term: Option<u64>) {
        self.terms.lock().expect("no panic").push(term);
    }
}

/// The way from one node to another, which can be blocked: connections then stay open but carry nothing.
pub struct Way {
    address: String,
    target: watch::Sender<String>,
    blocked: watch::Sender<bool>,
    severed: watch::Sender<()>,
    answers_lost: watch::Sender<()>,
}

impl Way {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (target, target_now) = watch::channel(String::new());
        let (blocked, blocked_now) = watch::channel(false);
        let (severed, severed_now) = watch::channel(());
        let (answers_lost, lost_now) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let mut lost = lost_now.clone();
                lost.mark_unchanged();
                let carried = carry(from, target_now.borrow().clone(), blocked_now.clone(), lost);
                let mut severed = severed_now.clone();
                severed.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carried => {}
                        _ = severed.changed() => {}
                    }
                });
            }
        });
        Self { address, target, blocked, severed, answers_lost }
    }
}

async fn carry(from: TcpStream, target: String, blocked: watch::Receiver<bool>, answers_lost: watch::Receiver<()>) {
    let Ok(to) = TcpStream::connect(target).await else { return };
    from.set_nodelay(true).expect("a socket");
    to.set_nodelay(true).expect("a socket");
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let (_never, nothing_lost) = watch::channel(());
    tokio::select! {
        () = copy(from_read, to_write, blocked.clone(), nothing_lost) => {}
        () = copy(to_read, from_write, blocked, answers_lost) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut blocked: watch::Receiver<bool>,
    lost: watch::Receiver<()>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if lost.has_changed().unwrap_or(false) {
            continue;
        }
        let open = blocked.wait_for(|blocked| !blocked).await.is_ok();
        if !open || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Every ordered pair of nodes has a way of its own.
pub struct Ways(BTreeMap<(u64, u64), Way>);

impl Ways {
    async fn new(count: u64) -> Arc<Self> {
        let mut ways = BTreeMap::new();
        for from in 1..=count {
            for to in 1..=count {
                ways.insert((from, to), Way::new().await);
            }
        }
        Arc::new(Self(ways))
    }

    /// Where `from` finds `to`.
    pub fn address(&self, from: u64, to: u64) -> &str {
        &self.0[&(from, to)].address
    }

    pub fn lead_to(&self, node: u64, address: &str) {
        for ((_, to), way) in &self.0 {
            if *to == node {
                way.target.send_replace(address.to_owned());
            }
        }
    }

    /// Breaks a node's connections to all others; new ones can be made at once.
    pub fn sever(&self, node: u64) {
        for ((from, to), way) in &self.0 {
            if *from == node || *to == node {
                way.severed.send_replace(());
            }
        }
    }

    /// What `to` answers to `from` over connections that are open is lost from now on, and neither side is told.
    pub fn lose_answers(&self, from: u64, to: u64) {
        self.0[&(from, to)].answers_lost.send_replace(());
    }

    /// Cuts a node off from all others, or connects it again.
    pub fn isolate(&self, node: u64, cut: bool) {
        for ((from, to), way) in &self.0 {
            if *from == node || *to == node {
                way.blocked.send_replace(cut);
            }
        }
    }
}

/// What one node knows: its own ways.
struct Directory {
    from: u64,
    ways: Arc<Ways>,
}

impl PeerDirectory for Directory {
    fn address(&self, node: u64) -> Option<String> {
        self.ways.0.get(&(self.from, node)).map(|way| way.address.clone())
    }
}

pub struct Node {
    pub groups: Arc<Groups>,
    pub group: Arc<Group>,
    pub sink: Arc<Sink>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    _cluster: watch::Sender<String>,
}

impl Node {
    async fn start(id: u64, data: &Path, ways: &Arc<Ways>, raft: RaftConfig) -> Self {
        Self::open(id, data, ways, raft, 0).await
    }

    pub async fn open(id: u64, data: &Path, ways: &Arc<Ways>, raft: RaftConfig, disk_reserve_bytes: u64) -> Self {
        let directory = Arc::new(Directory { from: id, ways: ways.clone() });
        let opened = Self::try_open(id, data, directory, raft, disk_reserve_bytes).await;
        let (node, address) = opened.expect("the stores open");
        ways.lead_to(id, &address);
        node
    }

    /// With the address at which it listens.
    pub async fn try_open(
        id: u64,
        data: &Path,
        peers: Arc<dyn PeerDirectory>,
        raft: RaftConfig,
        disk_reserve_bytes: u64,
    ) -> Result<(Self, String), OpenError> {
        let (cluster, cluster_id) = watch::channel("test".to_owned());
        let sink = Arc::new(Sink::default());
        let options = RaftOptions {
            node_id: id,
            cluster_id,
            data_dir: data.join(id.to_string()),
            raft,
            storage: StorageConfig { disk_reserve_bytes, ..StorageConfig::default() },
        };
        fs_err::create_dir_all(&options.data_dir).expect("a directory");
        let groups = Groups::open(options, sink.clone(), peers).await?;
        let group = groups.start_shard(SHARD).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let stop = CancellationToken::new();
        let router = tonic::transport::Server::builder().tcp_nodelay(true).add_service(groups.tonic_service());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            router.serve_with_incoming_shutdown(incoming, stopped).await.expect("the server runs");
        });
        Ok((Self { groups, group, sink, stop, server, _cluster: cluster }, address))
    }

    /// Goes away without handing anything over.
    async fn stop(self) {
        self.server.abort();
        self.stop.cancel();
        self.groups.shutdown().await;
    }
}

pub struct Cluster {
    pub data: tempfile::TempDir,
    pub ways: Arc<Ways>,
    pub nodes: BTreeMap<u64, Node>,
    config: RaftConfig,
}

impl Cluster {
    pub async fn start(count: u64, config: RaftConfig) -> Self {
        Self::with_room(count, count, config).await
    }

    /// `most` nodes can be there; the first `count` make the group.
    pub async fn with_room(count: u64, most: u64, config: RaftConfig) -> Self {
        let (data, ways) = (tempfile::tempdir().expect("a directory"), Ways::new(most).await);
        let mut nodes = BTreeMap::new();
        for id in 1..=count {
            nodes.insert(id, Node::start(id, data.path(), &ways, config.clone()).await);
        }
        nodes[&1].groups.initialize(SHARD, (1..=count).collect()).await.expect("the group is initialized");
        Self { data, ways, nodes, config }
    }

    pub async fn leader(&self) -> u64 {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some((id, _)) = self.nodes.iter().find(|(_, node)| node.group.is_leader()) {
                return *id;
            }
            assert!(Instant::now() < deadline, "no leader");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Proposes at whoever leads until it is taken.
    pub async fn propose(&self, name: &str) -> u64 {
        let deadline = Instant::now() + LONG;
        loop {
            let leader = self.leader().await;
            match self.nodes[&leader].group.propose(proposal(name)).await {
                Ok(applied) => return applied.index,
                Err(ProposeError::NotLeader { .. } | ProposeError::Unknown { .. }) => {
                    assert!(Instant::now() < deadline, "{name} is not accepted");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn stop(&mut self, id: u64) {
        self.nodes.remove(&id).expect("it runs").stop().await;
    }

    pub async fn restart(&mut self, id: u64) {
        let node = Node::start(id, self.data.path(), &self.ways, self.config.clone()).await;
        self.nodes.insert(id, node);
    }

    pub async fn all_equal_at(&self, index: u64) {
        let mut digests = BTreeSet::new();
        for node in self.nodes.values() {
            let reached = tokio::time::timeout(LONG, node.group.wait_applied(index)).await;
            reached.expect("it catches up").expect("the group runs");
            digests.insert(node.group.snapshot().digest().expect("rows can be read"));
        }
        assert_eq!(digests.len(), 1, "replicas differ");
    }
}
