//! What a seed decides before anything runs.

use std::time::Duration;

use sim::Random;

use crate::raft::RaftConfig;
use crate::storage::StorageConfig;

#[derive(Debug, Clone)]
pub struct Settings {
    pub nodes: u64,
    pub shards: u32,
    pub clients: u64,
    /// Workflows of each shard.
    pub workflows: u64,
    /// How long clients and faults go on.
    pub load: Duration,
    /// Between two calls of a client, at most.
    pub pause: Duration,
    pub latency_max: Duration,
    /// Between two faults, at most; none without.
    pub faults_every: Option<Duration>,
    /// Disks take up to this many milliseconds for a sync.
    pub slowness: u64,
    /// How much faster than time a node's clock goes, in thousandths; by node.
    pub drift: Vec<u64>,
    /// How far its wall clock is off, in milliseconds; by node.
    pub skew: Vec<i64>,
    pub raft: RaftConfig,
    pub storage: StorageConfig,
}

impl Settings {
    pub fn of_seed(random: &mut Random) -> Self {
        let nodes = random.one_of([3, 3, 5]);
        let raft = RaftConfig {
            snapshot_log_bytes: random.one_of([2 << 10, 8 << 10, 64 << 10]),
            log_entries_kept: random.one_of([0, 4, 50]),
            append_bytes_max: random.one_of([256, 4 << 20]),
            propose_timeout: Duration::from_secs(3),
            ..RaftConfig::default()
        };
        let storage = StorageConfig {
            flush_every: Duration::from_millis(random.one_of([500, 3000, 30_000])),
            flush_log_bytes: 1 << 20,
            disk_reserve_bytes: 0,
        };
        Self {
            nodes,
            shards: random.between(1, 3) as u32,
            clients: random.between(2, 4) as u64,
            workflows: random.between(1, 3) as u64,
            load: Duration::from_secs(random.between(8, 16) as u64),
            pause: Duration::from_millis(random.one_of([5, 40, 200])),
            latency_max: Duration::from_millis(random.one_of([2, 10, 60])),
            faults_every: (!random.percent(5)).then(|| Duration::from_millis(random.one_of([300, 1200, 3000]))),
            slowness: random.one_of([0, 3, 15]),
            drift: (0..nodes).map(|_| random.one_of([0, 0, 2, 30])).collect(),
            skew: (0..nodes).map(|_| random.between(-3000, 3000)).collect(),
            raft,
            storage,
        }
    }

    pub fn node_names(&self) -> Vec<String> {
        (1..=self.nodes).map(node_name).collect()
    }
}

pub fn node_name(node: u64) -> String {
    format!("n{node}")
}
