//! Replaces a leader whose connection broke as soon as its lease ends.
//!
//! A follower that hears nothing waits for the lease and then for an election timeout on top, because silence may be a
//! slow network. A connection that the other side's kernel closed says more: the process is most likely gone. So its
//! followers ask for votes the moment the lease is over, one after the other so that they do not split them. If the
//! leader lives after all, nothing happens: it is heard again, or the pre-vote fails at the voters that hear it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Group, Groups};

/// Between the turns of two followers: several round trips and syncs of a vote.
const TURN: Duration = Duration::from_millis(60);
/// Voters hear a leader at slightly different times, so the first try may come too early for one of them.
const RETRY: Duration = Duration::from_millis(40);
const TRIES: u32 = 5;

/// Called when a node's connection for heartbeats ends.
pub(super) fn connection_lost(groups: &Groups, node: u64) {
    for group in groups.groups() {
        // A member without a vote has none to ask for.
        if group.leader() == Some(node) && group.status().voters.contains(&group.node) {
            tokio::spawn(succeed(Arc::downgrade(&group), node));
        }
    }
}

async fn succeed(group: Weak<Group>, lost: u64) {
    let Some((heard, term, wait)) = group.upgrade().map(|group| {
        let wait = (group.config.election_max + TURN * turn(&group, lost)).saturating_sub(group.silence());
        (group.heard(), group.leadership.borrow().term, wait)
    }) else {
        return;
    };
    tokio::time::sleep(wait).await;
    for _ in 0..TRIES {
        let Some(group) = group.upgrade() else { return };
        if group.heard() != heard || group.leadership.borrow().term != term {
            return;
        }
        tracing::debug!(shard = group.shard, lost, "asks for votes: the leader's connection broke");
        if group.raft.trigger().elect(true).await.is_err() {
            return;
        }
        drop(group);
        tokio::time::sleep(RETRY).await;
    }
}

/// Which of the remaining voters this node is, counted from a place that differs by shard, so that the shards of a lost
/// node spread over the others.
fn turn(group: &Group, lost: u64) -> u32 {
    let voters = group.status().voters;
    let remaining: Vec<u64> = voters.into_iter().filter(|voter| *voter != lost).collect();
    let count = u32::try_from(remaining.len()).unwrap_or(u32::MAX).max(1);
    let place = remaining.iter().position(|voter| *voter == group.node).unwrap_or(0);
    (u32::try_from(place).unwrap_or(0) + group.shard % count) % count
}
