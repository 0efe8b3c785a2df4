//! What one group looks like from this node.

use std::collections::BTreeSet;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::Instant;

use super::Group;

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
    /// A change of voters is under way: `voters` are the old and the new ones.
    pub joint: bool,
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

pub(super) fn of(group: &Group) -> GroupStatus {
    let progress = group.store.progress();
    let receiver = group.raft.metrics();
    let metrics = receiver.borrow_watched();
    let membership = metrics.membership_config.membership();
    let followers = metrics.replication.iter().flatten().filter(|(node, _)| **node != group.node);
    let last_log = metrics.last_log_index;
    let heartbeats = metrics.heartbeat.as_ref();
    let silent = |node: &u64| {
        let answered = heartbeats.and_then(|heartbeats| heartbeats.get(node)).and_then(|answered| answered.as_ref());
        answered.map(|answered| u64::try_from(answered.elapsed().as_millis()).unwrap_or(u64::MAX))
    };
    let follower = |(node, matching): (&u64, &Option<super::types::RaftLogId>)| FollowerStatus {
        node: *node,
        matching: matching.as_ref().map(|id| id.index),
        lag: last_log.map_or(0, |last| last + 1).saturating_sub(matching.as_ref().map_or(0, |id| id.index + 1)),
        silent_millis: silent(node),
    };
    GroupStatus {
        shard: group.shard,
        term: metrics.current_term,
        leader: metrics.current_leader,
        is_leader: group.is_leader(),
        last_log,
        committed: metrics.local_committed.as_ref().map(|id| id.index),
        applied: progress.applied.map(|id| id.index),
        flushed: progress.durable.map(|id| id.index),
        snapshot: metrics.snapshot.as_ref().map(|id| id.index),
        purged: metrics.purged.as_ref().map(|id| id.index),
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        joint: membership.get_joint_config().len() > 1,
        followers: followers.map(follower).collect(),
        stopped: metrics.running_state.as_ref().err().map(ToString::to_string),
    }
}
