//! RocksDB only: the node's log store, a state store per shard, and snapshots of them.
//!
//! ```text
//!   append, vote ─► ShardLog (tail in memory, readable at once) ─► syncer thread: one batch, one fsync ─► callbacks
//!   apply ─► StateStore::write (no WAL; last-applied in the same batch) ─► flush ─► durable ─► log may be purged
//!   snapshot = hard links of a flushed store + manifest;  install = staging dir ─► marker by atomic rename
//! ```
//!
//! It knows nothing of openraft, proposals or tables: entries and rows are bytes. A write that fails is never
//! acknowledged: the process stops with one line instead, because what the disk then holds is unknown.

pub mod checkpoint;
pub mod disk;
pub mod failpoint;
pub mod fatal;
mod generation;
mod identity;
mod log_rows;
mod log_store;
pub mod metric;
mod options;
mod receive;
mod shard_log;
mod snapshot;
mod state_store;
mod syncer;
mod tail;

use bytes::Bytes;

pub use checkpoint::Checkpoint;
pub use disk::{DiskState, DiskWatch};
pub use identity::identify;
pub use log_store::LogStore;
pub use options::{Resources, StorageConfig};
pub use receive::Receiver;
pub use shard_log::ShardLog;
pub use snapshot::Snapshot;
pub use state_store::{Cut, Progress, StateStore};
pub use syncer::Done;

/// Where an entry stands in a log, and who put it there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    pub term: u64,
    pub leader: u64,
    pub index: u64,
}

/// Whom this node voted for, or follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vote {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

/// One entry of a shard's log. What `kind` and `payload` mean is the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub id: LogId,
    pub kind: u8,
    pub payload: Bytes,
}

impl LogEntry {
    /// What the entry costs in memory and on the wire, roughly.
    pub fn weight(&self) -> usize {
        self.payload.len() + 64
    }
}

/// A failure of this node's storage.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("{what}: {why}")]
    Io { what: &'static str, why: String },
    #[error("corrupt {what}: {why}")]
    Corrupt { what: &'static str, why: String },
    /// A write failed before; nothing is accepted any more.
    #[error("the log store has stopped")]
    Stopped,
}

impl StoreError {
    pub fn io(what: &'static str, why: impl ToString) -> Self {
        Self::Io { what, why: why.to_string() }
    }

    pub fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        std::io::Error::other(error)
    }
}

#[cfg(test)]
mod log_store_test;
#[cfg(test)]
mod power_loss_test;
#[cfg(test)]
mod state_store_test;
