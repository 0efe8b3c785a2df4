//! What a log holds.

use bytes::Bytes;

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
