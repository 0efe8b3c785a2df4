//! Three nodes in one process, talking over real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use statemachine::Effect;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::test_kit::proposal;
use super::{EffectSink, Group, Groups, PeerDirectory, ProposeError, RaftConfig, RaftOptions};
use crate::storage::StorageConfig;

const SHARD: u32 = 0;
const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Sink {
    effects: Mutex<usize>,
    terms: Mutex<Vec<Option<u64>>>,
}

impl EffectSink for Sink {
    fn applied(&self, _shard: u32, _is_leader: bool, effects: Vec<Effect>) {
        *self.effects.lock().expect("no panic") += effects.len();
    }

    fn leadership(&self, _shard: u32, term: Option<u64>) {
        self.terms.lock().expect("no panic").push(term);
    }
}

#[derive(Default)]
struct Directory(Mutex<BTreeMap<u64, String>>);

impl PeerDirectory for Directory {
    fn address(&self, node: u64) -> Option<String> {
        self.0.lock().expect("no panic").get(&node).cloned()
    }
}

struct Node {
    groups: Arc<Groups>,
    group: Arc<Group>,
    sink: Arc<Sink>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    _cluster: watch::Sender<String>,
}

impl Node {
    async fn start(id: u64, data: &Path, directory: &Arc<Directory>, raft: RaftConfig) -> Self {
        Self::open(id, data, directory, raft, 0).await
    }

    async fn open(id: u64, data: &Path, directory: &Arc<Directory>, raft: RaftConfig, disk_reserve_bytes: u64) -> Self {
        let (cluster, cluster_id) = watch::channel("test".to_owned());
        let sink = Arc::new(Sink::default());
        let options = RaftOptions {
            node_id: id,
            cluster_id,
            data_dir: data.join(id.to_string()),
            raft,
            storage: StorageConfig { disk_reserve_bytes, ..StorageConfig::default() },
        };
        std::fs::create_dir_all(&options.data_dir).expect("a directory");
        let groups = Groups::open(options, sink.clone(), directory.clone()).await.expect("the stores open");
        let group = groups.start_shard(SHARD).await.expect("the group starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        directory.0.lock().expect("no panic").insert(id, address);
        let stop = CancellationToken::new();
        let router = tonic::transport::Server::builder().tcp_nodelay(true).add_service(groups.tonic_service());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            router.serve_with_incoming_shutdown(incoming, stopped).await.expect("the server runs");
        });
        Self { groups, group, sink, stop, server, _cluster: cluster }
    }

    /// Goes away without handing anything over.
    async fn stop(self) {
        self.server.abort();
        self.stop.cancel();
        self.groups.shutdown().await;
    }
}

struct Cluster {
    data: tempfile::TempDir,
    directory: Arc<Directory>,
    nodes: BTreeMap<u64, Node>,
    config: RaftConfig,
}

impl Cluster {
    async fn start(count: u64, config: RaftConfig) -> Self {
        let (data, directory) = (tempfile::tempdir().expect("a directory"), Arc::new(Directory::default()));
        let mut nodes = BTreeMap::new();
        for id in 1..=count {
            nodes.insert(id, Node::start(id, data.path(), &directory, config.clone()).await);
        }
        nodes[&1].groups.initialize(SHARD, (1..=count).collect()).await.expect("the group is initialized");
        Self { data, directory, nodes, config }
    }

    async fn leader(&self) -> u64 {
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
    async fn propose(&self, name: &str) -> u64 {
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

    async fn stop(&mut self, id: u64) {
        self.nodes.remove(&id).expect("it runs").stop().await;
    }

    async fn restart(&mut self, id: u64) {
        let node = Node::start(id, self.data.path(), &self.directory, self.config.clone()).await;
        self.nodes.insert(id, node);
    }

    async fn all_equal_at(&self, index: u64) {
        let mut digests = BTreeSet::new();
        for node in self.nodes.values() {
            let reached = tokio::time::timeout(LONG, node.group.wait_applied(index)).await;
            reached.expect("it catches up").expect("the group runs");
            digests.insert(node.group.snapshot().digest().expect("rows can be read"));
        }
        assert_eq!(digests.len(), 1, "replicas differ");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_agree_and_survive_their_leader() {
    let mut cluster = Cluster::start(3, RaftConfig::default()).await;
    for number in 0..20 {
        cluster.propose(&format!("before-{number}")).await;
    }
    let leader = cluster.leader().await;
    let node = &cluster.nodes[&leader];
    let read = node.group.read_index().await.expect("a quorum answers");
    node.group.wait_applied(read).await.expect("the group runs");
    assert!(node.group.snapshot().applied().expect("rows can be read").is_some_and(|applied| applied.index >= read));
    let status = node.group.status();
    assert_eq!((status.leader, status.voters.len(), status.followers.len()), (Some(leader), 3, 2));
    assert_eq!(node.sink.terms.lock().expect("no panic").last(), Some(&Some(status.term)));
    assert!(*node.sink.effects.lock().expect("no panic") >= 20);

    cluster.stop(leader).await;
    let started = Instant::now();
    cluster.propose("after").await;
    println!("failover took {:?}", started.elapsed());
    cluster.restart(leader).await;
    let last = cluster.propose("again").await;
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_refuse_and_name_the_leader() {
    let cluster = Cluster::start(3, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    cluster.all_equal_at(last).await;
    let leader = cluster.leader().await;
    let (_, follower) = cluster.nodes.iter().find(|(id, _)| **id != leader).expect("there are three");
    let refused = follower.group.propose(proposal("two")).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: Some(named) }) if named == leader), "{refused:?}");
    assert!(follower.group.read_index().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_can_be_handed_over() {
    let cluster = Cluster::start(3, RaftConfig::default()).await;
    cluster.propose("one").await;
    let leader = cluster.leader().await;
    let to = leader % 3 + 1;
    let started = Instant::now();
    cluster.nodes[&leader].group.transfer_leader(to).await.expect("the other takes over");
    println!("transfer took {:?}", started.elapsed());
    let last = cluster.propose("two").await;
    assert_eq!(cluster.leader().await, to);
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_catches_up_from_a_snapshot() {
    let config = RaftConfig { log_entries_kept: 0, ..RaftConfig::default() };
    let mut cluster = Cluster::start(3, config).await;
    cluster.propose("one").await;
    let away = cluster.leader().await % 3 + 1;
    cluster.stop(away).await;
    let mut last = 0;
    for number in 0..50 {
        last = cluster.propose(&format!("meanwhile-{number}")).await;
    }
    for node in cluster.nodes.values() {
        node.group.make_snapshot().await;
        let deadline = Instant::now() + LONG;
        while node.group.status().purged.is_none() {
            assert!(Instant::now() < deadline, "the log is not purged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    cluster.restart(away).await;
    cluster.all_equal_at(last).await;
    assert!(cluster.nodes[&away].group.store().checkpoint().is_some(), "it came by snapshot");
    let last = cluster.propose("done").await;
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_stops_its_shard_and_no_other() {
    let cluster = Cluster::start(1, RaftConfig::default()).await;
    cluster.propose("one").await;
    let groups = &cluster.nodes[&1].groups;
    let other = groups.start_shard(1).await.expect("the group starts");
    groups.initialize(1, BTreeSet::from([1])).await.expect("the group is initialized");
    let group = &cluster.nodes[&1].group;
    let poisoned = group.propose(Bytes::from_static(&[0xff; 9])).await;
    assert!(matches!(poisoned, Err(ProposeError::Unknown { .. })), "{poisoned:?}");
    let deadline = Instant::now() + LONG;
    while group.status().stopped.is_none() || group.is_leader() || !other.is_leader() {
        assert!(Instant::now() < deadline, "{:?}", group.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(group.propose(proposal("two")).await.is_err());
    other.propose(proposal("two")).await.expect("the other shard goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_proposals_but_not_reads() {
    let cluster = Cluster::start(1, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    let data = cluster.data.path();
    let full = Node::open(2, data, &cluster.directory, RaftConfig::default(), u64::MAX).await;
    full.groups.initialize(SHARD, BTreeSet::from([2])).await.expect("the group is initialized");
    let deadline = Instant::now() + LONG;
    while !full.group.is_leader() {
        assert!(Instant::now() < deadline, "no leader");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(full.group.propose(proposal("two")).await, Err(ProposeError::DiskFull)));
    full.group.read_index().await.expect("reads need no room");
    assert!(cluster.nodes[&1].group.read_index().await.expect("it has room") >= last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_restarts_with_everything() {
    let mut cluster = Cluster::start(1, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    let digest = cluster.nodes[&1].group.snapshot().digest().expect("rows can be read");
    cluster.stop(1).await;
    cluster.restart(1).await;
    cluster.nodes[&1].group.wait_applied(last).await.expect("the group runs");
    assert_eq!(cluster.nodes[&1].group.snapshot().digest().expect("rows can be read"), digest);
    let leader = cluster.leader().await;
    let read = cluster.nodes[&leader].group.read_index().await.expect("it is its own quorum");
    assert!(read >= last);
}
