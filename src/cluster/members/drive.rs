//! On each shard's leader: makes the Raft group what its placement says, one step at a time, and keeps leadership where it
//! is wanted. A step that could cost the quorum waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use statemachine::op::{op, Op, SettleShard};
use tokio::time::{sleep, timeout, Instant};

use super::planner::Rows;
use crate::cluster::balance::{caught_up, Follower};
use crate::cluster::{Router, Target, SYSTEM_SHARD};
use crate::raft::{ChangeError, DiskState, Group, GroupStatus};

/// Changes wake the driver; while something is under way it looks so often.
const LOOK_BUSY: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
const TRANSFER: Duration = Duration::from_secs(2);

/// What a group is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Goal {
    voters: BTreeSet<u64>,
    /// All nodes: those without a vote have a replica to read from.
    members: BTreeSet<u64>,
    version: u64,
    settled: bool,
    preferred: Option<u64>,
    avoided: BTreeSet<u64>,
}

/// What a group is, as its leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    leader: u64,
    voters: BTreeSet<u64>,
    joint: bool,
    learners: BTreeSet<u64>,
    /// Other members that could vote at once.
    able: BTreeSet<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    AddLearner(u64),
    ChangeVoters(BTreeSet<u64>),
    RemoveLearners(BTreeSet<u64>),
    HandOver(u64),
    Settle,
    /// Nothing can be done before this.
    Wait(&'static str),
}

/// The next step, `None` when the group is as it should be.
fn next(goal: &Goal, seen: &Seen) -> Option<Step> {
    let known: BTreeSet<u64> = seen.voters.union(&seen.learners).copied().collect();
    if let Some(&node) = goal.members.difference(&known).next() {
        return Some(Step::AddLearner(node));
    }
    if seen.joint || seen.voters != goal.voters {
        return Some(change_voters(goal, seen));
    }
    let extra: BTreeSet<u64> = seen.learners.difference(&goal.members).copied().collect();
    if !extra.is_empty() {
        return Some(Step::RemoveLearners(extra));
    }
    if !goal.settled {
        return Some(Step::Settle);
    }
    lead_elsewhere(goal, seen)
}

fn change_voters(goal: &Goal, seen: &Seen) -> Step {
    let able = |node: &u64| *node == seen.leader || seen.able.contains(node);
    if !goal.voters.difference(&seen.voters).all(able) {
        return Step::Wait("a new voter has not caught up");
    }
    let up = goal.voters.iter().filter(|node| able(node)).count();
    if up * 2 <= goal.voters.len() {
        return Step::Wait("the new voters have no quorum");
    }
    let leaves = !goal.voters.contains(&seen.leader) && !seen.joint;
    let heirs = goal.voters.intersection(&seen.voters).filter(|node| seen.able.contains(node));
    match heirs.min_by_key(|node| (goal.avoided.contains(node), **node)) {
        Some(&to) if leaves => Step::HandOver(to),
        _ => Step::ChangeVoters(goal.voters.clone()),
    }
}

/// Away from a node that is drained or leaves, and to the one an operator prefers.
fn lead_elsewhere(goal: &Goal, seen: &Seen) -> Option<Step> {
    let welcome = |node: &u64| seen.voters.contains(node) && !goal.avoided.contains(node) && *node != seen.leader;
    let preferred = goal.preferred.filter(welcome);
    let anyone = || seen.able.iter().copied().find(welcome);
    let to = match preferred {
        Some(node) if seen.able.contains(&node) => Some(node),
        _ if goal.avoided.contains(&seen.leader) => anyone(),
        _ => None,
    };
    to.map(Step::HandOver)
}

/// Runs until dropped.
pub(in crate::cluster) async fn drive(router: Arc<Router>) {
    let mut changed = router.feed.cluster();
    loop {
        changed.mark_unchanged();
        let led: Vec<_> = router.groups.groups().into_iter().filter(|group| group.is_leader()).collect();
        let busy = join_all(led.into_iter().map(|group| one_step(&router, group))).await.contains(&true);
        let wait = if busy { LOOK_BUSY } else { LOOK };
        // Either way it looks again.
        let _ = timeout(wait, changed.changed()).await;
        if busy {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Whether something is under way.
async fn one_step(router: &Arc<Router>, group: Arc<Group>) -> bool {
    let local = router.local(SYSTEM_SHARD).and_then(|rows| Rows::read(&rows).ok());
    let Some(mut wanted) = local.as_ref().and_then(|rows| goal(rows, group.shard())) else { return false };
    let full = nodes_without_room(router).await;
    wanted.avoided.extend(&full);
    if next(&wanted, &see(router, &group)).is_none() {
        return false;
    }
    // Only now, because it costs a round: with all that was wished before, and as the leader.
    let deadline = Instant::now() + PATIENCE;
    let Ok(rows) = router.read(Target::System, deadline).await else { return true };
    let Some(wanted) = Rows::read(&rows).ok().as_ref().and_then(|rows| goal(rows, group.shard())) else { return true };
    let wanted = Goal { avoided: wanted.avoided.union(&full).copied().collect(), ..wanted };
    if group.read_index().await.is_err() {
        return true;
    }
    let Some(step) = next(&wanted, &see(router, &group)) else { return false };
    let result = take(router, &group, &wanted, &step).await;
    match (&step, result) {
        (Step::Wait(why), _) => tracing::debug!(shard = group.shard(), why, "a change of voters waits"),
        (_, Ok(())) => tracing::info!(shard = group.shard(), ?step, "a step of membership is done"),
        (_, Err(why)) => tracing::debug!(shard = group.shard(), ?step, why, "a step of membership is tried again"),
    }
    true
}

/// When this node's disk is full: the nodes with full disks, so that leadership goes where writes are possible.
async fn nodes_without_room(router: &Arc<Router>) -> BTreeSet<u64> {
    if router.groups.disk() == DiskState::Room {
        return BTreeSet::new();
    }
    let nodes = router.status().await.nodes;
    nodes.into_iter().filter(|node| node.disk_full).map(|node| node.node_id).collect()
}

async fn take(router: &Router, group: &Group, goal: &Goal, step: &Step) -> Result<(), String> {
    let text = |error: ChangeError| error.to_string();
    match step {
        Step::AddLearner(node) => group.add_learner(*node).await.map_err(text),
        Step::ChangeVoters(voters) => group.change_voters(voters.clone()).await.map_err(text),
        Step::RemoveLearners(nodes) => group.remove_learners(nodes.clone()).await.map_err(text),
        Step::HandOver(to) => match timeout(TRANSFER, group.transfer_leader(*to)).await {
            Ok(moved) => moved.map_err(text),
            Err(_) => Err("it took too long".into()),
        },
        Step::Settle => {
            let settle = SettleShard { shard: group.shard(), version: goal.version };
            let op = Op { kind: Some(op::Kind::SettleShard(settle)) };
            let settled = router.propose(Target::System, op, Instant::now() + PATIENCE).await;
            let committed = settled.map_err(|error| error.to_string())?;
            // So that the next look sees it.
            let applied = router.wait_applied(committed.shard, committed.index, Instant::now() + PATIENCE).await;
            applied.map_err(|error| error.to_string())
        }
        Step::Wait(_) => Ok(()),
    }
}

fn goal(rows: &Rows, shard: u32) -> Option<Goal> {
    let place = rows.placements.get(&shard)?;
    let voters: BTreeSet<u64> = place.voters.iter().copied().collect();
    Some(Goal {
        members: rows.nodes.union(&voters).copied().collect(),
        voters,
        version: place.version,
        settled: place.settled == place.version,
        preferred: (place.preferred_leader > 0).then_some(place.preferred_leader),
        avoided: rows.avoided(),
    })
}

fn see(router: &Router, group: &Group) -> Seen {
    let GroupStatus { voters, joint, learners, followers, .. } = group.status();
    let able = followers.iter().map(Follower::from).filter(caught_up).map(|follower| follower.node).collect();
    Seen { leader: router.this_node(), voters, joint, learners, able }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u64]) -> BTreeSet<u64> {
        nodes.iter().copied().collect()
    }

    fn goal_of(voters: &[u64], members: &[u64]) -> Goal {
        Goal { voters: set(voters), members: set(members), settled: true, version: 2, ..Goal::default() }
    }

    fn seen(voters: &[u64], learners: &[u64], able: &[u64]) -> Seen {
        Seen { leader: 1, voters: set(voters), learners: set(learners), able: set(able), joint: false }
    }

    #[test]
    fn a_node_joins_step_by_step_and_at_any_point_again() {
        let mut goal = goal_of(&[1, 2, 4], &[1, 2, 3, 4]);
        goal.settled = false;
        let mut now = seen(&[1, 2, 3], &[], &[2, 3]);
        assert_eq!(next(&goal, &now), Some(Step::AddLearner(4)));
        now.learners.insert(4);
        assert_eq!(next(&goal, &now), Some(Step::Wait("a new voter has not caught up")));
        now.able.insert(4);
        assert_eq!(next(&goal, &now), Some(Step::ChangeVoters(set(&[1, 2, 4]))));
        // The leader died between the two halves of the change; this one ends it.
        now = Seen { joint: true, ..seen(&[1, 2, 3, 4], &[], &[2, 3, 4]) };
        assert_eq!(next(&goal, &now), Some(Step::ChangeVoters(set(&[1, 2, 4]))));
        now = seen(&[1, 2, 4], &[3], &[2, 3, 4]);
        assert_eq!(next(&goal, &now), Some(Step::Settle));
        goal.settled = true;
        assert_eq!(next(&goal, &now), None);
        goal.members = set(&[1, 2, 4]);
        assert_eq!(next(&goal, &now), Some(Step::RemoveLearners(set(&[3]))));
    }

    #[test]
    fn a_dead_voter_can_be_replaced_but_not_the_quorum() {
        let goal = goal_of(&[1, 2, 4], &[1, 2, 3, 4]);
        assert_eq!(next(&goal, &seen(&[1, 2, 3], &[4], &[2, 4])), Some(Step::ChangeVoters(set(&[1, 2, 4]))));
        let fewer = goal_of(&[1, 2], &[1, 2, 3]);
        assert_eq!(
            next(&fewer, &seen(&[1, 2, 3], &[], &[3])),
            Some(Step::Wait("the new voters have no quorum")),
            "with 2 dead, 1 would be alone of two"
        );
    }

    #[test]
    fn a_leader_that_loses_its_place_hands_over_first() {
        let goal = goal_of(&[2, 3, 4], &[1, 2, 3, 4]);
        assert_eq!(next(&goal, &seen(&[1, 2, 3], &[4], &[3, 4])), Some(Step::HandOver(3)));
        assert_eq!(next(&goal, &seen(&[1], &[2, 3, 4], &[2, 3, 4])), Some(Step::ChangeVoters(set(&[2, 3, 4]))));
    }

    #[test]
    fn leadership_goes_away_from_a_drained_node_and_to_the_preferred_one() {
        let mut goal = goal_of(&[1, 2, 3], &[1, 2, 3]);
        let now = seen(&[1, 2, 3], &[], &[2, 3]);
        assert_eq!(next(&goal, &now), None);
        goal.preferred = Some(3);
        assert_eq!(next(&goal, &now), Some(Step::HandOver(3)));
        goal.avoided = set(&[3]);
        assert_eq!(next(&goal, &now), None);
        goal.avoided = set(&[1, 3]);
        assert_eq!(next(&goal, &now), Some(Step::HandOver(2)));
        goal.avoided = set(&[1, 2, 3]);
        assert_eq!(next(&goal, &now), None);
    }
}
