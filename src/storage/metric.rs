//! Names of this folder's metrics.

/// Seconds one fsync of the log took.
pub const LOG_SYNC_SECONDS: &str = "everstep_raft_log_sync_seconds";
/// Entries of all shards that one fsync covered.
pub const LOG_BATCH_ENTRIES: &str = "everstep_raft_log_batch_entries";
/// Jobs found waiting when the syncer took the queue.
pub const LOG_QUEUE_JOBS: &str = "everstep_raft_log_queue_jobs";
/// Seconds one flush of a state store took.
pub const STATE_FLUSH_SECONDS: &str = "everstep_raft_state_flush_seconds";
/// 1 while writes are refused for lack of disk space.
pub const DISK_FULL: &str = "everstep_raft_disk_full";
