//! What a node's Raft groups are opened with.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::storage::StorageConfig;

pub struct RaftOptions {
    /// Never reused, even by an empty node: a voter that lost its log would vote twice.
    pub node_id: u64,
    /// Empty until known; peers of another cluster, and all peers while it is empty, are refused.
    pub cluster_id: watch::Receiver<String>,
    /// Holds `log/` and `state/`.
    pub data_dir: PathBuf,
    pub raft: RaftConfig,
    pub storage: StorageConfig,
}

/// Timing and sizes of every group (docs/adr/0002-idle-cost.md gives the reasons).
#[derive(Debug, Clone)]
pub struct RaftConfig {
    pub heartbeat: Duration,
    /// A follower waits a random time between these after the leader's lease.
    pub election_min: Duration,
    pub election_max: Duration,
    /// Entries per append message; bytes are capped as well.
    pub append_entries_max: u64,
    pub append_bytes_max: usize,
    /// A follower further behind gets a snapshot.
    pub lag_entries_max: u64,
    /// A snapshot is due after this much log since the last one.
    pub snapshot_log_bytes: u64,
    /// Entries kept below the snapshot for followers that were away.
    pub log_entries_kept: u64,
    pub snapshot_timeout: Duration,
    /// How long a proposal may wait for its answer before its outcome is called unknown.
    pub propose_timeout: Duration,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(180),
            election_min: Duration::from_millis(260),
            election_max: Duration::from_millis(380),
            append_entries_max: 1024,
            append_bytes_max: 4 << 20,
            lag_entries_max: 1_000_000,
            snapshot_log_bytes: 64 << 20,
            log_entries_kept: 100_000,
            snapshot_timeout: Duration::from_secs(60),
            propose_timeout: Duration::from_secs(10),
        }
    }
}
