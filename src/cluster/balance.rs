//! Leaderships of data shards spread over the nodes. Each node looks at its own share only and gives away one at a
//! time, never to a replica that lags.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{interval, MissedTickBehavior};

use super::{Router, SYSTEM_SHARD};
use crate::raft::FollowerStatus;

const ROUND: Duration = Duration::from_secs(2);
const LAG_MAX: u64 = 100;
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// A voter of a shard, as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) node: u64,
    lag: u64,
    silent_millis: Option<u64>,
}

impl From<&FollowerStatus> for Follower {
    fn from(status: &FollowerStatus) -> Self {
        Self { node: status.node, lag: status.lag, silent_millis: status.silent_millis }
    }
}

/// Whether it could lead at once.
pub(super) fn caught_up(follower: &Follower) -> bool {
    let silent = follower.silent_millis.map_or(Duration::MAX, Duration::from_millis);
    follower.lag < LAG_MAX && silent < SILENCE_MAX
}

/// A data shard, seen from the node that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shard {
    shard: u32,
    term: u64,
    leader: Option<u64>,
    /// Other voters; only for shards this node leads.
    followers: Vec<Follower>,
}

/// The shard to give away and who gets it: if a voter that could take it leads at least two fewer than this node.
fn choose(this_node: u64, shards: &[Shard]) -> Option<(u32, u64)> {
    let mut led: BTreeMap<u64, usize> = BTreeMap::new();
    for shard in shards {
        *led.entry(shard.leader?).or_default() += 1;
    }
    let count = |node: u64| led.get(&node).copied().unwrap_or_default();
    let own = shards.iter().filter(|shard| shard.leader == Some(this_node));
    let moves = own.flat_map(|shard| {
        shard.followers.iter().filter(|follower| caught_up(follower)).map(|follower| (shard.shard, follower.node))
    });
    let (shard, to) = moves.min_by_key(|&(shard, to)| (count(to), shard, to))?;
    (count(this_node) >= count(to) + 2).then_some((shard, to))
}

/// Runs until dropped. A round in which anything changed since the last one decides nothing.
pub async fn balance(router: Arc<Router>) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<Vec<(u32, u64, Option<u64>)>> = None;
    loop {
        rounds.tick().await;
        if router.draining.is_set() {
            continue;
        }
        if router.rows().avoided().contains(&router.this_node()) {
            continue;
        }
        let shards = look(&router);
        let now: Vec<_> = shards.iter().map(|shard| (shard.shard, shard.term, shard.leader)).collect();
        let stable = before.as_ref() == Some(&now);
        before = Some(now);
        if !stable {
            continue;
        }
        let Some((shard, to)) = choose(router.this_node(), &shards) else { continue };
        let Some(group) = router.groups.group(shard) else { continue };
        match tokio::time::timeout(ROUND, group.transfer_leader(to)).await {
            Ok(Ok(())) => tracing::info!(shard, to, "leadership moved to balance the nodes"),
            Ok(Err(error)) => tracing::debug!(shard, to, %error, "leadership did not move"),
            Err(_) => tracing::debug!(shard, to, "leadership did not move in time"),
        }
    }
}

fn look(router: &Router) -> Vec<Shard> {
    let rows = router.rows();
    let avoided = rows.avoided();
    let data = router.groups.groups().into_iter().filter(|group| group.shard() != SYSTEM_SHARD);
    data.map(|group| {
        let status = group.status();
        let welcome = |node: u64| status.voters.contains(&node) && !avoided.contains(&node);
        let followers = status.followers.iter().filter(|follower| welcome(follower.node));
        // Where an operator wants it, it stays.
        let is_preferred =
            rows.placements.get(&status.shard).is_some_and(|place| place.preferred_leader == router.this_node());
        Shard {
            shard: status.shard,
            term: status.term,
            leader: status.leader,
            followers: followers.filter(|_| !is_preferred).map(Follower::from).collect(),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Follower = Follower { node: 0, lag: 3, silent_millis: Some(50) };

    /// Three voters in each shard; node 1 decides.
    fn shards(leaders: &[u64], follower: impl Fn(u64) -> Follower) -> Vec<Shard> {
        let shard = |(at, &leader): (usize, &u64)| Shard {
            shard: at as u32 + 1,
            term: 2,
            leader: Some(leader),
            followers: if leader == 1 { vec![follower(2), follower(3)] } else { Vec::new() },
        };
        leaders.iter().enumerate().map(shard).collect()
    }

    fn near(node: u64) -> Follower {
        Follower { node, ..NEAR }
    }

    #[test]
    fn the_node_with_two_more_gives_one_to_the_node_with_least() {
        assert_eq!(choose(1, &shards(&[1, 1, 1], near)), Some((1, 2)));
        assert_eq!(choose(1, &shards(&[2, 1, 1], near)), Some((2, 3)));
        assert_eq!(choose(1, &shards(&[2, 1, 3], near)), None);
        assert_eq!(choose(1, &shards(&[2, 2, 3], near)), None);
        assert_eq!(choose(1, &shards(&[1, 1, 2, 3], near)), None);
    }

    #[test]
    fn a_replica_that_lags_or_is_silent_gets_nothing() {
        let three_lags = |node| Follower { node, lag: if node == 3 { LAG_MAX } else { 0 }, ..NEAR };
        assert_eq!(choose(1, &shards(&[1, 1, 2], three_lags)), None);
        assert_eq!(choose(1, &shards(&[1, 1, 1], three_lags)), Some((1, 2)));
        let silent = |node| Follower { node, silent_millis: None, ..NEAR };
        assert_eq!(choose(1, &shards(&[1, 1, 1], silent)), None);
    }

    #[test]
    fn nothing_moves_while_a_shard_has_no_leader() {
        let mut unled = shards(&[1, 1, 1], near);
        unled[2].leader = None;
        assert_eq!(choose(1, &unled), None);
    }
}
