//! What one group looks like from this node.

use std::collections::BTreeSet;

#[derive(Debug, Clone, Default)]
pub struct GroupStatus {
    pub shard: u32,
    pub term: u64,
    pub leader: Option<u64>,
    pub is_leader: bool,
    pub last_log: Option<u64>,
    pub committed: Option<u64>,
    pub applied: Option<u64>,
    /// Applied and safe against a crash without replaying the log.
    pub flushed: Option<u64>,
    pub snapshot: Option<u64>,
    pub purged: Option<u64>,
    pub voters: BTreeSet<u64>,
    pub learners: BTreeSet<u64>,
    /// Only on the leader: the other members.
    pub followers: Vec<FollowerStatus>,
    /// Why the group stopped on this node, if it did.
    pub stopped: Option<String>,
}

#[derive(Debug, Clone)]
pub struct FollowerStatus {
    pub node: u64,
    pub matching: Option<u64>,
    /// Entries it is behind the leader's log.
    pub lag: u64,
    /// Since it last answered; `None`: not in this term.
    pub silent_millis: Option<u64>,
}
