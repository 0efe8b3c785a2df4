//! RocksDB only: the node's log store, a state store per shard, and snapshots of them.
//!
//! ```text
//!   append, vote ─► ShardLog (tail in memory, readable at once) ─► syncer thread: one batch, one fsync ─► callbacks
//!   apply ─► StateStore::write (no WAL; last-applied in the same batch) ─► flush ─► durable ─► log may be purged
//!   snapshot = hard links of a flushed store + manifest;  install = staging dir ─► marker by atomic rename
//!   a log that ends before its note (`log_mark`), or that a leader knows to have lost entries (`fence`), is not opened
//! ```
//!
//! It knows nothing of openraft, proposals or tables: entries and rows are bytes. A write that fails is never
//! acknowledged: the process stops with one line instead, because what the disk then holds is unknown.

pub mod checkpoint;
pub mod disk;
mod entry;
mod error;
pub mod failpoint;
pub mod fatal;
mod fence;
mod generation;
mod identity;
mod log_mark;
mod log_rows;
mod log_store;
pub mod metric;
mod options;
mod receive;
mod send;
mod shard_log;
mod snapshot;
mod state_store;
mod syncer;
mod tail;
pub mod work;

pub use checkpoint::Checkpoint;
pub use disk::{DiskState, DiskWatch};
pub use entry::{LogEntry, LogId, Vote};
pub use error::StoreError;
pub use identity::identify;
pub use log_mark::LogMark;
pub use log_store::LogStore;
pub use options::{Resources, StorageConfig};
pub use receive::Receiver;
pub use send::Chunks;
pub use shard_log::ShardLog;
pub use snapshot::Snapshot;
pub use state_store::{Cut, Progress, StateStore};
pub use syncer::Done;

#[cfg(test)]
mod log_race_test;
#[cfg(test)]
mod log_store_test;
#[cfg(test)]
mod power_loss_test;
#[cfg(test)]
mod state_store_test;
#[cfg(test)]
pub mod test_disk;
