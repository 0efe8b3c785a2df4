//! What the cluster looks like: this node's own view, and all nodes' put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use proto::everstep::admin::v1 as admin;
use proto::everstep::peer::v1::NodeStatusRequest;
use statemachine::state;

use super::members::{self, Rows};
use super::Router;
use crate::raft::GroupStatus;
use crate::storage::DiskState;

/// A node that does not answer within this counts as down.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// Of its data directory; tells a node that lost it from the one it was.
    pub incarnation: Bytes,
    /// It honours faults that tests ask for.
    pub chaos: bool,
    pub version: String,
    /// Nanoseconds since the epoch.
    pub started: i64,
    pub node: state::Node,
}

impl Router {
    /// This node and its replicas.
    pub fn node_status(&self) -> admin::NodeStatus {
        let facts = &self.facts;
        admin::NodeStatus {
            node_id: facts.node.node_id,
            peer_address: facts.node.peer_address.clone(),
            api_address: facts.node.api_address.clone(),
            web_address: facts.node.web_address.clone(),
            up: true,
            version: facts.version.clone(),
            started: facts.started,
            replicas: self.groups.groups().iter().map(|group| replica(group.status())).collect(),
            draining: self.draining.is_set(),
            disk_full: self.groups.disk() == DiskState::Full,
            member: String::new(),
            kept_drained: false,
            pid: std::process::id(),
            chaos: facts.chaos,
        }
    }

    /// The whole cluster, asked of every node at once.
    pub async fn status(self: &Arc<Self>) -> admin::ClusterStatusResponse {
        let rows = self.rows();
        let mut nodes = join_all(self.peers.nodes().into_iter().map(|node| self.ask(node))).await;
        for node in &mut nodes {
            let member = rows.members.get(&node.node_id);
            node.member = members::name(member).into();
            node.kept_drained = member.is_some_and(|member| member.draining);
        }
        let mut slots: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        for range in self.slot_ranges() {
            let entry = slots.entry(range.shard).or_insert((range.first_slot, 0));
            entry.1 += range.last_slot - range.first_slot + 1;
        }
        admin::ClusterStatusResponse {
            cluster_id: self.cluster().map(|cluster| cluster.cluster_id.clone()).unwrap_or_default(),
            shards: shards(&nodes, &slots, &rows),
            nodes,
            answered_by: self.this_node(),
        }
    }

    async fn ask(&self, node: state::Node) -> admin::NodeStatus {
        if node.node_id == self.this_node() {
            return self.node_status();
        }
        let answer = async {
            let response = self.peers.client(node.node_id)?.node_status(NodeStatusRequest {}).await?;
            Ok::<_, tonic::Status>(response.into_inner())
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) | Err(_) => admin::NodeStatus {
                node_id: node.node_id,
                peer_address: node.peer_address,
                api_address: node.api_address,
                web_address: node.web_address,
                ..Default::default()
            },
        }
    }
}

fn replica(status: GroupStatus) -> admin::ReplicaStatus {
    admin::ReplicaStatus {
        shard: status.shard,
        term: status.term,
        leader: status.leader.unwrap_or_default(),
        last_log: status.last_log.unwrap_or_default(),
        committed: status.committed.unwrap_or_default(),
        applied: status.applied.unwrap_or_default(),
        flushed: status.flushed.unwrap_or_default(),
        snapshot: status.snapshot.unwrap_or_default(),
        purged: status.purged.unwrap_or_default(),
        voters: status.voters.into_iter().collect(),
        learners: status.learners.into_iter().collect(),
        followers: status.followers.into_iter().map(follower).collect(),
        stopped: status.stopped.unwrap_or_default(),
    }
}

fn follower(status: crate::raft::FollowerStatus) -> admin::FollowerStatus {
    admin::FollowerStatus {
        node_id: status.node,
        matching: status.matching.unwrap_or_default(),
        lag: status.lag,
        silent_millis: status.silent_millis.and_then(|millis| i64::try_from(millis).ok()).unwrap_or(-1),
    }
}

/// One line a shard, from the view of its leader, or of the replica in the highest term without one.
fn shards(nodes: &[admin::NodeStatus], slots: &BTreeMap<u32, (u32, u32)>, rows: &Rows) -> Vec<admin::ShardStatus> {
    let mut views: BTreeMap<u32, Vec<(u64, &admin::ReplicaStatus)>> = BTreeMap::new();
    for node in nodes {
        for replica in &node.replicas {
            views.entry(replica.shard).or_default().push((node.node_id, replica));
        }
    }
    let told = views.into_iter().map(|(shard, replicas)| shard_status(shard, &replicas, nodes, slots));
    told.map(|shard| with_place(shard, rows)).collect()
}

fn with_place(mut shard: admin::ShardStatus, rows: &Rows) -> admin::ShardStatus {
    match rows.placements.get(&shard.shard) {
        Some(place) => {
            shard.settled = place.settled == place.version;
            shard.target.clone_from(&place.voters);
            shard.preferred_leader = place.preferred_leader;
        }
        None => shard.settled = true,
    }
    shard
}

fn shard_status(
    shard: u32,
    replicas: &[(u64, &admin::ReplicaStatus)],
    nodes: &[admin::NodeStatus],
    slots: &BTreeMap<u32, (u32, u32)>,
) -> admin::ShardStatus {
    let committed = replicas.iter().map(|(_, replica)| replica.committed).max().unwrap_or_default();
    let best = replicas.iter().max_by_key(|(node, replica)| (replica.term, replica.leader == *node));
    let (_, best) = best.copied().unzip();
    let best = best.cloned().unwrap_or_default();
    let (first_slot, slot_count) = slots.get(&shard).copied().unwrap_or_default();
    let up = |node: u64| nodes.iter().any(|status| status.node_id == node && status.up);
    let members = best.voters.iter().chain(&best.learners).map(|&node| {
        let applied = replicas.iter().find(|(other, _)| *other == node).map(|(_, replica)| replica.applied);
        let applied = applied.unwrap_or_default();
        let learner = !best.voters.contains(&node);
        admin::ShardReplica { node_id: node, applied, lag: committed.saturating_sub(applied), up: up(node), learner }
    });
    admin::ShardStatus {
        shard,
        leader: if up(best.leader) { best.leader } else { 0 },
        term: best.term,
        committed,
        replicas: members.collect(),
        voters: best.voters.clone(),
        first_slot,
        slots: slot_count,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(node_id: u64, term: u64, leader: u64, applied: u64) -> admin::NodeStatus {
        let replica = admin::ReplicaStatus {
            shard: 1,
            term,
            leader,
            committed: applied,
            applied,
            voters: vec![1, 2, 3],
            ..Default::default()
        };
        admin::NodeStatus { node_id, up: true, replicas: vec![replica], ..Default::default() }
    }

    #[test]
    fn a_shard_is_told_by_the_highest_term_and_lag_against_the_highest_commit() {
        let down = admin::NodeStatus { node_id: 3, ..Default::default() };
        let nodes = [node(1, 4, 3, 80), node(2, 5, 2, 100), down];
        let shards = shards(&nodes, &BTreeMap::from([(1, (0, 4096))]), &Rows::default());
        assert_eq!(shards.len(), 1);
        assert_eq!((shards[0].leader, shards[0].term, shards[0].committed), (2, 5, 100));
        let lags: Vec<_> =
            shards[0].replicas.iter().map(|replica| (replica.node_id, replica.lag, replica.up)).collect();
        assert_eq!(lags, [(1, 20, true), (2, 0, true), (3, 100, false)]);
    }

    #[test]
    fn a_leader_that_is_down_is_none() {
        let down = admin::NodeStatus { node_id: 3, ..Default::default() };
        let nodes = [node(1, 4, 3, 80), node(2, 4, 3, 80), down];
        assert_eq!(shards(&nodes, &BTreeMap::new(), &Rows::default())[0].leader, 0);
    }
}
