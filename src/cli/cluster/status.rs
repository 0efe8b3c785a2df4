//! `everstep cluster status`: nodes, shards, leaders and lag, as a table or as JSON.

use std::fmt::Write;

use proto::everstep::admin::v1::{ClusterStatusResponse, NodeStatus, ShardStatus};
use serde_json::{json, Value};

pub(super) fn to_json(status: &ClusterStatusResponse) -> Value {
    json!({
        "cluster_id": status.cluster_id,
        "answered_by": status.answered_by,
        "nodes": status.nodes.iter().map(node_json).collect::<Vec<_>>(),
        "shards": status.shards.iter().map(shard_json).collect::<Vec<_>>(),
    })
}

fn node_json(node: &NodeStatus) -> Value {
    json!({
        "id": node.node_id,
        "up": node.up,
        "draining": node.draining || node.kept_drained,
        "member": node.member,
        "disk_full": node.disk_full,
        "version": node.version,
        "peer": node.peer_address,
        "api": node.api_address,
        "web": node.web_address,
        "started": node.started / 1_000_000_000,
        "replicas": node.replicas.iter().map(|replica| json!({
            "shard": replica.shard,
            "term": replica.term,
            "leader": replica.leader,
            "last_log": replica.last_log,
            "committed": replica.committed,
            "applied": replica.applied,
            "flushed": replica.flushed,
            "snapshot": replica.snapshot,
            "purged": replica.purged,
            "stopped": replica.stopped,
        })).collect::<Vec<_>>(),
    })
}

fn shard_json(shard: &ShardStatus) -> Value {
    json!({
        "id": shard.shard,
        "leader": shard.leader,
        "term": shard.term,
        "committed": shard.committed,
        "voters": shard.voters,
        "target": shard.target,
        "settled": shard.settled,
        "preferred_leader": shard.preferred_leader,
        "first_slot": shard.first_slot,
        "slots": shard.slots,
        "replicas": shard.replicas.iter().map(|replica| json!({
            "node": replica.node_id,
            "up": replica.up,
            "applied": replica.applied,
            "lag": replica.lag,
            "learner": replica.learner,
        })).collect::<Vec<_>>(),
    })
}

pub(super) fn to_table(status: &ClusterStatusResponse) -> String {
    let mut nodes = vec![["NODE", "STATE", "LEADS", "API", "PEER", "VERSION"].map(String::from).to_vec()];
    for node in &status.nodes {
        let leads = status.shards.iter().filter(|shard| shard.leader == node.node_id).count();
        nodes.push(vec![
            node.node_id.to_string(),
            node_state(node).into(),
            leads.to_string(),
            node.api_address.clone(),
            node.peer_address.clone(),
            node.version.clone(),
        ]);
    }
    let mut shards = vec![["SHARD", "LEADER", "TERM", "COMMITTED", "REPLICAS (lag)"].map(String::from).to_vec()];
    for shard in &status.shards {
        let name = if shard.shard == 0 { "system".into() } else { shard.shard.to_string() };
        let leader = if shard.leader == 0 { "none".into() } else { shard.leader.to_string() };
        shards.push(vec![name, leader, shard.term.to_string(), shard.committed.to_string(), replicas(shard)]);
    }
    format!(
        "Cluster {}, as node {} sees it\n\n{}\n{}",
        status.cluster_id,
        status.answered_by,
        table(&nodes),
        table(&shards)
    )
}

fn node_state(node: &NodeStatus) -> &'static str {
    match node {
        NodeStatus { up: false, .. } => "down",
        NodeStatus { disk_full: true, .. } => "disk full",
        NodeStatus { draining: true, .. } => "stopping",
        NodeStatus { member, .. } if member == "joining" => "joining",
        NodeStatus { member, .. } if member == "leaving" => "leaving",
        NodeStatus { kept_drained: true, .. } => "drained",
        NodeStatus { .. } => "up",
    }
}

/// Voters first; a voter to come and one that goes are named, and so are replicas that only read.
fn replicas(shard: &ShardStatus) -> String {
    let one = |replica: &proto::everstep::admin::v1::ShardReplica| {
        let node = replica.node_id;
        let is_target = shard.target.is_empty() || shard.target.contains(&node);
        let part = match (replica.learner, is_target) {
            (true, true) => " catches up",
            (true, false) => " reads",
            (false, false) => " goes",
            (false, true) => "",
        };
        match replica.up {
            true => format!("{node} ({}{part})", replica.lag),
            false => format!("{node} (down{part})"),
        }
    };
    shard.replicas.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use proto::everstep::admin::v1::ShardReplica;

    use super::*;

    fn example() -> ClusterStatusResponse {
        let node = |node_id, up| NodeStatus {
            node_id,
            up,
            api_address: format!("127.0.0.1:{node_id}"),
            ..NodeStatus::default()
        };
        let replica = |node_id, up, lag| ShardReplica { node_id, up, lag, ..ShardReplica::default() };
        let learner = |node_id| ShardReplica { learner: true, ..replica(node_id, true, 7) };
        ClusterStatusResponse {
            cluster_id: "c".into(),
            answered_by: 1,
            nodes: vec![node(1, true), node(2, false)],
            shards: vec![ShardStatus {
                shard: 0,
                leader: 1,
                term: 3,
                replicas: vec![replica(1, true, 0), replica(2, false, 9), learner(3), learner(4)],
                voters: vec![1, 2],
                target: vec![1, 3],
                ..ShardStatus::default()
            }],
        }
    }

    #[test]
    fn the_table() {
        let text = to_table(&example());
        assert!(text.contains("1     up     1      127.0.0.1:1"), "{text}");
        assert!(
            text.contains("system  1       3     0          1 (0), 2 (down goes), 3 (7 catches up), 4 (7 reads)"),
            "{text}"
        );
    }

    #[test]
    fn the_json() {
        let value = to_json(&example());
        assert_eq!(value["shards"][0]["leader"], 1);
        assert_eq!(value["nodes"][1]["up"], false);
        assert_eq!(value["shards"][0]["voters"], json!([1, 2]));
    }
}
