//! Answers read from the tables: history, describe, lists and counts, namespaces. Nothing here writes, waits or talks
//! to the network: every function takes one or more consistent snapshots (`&dyn Kv`, taken by the caller after a read
//! barrier) and gives a response or a refusal.
//!
//! ```text
//!   api ─► router.read(shard) ─► snapshot ─┬─► describe      one run's state
//!                                          ├─► history       pages of events, what to wait for at the end
//!                                          ├─► visibility ◄── query (text → tree → checked filter → evaluator)
//!                                          └─► namespaces    rows of the system shard
//! ```
//!
//! Scans touch the disk: callers on an async runtime run `visibility` on a blocking thread.

pub mod describe;
pub mod history;
pub mod namespaces;
pub mod query;
pub mod search_attributes;
pub mod visibility;

pub use statemachine::reject::{Decided, Stop};
