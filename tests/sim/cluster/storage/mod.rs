//! In place of the server's `src/storage`: logs and rows in memory that know what a crash leaves of them. No thread, no
//! file, no RocksDB; for those there are `src/storage/*_test.rs` and `src/raft/crash_test.rs`.
//!
//! ```text
//!   ShardLog ─► queue ─► syncer (a task): written ── after the time a sync takes ─► safe ─► callbacks
//!   StateStore::write ─► a version of the rows ── flush ─► safe
//!   a power cut keeps what is safe and any prefix of the rest;  a killed process loses only rows that were not flushed
//! ```

mod checkpoint;
pub mod disk;
#[path = "../../../../src/storage/entry.rs"]
mod entry;
#[path = "../../../../src/storage/error.rs"]
mod error;
pub mod fatal;
mod log;
mod log_mark;
#[path = "../../../../src/storage/metric.rs"]
pub mod metric;
mod options;
mod rows;
mod state;
mod syncer;
pub mod work;

pub use checkpoint::{Checkpoint, Chunks, Receiver};
pub use entry::{LogEntry, LogId, Vote};
pub use error::StoreError;
pub use log::{LogStore, ShardLog};
pub use log_mark::LogMark;
pub use options::{DiskState, DiskWatch, Resources, StorageConfig};
pub use rows::Snapshot;
pub use state::{Cut, StateStore};
pub use syncer::Done;
