//! What an operator must not do, and why, in one line. The drivers would only wait; a refusal says so beforehand.

use std::collections::{BTreeMap, BTreeSet};

use proto::everstep::admin::v1::ClusterStatusResponse;
use statemachine::state::MemberState;

use super::plan::plan;
use super::planner::Rows;

/// Why a wish is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) enum Refusal {
    /// Whichever nodes are up.
    Always(String),
    /// Because of nodes that seem to be down. One of them may only have been slow to answer, or be about to start.
    WhileDown(String),
}

impl Refusal {
    pub(in crate::cluster) fn why(self) -> String {
        match self {
            Self::Always(why) | Self::WhileDown(why) => why,
        }
    }
}

/// Refuses what would leave a shard without a quorum; otherwise what the operator should know, perhaps nothing.
pub(in crate::cluster) fn removal(
    rows: &Rows,
    status: &ClusterStatusResponse,
    node: u64,
    replaced_by: Option<u64>,
) -> Result<String, Refusal> {
    check_known(rows, node)?;
    let up = up(status);
    if let Some(new) = replaced_by {
        if !rows.nodes.contains(&new) {
            return Err(Refusal::Always(format!(
                "node {new} has not joined: start it with `join` in its configuration, then replace node {node}"
            )));
        }
        if !up.contains(&new) {
            return Err(Refusal::WhileDown(format!("node {new} is down: it cannot take the place of node {node}")));
        }
    }
    let mut picture = rows.picture(BTreeMap::new(), up.clone());
    picture.staying.remove(&node);
    picture.replaced_by.extend(replaced_by.map(|new| (node, new)));
    if picture.staying.is_empty() {
        return Err(Refusal::Always(format!("node {node} is the only one")));
    }
    for (shard, after) in plan(&picture) {
        let before = &picture.placed[&shard];
        if !has_quorum(before, &up) {
            let voters = tell(before, &up);
            return Err(Refusal::WhileDown(format!("{} has no quorum now: of its voters {voters}", name(shard))));
        }
        if !has_quorum(&after, &up) {
            return Err(Refusal::WhileDown(format!(
                "without node {node} {} would have the voters {}: no quorum; bring a node back or replace one first",
                name(shard),
                tell(&after, &up)
            )));
        }
    }
    let left = picture.staying.len();
    Ok(match left {
        1 => "one node is left: the cluster does not survive its loss".into(),
        2 => "two nodes are left: the cluster does not survive the loss of one".into(),
        _ => String::new(),
    })
}

/// Refuses to drain a node when nobody else could lead one of its shards.
pub(in crate::cluster) fn draining(rows: &Rows, status: &ClusterStatusResponse, node: u64) -> Result<(), Refusal> {
    check_known(rows, node)?;
    let up = up(status);
    let avoided = rows.avoided();
    for place in rows.placements.values().filter(|place| place.voters.contains(&node)) {
        let mut others = place.voters.iter().filter(|voter| **voter != node && !avoided.contains(voter)).peekable();
        let why = || format!("no other node could lead {}", name(place.shard));
        if others.peek().is_none() {
            return Err(Refusal::Always(why()));
        }
        if !others.any(|voter| up.contains(voter)) {
            return Err(Refusal::WhileDown(why()));
        }
    }
    Ok(())
}

pub(in crate::cluster) fn transfer(
    rows: &Rows,
    status: &ClusterStatusResponse,
    shard: u32,
    node: u64,
) -> Result<(), Refusal> {
    check_known(rows, node)?;
    let always = |why: String| Err(Refusal::Always(why));
    let Some(place) = rows.placements.get(&shard) else { return always(format!("there is no shard {shard}")) };
    if !place.voters.contains(&node) {
        return always(format!("node {node} is no voter of {}: those are {}", name(shard), list(&place.voters)));
    }
    if rows.avoided().contains(&node) {
        return always(format!("node {node} is drained or leaves: leaderships are kept away from it"));
    }
    if !up(status).contains(&node) {
        return Err(Refusal::WhileDown(format!("node {node} is down")));
    }
    Ok(())
}

fn check_known(rows: &Rows, node: u64) -> Result<(), Refusal> {
    match rows.state(node) {
        MemberState::Removed => Err(Refusal::Always(format!("node {node} was removed"))),
        _ if rows.nodes.contains(&node) => Ok(()),
        _ => Err(Refusal::Always(format!("node {node} is not a member"))),
    }
}

fn up(status: &ClusterStatusResponse) -> BTreeSet<u64> {
    status.nodes.iter().filter(|node| node.up).map(|node| node.node_id).collect()
}

fn has_quorum(voters: &BTreeSet<u64>, up: &BTreeSet<u64>) -> bool {
    voters.intersection(up).count() * 2 > voters.len()
}

fn name(shard: u32) -> String {
    match shard {
        0 => "the system shard".into(),
        _ => format!("shard {shard}"),
    }
}

fn tell(voters: &BTreeSet<u64>, up: &BTreeSet<u64>) -> String {
    let one = |voter: &u64| if up.contains(voter) { voter.to_string() } else { format!("{voter} (down)") };
    voters.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn list(nodes: &[u64]) -> String {
    nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::everstep::admin::v1::NodeStatus;
    use statemachine::state::{Member, Placement};

    fn rows(nodes: u64) -> Rows {
        let nodes: BTreeSet<u64> = (1..=nodes).collect();
        let voters: Vec<u64> = nodes.iter().copied().take(3).collect();
        let place =
            |shard| (shard, Placement { shard, voters: voters.clone(), version: 1, settled: 1, ..Default::default() });
        Rows { nodes, data_shards: 1, placements: (0..2).map(place).collect(), ..Rows::default() }
    }

    fn status(up: &[u64]) -> ClusterStatusResponse {
        let node = |&node_id| NodeStatus { node_id, up: true, ..Default::default() };
        ClusterStatusResponse { nodes: up.iter().map(node).collect(), ..Default::default() }
    }

    fn always(why: &str) -> Refusal {
        Refusal::Always(why.into())
    }

    fn while_down(why: &str) -> Refusal {
        Refusal::WhileDown(why.into())
    }

    #[test]
    fn a_removal_that_costs_the_quorum_is_refused() {
        assert_eq!(removal(&rows(4), &status(&[1, 2, 3, 4]), 3, None), Ok(String::new()));
        assert_eq!(removal(&rows(4), &status(&[1, 2, 4]), 3, Some(4)), Ok(String::new()));
        let two_left = removal(&rows(3), &status(&[1, 2]), 3, None).expect("the dead one may go");
        assert!(two_left.starts_with("two nodes are left"), "{two_left}");
        let refused = |nodes, up: &[u64], node, by| removal(&rows(nodes), &status(up), node, by).expect_err("refused");
        assert_eq!(
            refused(3, &[1, 2], 2, None),
            while_down(
                "without node 2 the system shard would have the voters 1, 3 (down): no quorum; bring a node back or \
                 replace one first"
            )
        );
        assert_eq!(
            refused(4, &[1, 4], 2, None),
            while_down("the system shard has no quorum now: of its voters 1, 2 (down), 3 (down)")
        );
        assert_eq!(refused(3, &[1, 2, 3], 9, None), always("node 9 is not a member"));
        assert!(
            matches!(refused(3, &[1, 2], 3, Some(4)), Refusal::Always(why) if why.starts_with("node 4 has not joined"))
        );
        assert_eq!(refused(4, &[1, 2], 3, Some(4)), while_down("node 4 is down: it cannot take the place of node 3"));
        assert_eq!(refused(1, &[1], 1, None), always("node 1 is the only one"));
    }

    #[test]
    fn leadership_needs_somebody_to_take_it() {
        let all = status(&[1, 2, 3, 4]);
        assert_eq!(draining(&rows(3), &all, 1), Ok(()));
        let nobody = "no other node could lead the system shard";
        assert_eq!(draining(&rows(3), &status(&[1]), 1), Err(while_down(nobody)));
        let mut others_drained = rows(3);
        let drained = |node_id| (node_id, Member { node_id, draining: true, ..Default::default() });
        others_drained.members.extend([drained(2), drained(3)]);
        assert_eq!(draining(&others_drained, &all, 1), Err(always(nobody)));
        assert_eq!(transfer(&rows(4), &all, 1, 2), Ok(()));
        let refused =
            |rows: &Rows, up: &[u64], shard, node| transfer(rows, &status(up), shard, node).expect_err("refused");
        assert_eq!(refused(&rows(4), &[1, 4], 1, 4), always("node 4 is no voter of shard 1: those are 1, 2, 3"));
        assert_eq!(refused(&rows(3), &[1], 7, 1), always("there is no shard 7"));
        assert_eq!(refused(&rows(3), &[1], 1, 2), while_down("node 2 is down"));
        assert!(refused(&others_drained, &[1, 2, 3], 1, 2).why().starts_with("node 2 is drained"));
    }
}
