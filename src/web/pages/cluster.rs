//! `/cluster`: nodes, shards, leaders and lag.

use axum::extract::State;
use prost_types::Timestamp;
use proto::everstep::admin::v1::{NodeStatus, ShardReplica, ShardStatus};

use super::error::ErrorPage;
use super::{frame, Html, Link, Refresh};
use crate::web::format;
use crate::web::Backend;

pub(in crate::web) async fn page(State(backend): Backend) -> Result<Html, ErrorPage> {
    let status = backend.cluster_status().await?;
    let mut body = Html::default();
    body.raw("<h1>Cluster ").text(&status.cluster_id).raw("</h1><p class=\"soft\">As node ");
    body.number(status.answered_by)
        .raw(" sees it now.</p><h2>Nodes</h2><div class=\"scroll\"><table><tr><th>Node</th>");
    body.raw("<th>State</th><th>Leads</th><th>API</th><th>Peers</th><th>Version</th><th>Up for</th></tr>");
    for node in &status.nodes {
        let leads = status.shards.iter().filter(|shard| shard.leader == node.node_id).count();
        node_row(&mut body, node, leads as u64);
    }
    body.raw(
        "</table></div><h2>Shards</h2><div class=\"scroll\"><table><tr><th>Shard</th><th>Leader</th><th>Term</th>",
    );
    body.raw("<th>Committed</th><th>Replicas and their lag</th></tr>");
    status.shards.iter().for_each(|shard| shard_row(&mut body, shard));
    body.raw("</table></div>");
    Ok(frame("Cluster", &[("Cluster", Link::to(&["cluster"]))], Refresh::EverySecond, body))
}

fn node_row(body: &mut Html, node: &NodeStatus, leads: u64) {
    body.raw("<tr><td class=\"count\">").number(node.node_id).raw("</td><td>").raw(match node {
        NodeStatus { up: false, .. } => "<span class=\"label red\">Down</span>",
        NodeStatus { disk_full: true, .. } => "<span class=\"label orange\">Disk full</span>",
        NodeStatus { draining: true, .. } => "<span class=\"label orange\">Leaving</span>",
        NodeStatus { .. } => "<span class=\"label green\">Up</span>",
    });
    body.raw("</td><td class=\"count\">").number(leads).raw("</td><td>").text(&node.api_address);
    body.raw("</td><td>").text(&node.peer_address).raw("</td><td>").text(&node.version);
    body.raw("</td><td class=\"time\">");
    if node.up && node.started > 0 {
        let started = Timestamp { seconds: node.started / 1_000_000_000, nanos: 0 };
        body.text(format::between(Some(&started), None));
    }
    body.raw("</td></tr>");
    for replica in node.replicas.iter().filter(|replica| !replica.stopped.is_empty()) {
        body.raw("<tr><td></td><td colspan=\"6\" class=\"red\">Shard ").number(replica.shard).raw(" stopped here: ");
        body.text(&replica.stopped).raw("</td></tr>");
    }
}

fn shard_row(body: &mut Html, shard: &ShardStatus) {
    body.raw("<tr><td class=\"count\">");
    match shard.shard {
        0 => body.raw("system"),
        id => body.number(id),
    };
    body.raw("</td><td>");
    match shard.leader {
        0 => body.raw("<span class=\"label red\">None</span>"),
        leader => body.raw("node ").number(leader),
    };
    body.raw("</td><td class=\"count\">").number(shard.term).raw("</td><td class=\"count\">").number(shard.committed);
    body.raw("</td><td>");
    shard.replicas.iter().for_each(|replica| replica_label(body, replica));
    body.raw("</td></tr>");
}

fn replica_label(body: &mut Html, replica: &ShardReplica) {
    let (class, lag): (&'static str, Option<u64>) = match (replica.up, replica.lag) {
        (false, _) => ("<span class=\"label red\">", None),
        (true, 0) => ("<span class=\"label green\">", None),
        (true, lag) => ("<span class=\"label orange\">", Some(lag)),
    };
    body.raw(class).raw("node ").number(replica.node_id);
    if let Some(lag) = lag {
        body.raw(" −").number(lag);
    }
    body.raw("</span> ");
}
