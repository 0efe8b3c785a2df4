//! Leaving without a gap: leaderships are handed over before the node stops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{timeout, Instant};

use super::balance::{caught_up, Follower};
use super::Router;
use crate::raft::{Group, GroupStatus};

/// Whether this node is about to leave.
#[derive(Clone)]
pub struct Draining(Arc<watch::Sender<bool>>);

impl Default for Draining {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Draining {
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the node drains.
    pub async fn wait(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|draining| *draining).await;
    }
}

impl Router {
    pub fn draining(&self) -> Draining {
        self.draining.clone()
    }
}

/// Hands every leadership of this node to a voter that has caught up, all at once, and returns when that is done, when
/// nobody can take them or when `patience` is over.
pub async fn drain(router: &Arc<Router>, patience: Duration) {
    router.draining.0.send_replace(true);
    let deadline = Instant::now() + patience;
    let led = || router.groups.groups().into_iter().filter(|group| group.is_leader()).collect::<Vec<_>>();
    if led().iter().all(|group| group.status().voters.len() < 2) {
        return;
    }
    let staying = staying(router).await;
    let mut refused: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    while Instant::now() < deadline {
        let plan = plan(&led(), &staying, &refused);
        if plan.is_empty() {
            return;
        }
        let transfers = plan.into_iter().map(|(group, to)| async move {
            let moved = timeout(Duration::from_millis(500), group.transfer_leader(to)).await;
            (group.shard(), to, matches!(moved, Ok(Ok(()))))
        });
        let remaining = deadline.saturating_duration_since(Instant::now());
        let Ok(outcomes) = timeout(remaining, join_all(transfers)).await else { break };
        for (shard, to, moved) in outcomes {
            tracing::info!(shard, to, moved, "leadership handed over");
            if !moved {
                refused.entry(shard).or_default().insert(to);
            }
        }
    }
}

/// Nodes that are up and do not leave as well.
async fn staying(router: &Arc<Router>) -> BTreeSet<u64> {
    let nodes = router.status().await.nodes;
    let avoided = router.rows().avoided();
    let others = nodes.iter().filter(|node| node.up && !node.draining && node.node_id != router.this_node());
    let others = others.filter(|node| !avoided.contains(&node.node_id));
    others.map(|node| node.node_id).collect()
}

/// For each group a voter to take it, spread evenly. Groups that nobody can take are left out.
fn plan(led: &[Arc<Group>], staying: &BTreeSet<u64>, refused: &BTreeMap<u32, BTreeSet<u64>>) -> Vec<(Arc<Group>, u64)> {
    let mut given: BTreeMap<u64, usize> = BTreeMap::new();
    let mut plan = Vec::new();
    for group in led {
        let status = group.status();
        let not = refused.get(&status.shard);
        let open = takers(&status).into_iter().filter(|node| staying.contains(node));
        let open = open.filter(|node| !not.is_some_and(|not| not.contains(node)));
        if let Some(to) = open.min_by_key(|node| given.get(node).copied().unwrap_or_default()) {
            *given.entry(to).or_default() += 1;
            plan.push((group.clone(), to));
        }
    }
    plan
}

fn takers(status: &GroupStatus) -> Vec<u64> {
    let followers = status.followers.iter().filter(|follower| status.voters.contains(&follower.node));
    followers.map(Follower::from).filter(caught_up).map(|follower| follower.node).collect()
}
