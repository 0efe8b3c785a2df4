//! On the leader of the system shard: turns wishes into places, one op at a time, and ends what has come about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use statemachine::op::op::Kind;
use statemachine::op::{answer, FinishNode, Op, PlaceShard};
use statemachine::state::{Member, MemberState, Placement};
use statemachine::{tables, Fault, Kv};
use tokio::time::{sleep, timeout, Instant};

use super::plan::{plan, Picture};
use crate::cluster::{Router, Target, SYSTEM_SHARD};

/// Changes wake the planner; now and then it looks anyway, because a leader may be new.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// A node that was heard of so long ago is up.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// What the system shard says about members and places.
#[derive(Debug, Clone, Default)]
pub(in crate::cluster) struct Rows {
    pub(in crate::cluster) nodes: BTreeSet<u64>,
    pub(in crate::cluster) members: BTreeMap<u64, Member>,
    pub(in crate::cluster) placements: BTreeMap<u32, Placement>,
    pub(in crate::cluster) data_shards: u32,
}

impl Rows {
    pub(in crate::cluster) fn read(rows: &dyn Kv) -> Result<Self, Fault> {
        Ok(Self {
            nodes: tables::nodes(rows)?.into_iter().map(|node| node.node_id).collect(),
            members: tables::members(rows)?.into_iter().map(|member| (member.node_id, member)).collect(),
            placements: tables::placements(rows)?.into_iter().map(|place| (place.shard, place)).collect(),
            data_shards: tables::cluster(rows)?.map_or(0, |cluster| cluster.data_shards),
        })
    }

    pub(in crate::cluster) fn state(&self, node: u64) -> MemberState {
        self.members.get(&node).map_or(MemberState::Active, Member::state)
    }

    /// Nodes that no leadership is to go to.
    pub(in crate::cluster) fn avoided(&self) -> BTreeSet<u64> {
        let avoided = |member: &&Member| member.draining || member.state() == MemberState::Leaving;
        self.members.values().filter(avoided).map(|member| member.node_id).collect()
    }

    fn is_settled(&self, shard: u32) -> bool {
        self.placements.get(&shard).is_some_and(|place| place.settled == place.version)
    }

    pub(super) fn picture(&self, leaders: BTreeMap<u32, u64>, able: BTreeSet<u64>) -> Picture {
        let leaving = self.members.values().filter(|member| member.state() == MemberState::Leaving);
        Picture {
            staying: self.nodes.iter().copied().filter(|&node| self.state(node) != MemberState::Leaving).collect(),
            placed: self.placements.iter().map(|(&shard, place)| (shard, reachable(place, &able))).collect(),
            able,
            replaced_by: leaving.map(|member| (member.node_id, member.replaced_by)).collect(),
            leaders,
        }
    }
}

fn of(place: &Placement) -> BTreeSet<u64> {
    place.voters.iter().copied().collect()
}

/// Its voters, without those that were to become some and are down: the shard would wait for them.
fn reachable(place: &Placement, able: &BTreeSet<u64>) -> BTreeSet<u64> {
    let settled = place.settled == place.version;
    let stays = |node: &u64| settled || place.previous.contains(node) || able.contains(node);
    place.voters.iter().copied().filter(stays).collect()
}

/// Runs until dropped.
pub(in crate::cluster) async fn plan_members(router: Arc<Router>) {
    let mut changed = router.feed.cluster();
    loop {
        changed.mark_unchanged();
        match step(&router).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(why) => {
                tracing::debug!(why, "a step of the members' planner is tried again");
                sleep(AFTER_FAILURE).await;
            }
        }
        // Either way it looks again.
        let _ = timeout(LOOK, changed.changed()).await;
    }
}

/// One op, if there is something to do; `true` if there may be more.
async fn step(router: &Arc<Router>) -> Result<bool, String> {
    if !router.leads(SYSTEM_SHARD) || next(router, &look(router)?).is_none() {
        return Ok(false);
    }
    // Only now, because it costs a round: with everything that was committed before.
    let deadline = Instant::now() + PATIENCE;
    let rows = router.read(Target::System, deadline).await.map_err(|error| error.to_string())?;
    let rows = Rows::read(&rows).map_err(|fault| fault.to_string())?;
    let Some(kind) = next(router, &rows) else { return Ok(false) };
    let op = Op { kind: Some(kind.clone()) };
    let committed = router.propose_locally(SYSTEM_SHARD, op).await.map_err(|error| error.to_string())?;
    match committed.answer.kind {
        Some(answer::Kind::Reject(reject)) => Err(reject.message),
        _ => {
            tell(&kind);
            Ok(true)
        }
    }
}

fn look(router: &Router) -> Result<Rows, String> {
    let rows = router.local(SYSTEM_SHARD).ok_or("the system shard is not here")?;
    Rows::read(&rows).map_err(|fault| fault.to_string())
}

fn tell(kind: &Kind) {
    match kind {
        Kind::PlaceShard(place) => tracing::info!(shard = place.shard, voters = ?place.voters, "a shard is placed"),
        Kind::FinishNode(finish) => tracing::info!(node = finish.node_id, "a node has joined or left"),
        _ => {}
    }
}

fn next(router: &Router, rows: &Rows) -> Option<Kind> {
    let voters = |shard: u32| router.groups.group(shard).map(|group| group.status().voters);
    let leaders = (0..=rows.data_shards).filter_map(|shard| Some((shard, router.leader_of(shard)?)));
    next_op(rows, leaders.collect(), up(router), &voters)
}

/// Every node has a replica of the system shard, so its leader hears of all that are up.
fn up(router: &Router) -> BTreeSet<u64> {
    let Some(group) = router.groups.group(SYSTEM_SHARD) else { return BTreeSet::new() };
    let heard = |millis: u64| u128::from(millis) < SILENCE_MAX.as_millis();
    let followers = group.status().followers;
    let followers = followers.iter().filter(|follower| follower.silent_millis.is_some_and(heard));
    followers.map(|follower| follower.node).chain([router.this_node()]).collect()
}

/// The next op on the way from what is to what is wished.
fn next_op(
    rows: &Rows,
    leaders: BTreeMap<u32, u64>,
    up: BTreeSet<u64>,
    voters: &dyn Fn(u32) -> Option<BTreeSet<u64>>,
) -> Option<Kind> {
    if rows.data_shards == 0 {
        return None;
    }
    for shard in 0..=rows.data_shards {
        if !rows.placements.contains_key(&shard) {
            // A cluster from before places were written down: every node has every shard.
            let voters = voters(shard).filter(|voters| !voters.is_empty())?;
            return Some(place(shard, &voters, 0));
        }
    }
    let picture = rows.picture(leaders, up);
    let planned = plan(&picture);
    for (&shard, voters) in &planned {
        let placement = &rows.placements[&shard];
        let before = of(placement);
        // Balance waits for what is under way; not so a node that leaves, or what would wait for one that is down.
        let possible = before.is_subset(&picture.staying) && picture.placed[&shard] == before;
        let under_way = !rows.is_settled(shard) && possible;
        if *voters != before && !under_way {
            return Some(place(shard, voters, placement.version));
        }
    }
    if !(0..=rows.data_shards).all(|shard| rows.is_settled(shard)) {
        return None;
    }
    let done = |member: &&Member| match member.state() {
        MemberState::Joining => picture.able.contains(&member.node_id),
        MemberState::Leaving => true,
        MemberState::Unspecified | MemberState::Active | MemberState::Removed => false,
    };
    let node_id = rows.members.values().find(done)?.node_id;
    Some(Kind::FinishNode(FinishNode { node_id }))
}

fn place(shard: u32, voters: &BTreeSet<u64>, version: u64) -> Kind {
    Kind::PlaceShard(PlaceShard { shard, voters: voters.iter().copied().collect(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies ops as the core does, with Raft groups that follow at once.
    fn settle(rows: &mut Rows) -> Vec<String> {
        let mut story = Vec::new();
        while let Some(kind) = next_op(rows, BTreeMap::new(), rows.nodes.clone(), &|_| Some(BTreeSet::from([1, 2, 3])))
        {
            assert!(story.len() < 50, "{story:?}");
            match kind {
                Kind::PlaceShard(op) => {
                    story.push(format!("{} {:?}", op.shard, op.voters));
                    let version = op.version + 1;
                    let place = Placement {
                        shard: op.shard,
                        voters: op.voters,
                        version,
                        settled: version,
                        ..Default::default()
                    };
                    rows.placements.insert(op.shard, place);
                }
                Kind::FinishNode(op) => {
                    let member = rows.members.get_mut(&op.node_id).expect("it is there");
                    let leaves = member.state() == MemberState::Leaving;
                    story.push(format!("{} {}", op.node_id, if leaves { "left" } else { "joined" }));
                    member.set_state(if leaves { MemberState::Removed } else { MemberState::Active });
                    if leaves {
                        rows.nodes.remove(&op.node_id);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        story
    }

    fn member(node_id: u64, state: MemberState, replaced_by: u64) -> (u64, Member) {
        (node_id, Member { node_id, state: state as i32, replaced_by, ..Default::default() })
    }

    #[test]
    fn an_old_cluster_is_written_down_and_a_node_joins_and_replaces() {
        let mut rows = Rows { nodes: BTreeSet::from([1, 2, 3]), data_shards: 2, ..Rows::default() };
        assert_eq!(settle(&mut rows), ["0 [1, 2, 3]", "1 [1, 2, 3]", "2 [1, 2, 3]"]);
        rows.nodes.insert(4);
        rows.members.extend([member(4, MemberState::Joining, 0)]);
        assert_eq!(settle(&mut rows), ["1 [2, 3, 4]", "4 joined"]);
        rows.members.extend([member(2, MemberState::Leaving, 4)]);
        assert_eq!(settle(&mut rows), ["0 [1, 3, 4]", "1 [1, 3, 4]", "2 [1, 3, 4]", "2 left"]);
    }

    #[test]
    fn a_node_that_never_came_up_does_not_hold_up_another() {
        let mut rows = Rows { nodes: BTreeSet::from([1, 2, 3]), data_shards: 2, ..Rows::default() };
        settle(&mut rows);
        rows.nodes.extend([4, 5]);
        rows.members.extend([member(4, MemberState::Joining, 0), member(5, MemberState::Joining, 0)]);
        let up = BTreeSet::from([1, 2, 3, 5]);
        while let Some(kind) = next_op(&rows, BTreeMap::new(), up.clone(), &|_| None) {
            match kind {
                Kind::PlaceShard(op) => {
                    assert!(!op.voters.contains(&4), "{op:?}");
                    let version = op.version + 1;
                    let place = Placement { voters: op.voters, version, settled: version, ..Default::default() };
                    rows.placements.insert(op.shard, place);
                }
                Kind::FinishNode(op) => {
                    assert_eq!(op.node_id, 5);
                    rows.members.extend([member(5, MemberState::Active, 0)]);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((rows.state(4), rows.state(5)), (MemberState::Joining, MemberState::Active));
    }

    #[test]
    fn a_shard_under_way_is_placed_anew_only_for_a_node_that_leaves() {
        let mut rows = Rows { nodes: BTreeSet::from([1, 2, 3]), data_shards: 2, ..Rows::default() };
        settle(&mut rows);
        for place in rows.placements.values_mut() {
            place.settled = 0;
        }
        assert!(rows.placements.values().all(|place| reachable(place, &BTreeSet::from([1])).len() == 1));
        rows.nodes.insert(4);
        rows.members.extend([member(4, MemberState::Joining, 0)]);
        let next = |rows: &Rows| next_op(rows, BTreeMap::new(), rows.nodes.clone(), &|_| None);
        assert_eq!(next(&rows), None);
        rows.members.extend([member(3, MemberState::Leaving, 0)]);
        assert!(matches!(next(&rows), Some(Kind::PlaceShard(PlaceShard { shard: 0, .. }))));
    }
}
