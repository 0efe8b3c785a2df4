//! Members come and go while clients start workflows; nodes in this process, wishes through the admin service.

use std::net::SocketAddr;
use std::time::Duration;

use everstep::config::{Config, NamespaceSeed};
use everstep::node::Node;
use futures::future::{join_all, try_join_all};
use proto::everstep::admin::v1::admin_client::AdminClient;
use proto::everstep::admin::v1::{
    ClusterStatusResponse, CutOffRequest, DrainNodeRequest, RemoveNodeRequest, ReplaceNodeRequest,
    TransferLeaderRequest,
};
use statemachine::tables;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::in_process::{configs, free_ports, soon, starts};
use everstep::cluster::Target;

async fn admin(address: SocketAddr) -> AdminClient<Channel> {
    AdminClient::connect(format!("http://{address}")).await.expect("the node answers")
}

fn joining(id: u64, directory: &std::path::Path, through: SocketAddr) -> Config {
    let port = free_ports().next().expect("there are free ports");
    let peer = port.local_addr().expect("it is bound");
    let mut config = Config {
        node_id: id,
        data_dir: directory.join(id.to_string()),
        join: vec!["127.0.0.1:1".into(), through.to_string()],
        ..Config::default()
    };
    config.listen.api = "127.0.0.1:0".parse().expect("an address");
    config.listen.peer = peer;
    config.bootstrap.namespaces = vec![NamespaceSeed::named("default")];
    config
}

/// Waits until the cluster looks so.
async fn until(node: &Node, what: &str, wanted: impl Fn(&ClusterStatusResponse) -> bool) -> ClusterStatusResponse {
    let end = soon() + Duration::from_secs(20);
    loop {
        let status = node.router().status().await;
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < end, "{what}: {status:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_settled(status: &ClusterStatusResponse) -> bool {
    status.shards.len() == 4 && status.shards.iter().all(|shard| shard.settled && shard.voters == shard.target)
}

fn is_active(status: &ClusterStatusResponse, id: u64) -> bool {
    status.nodes.iter().any(|node| node.node_id == id && node.member == "active")
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_replace_and_leave_under_load() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configs = configs(directory.path());
    let peers: Vec<SocketAddr> = configs.iter().map(|config| config.listen.peer).collect();
    let mut nodes = try_join_all(configs.into_iter().map(Node::start)).await.expect("three nodes start");
    let namespace = nodes[0].namespaces().by_name("default").await.expect("it was bootstrapped");
    until(&nodes[0], "places are written down", is_settled).await;

    let stop = CancellationToken::new();
    let load = join_all(nodes[..2].iter().map(|node| {
        let name = format!("load-{}", node.router().this_node());
        tokio::spawn(starts(node.router().clone(), namespace.clone(), name, stop.clone()))
    }));
    let load = tokio::spawn(load);

    let fourth = Node::start(joining(4, directory.path(), peers[0])).await.expect("it joins");
    let status = until(&nodes[0], "node 4 is in its place", |now| is_active(now, 4) && is_settled(now)).await;
    let with_vote = status.shards.iter().filter(|shard| shard.voters.contains(&4)).count();
    assert!(with_vote >= 2, "it takes its share of the voters: {status:#?}");
    assert!(status.shards.iter().all(|shard| shard.voters.len() == 3));

    let dead = nodes.pop().expect("there are three");
    dead.shutdown().await;
    let mut client = admin(peers[0]).await;
    let too_much = client.remove_node(RemoveNodeRequest { node_id: 9 }).await.expect_err("refused");
    assert_eq!(too_much.message(), "node 9 is not a member");
    client.replace_node(ReplaceNodeRequest { node_id: 3, replaced_by: 4 }).await.expect("it is accepted");
    let status =
        until(&nodes[0], "node 3 is gone", |now| now.nodes.iter().all(|node| node.node_id != 3) && is_settled(now))
            .await;
    assert!(status.shards.iter().all(|shard| shard.voters == [1, 2, 4]), "{status:#?}");

    stop.cancel();
    for (name, counted) in ["load-1", "load-2"].iter().zip(load.await.expect("the load ends")) {
        let (count, slowest) = counted.expect("no start fails");
        println!("{name}: {count} starts, the slowest took {slowest:?}");
        assert!(count > 0 && slowest < Duration::from_secs(10));
        for number in 0..count {
            let workflow_id = format!("{name}-{number}");
            let target = Target::Workflow { namespace_id: &namespace.id, workflow_id: &workflow_id };
            let rows = fourth.router().read(target, soon()).await.expect("a barrier passes");
            assert!(tables::current(&rows, &namespace.id, &workflow_id).expect("readable").is_some(), "{workflow_id}");
        }
    }
    refusals(&nodes[0], peers[0]).await;
    let again = Node::start(joining(3, &directory.path().join("again"), peers[0])).await;
    let why = again.map(|_| ()).expect_err("its id was used").to_string();
    assert!(why.contains("node 3 was removed"), "{why}");
    fourth.shutdown().await;
    join_all(nodes.into_iter().map(Node::shutdown)).await;
}

async fn refusals(node: &Node, peer: SocketAddr) {
    let mut client = admin(peer).await;
    let transfer = TransferLeaderRequest { shard: 2, node_id: 4 };
    let note = client.transfer_leader(transfer).await.expect("it leads").into_inner().note;
    assert_eq!((note.as_str(), node.router().leader_of(2)), ("", Some(4)));
    let note =
        client.drain_node(DrainNodeRequest { node_id: 4, undo: false }).await.expect("drained").into_inner().note;
    assert_eq!(note, "");
    let status = node.router().status().await;
    assert!(status.shards.iter().all(|shard| shard.leader != 4), "{status:#?}");
    let refused = client.transfer_leader(transfer).await.expect_err("refused");
    assert_eq!(refused.message(), "node 4 is drained or leaves: leaderships are kept away from it");
    client.drain_node(DrainNodeRequest { node_id: 4, undo: true }).await.expect("undone");
    // The wish of before holds again.
    until(node, "node 4 leads again", |now| now.shards.iter().any(|shard| shard.shard == 2 && shard.leader == 4)).await;
}

/// One that is not answered for a moment, after a broken connection or while it starts, is not refused for; one that is
/// down is.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_seems_down_is_asked_again_before_a_removal_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut configs = configs(directory.path());
    configs.iter_mut().for_each(|config| config.chaos = true);
    let peers: Vec<SocketAddr> = configs.iter().map(|config| config.listen.peer).collect();
    let nodes = try_join_all(configs.into_iter().map(Node::start)).await.expect("three nodes start");
    until(&nodes[1], "places are written down", is_settled).await;
    let mut second = admin(peers[1]).await;
    second.transfer_leader(TransferLeaderRequest { shard: 0, node_id: 2 }).await.expect("it leads");

    // With the third it is a quorum, but it does not reach the first.
    second.cut_off(CutOffRequest { nodes: vec![1], millis: 60_000 }).await.expect("cut off");
    let refused = second.remove_node(RemoveNodeRequest { node_id: 3 }).await.expect_err("refused");
    assert_eq!(
        refused.message(),
        "without node 3 the system shard would have the voters 1 (down), 2: no quorum; bring a node back or replace one first"
    );
    second.cut_off(CutOffRequest { nodes: vec![1], millis: 1500 }).await.expect("cut off");
    let note = second.remove_node(RemoveNodeRequest { node_id: 3 }).await.expect("it is there again").into_inner().note;
    assert!(note.starts_with("two nodes are left"), "{note}");
    join_all(nodes.into_iter().map(Node::shutdown)).await;
}

/// The node with a copy of its data: this process keeps the original's files locked.
fn moved(config: &Config, to: &std::path::Path) -> Config {
    let data_dir = to.join(config.node_id.to_string());
    fs_err::create_dir_all(to).expect("a directory");
    let copied = std::process::Command::new("cp").arg("-r").args([&config.data_dir, &data_dir]).status();
    assert!(copied.expect("there is a cp").success());
    Config { data_dir, ..config.clone() }
}

/// All nodes were down, and the one with the empty directory is back first: nobody can tell it at its start.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_data_directory_is_noticed_when_the_others_come_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configs = configs(directory.path());
    let nodes = try_join_all(configs.clone().into_iter().map(Node::start)).await.expect("three nodes start");
    join_all(nodes.into_iter().map(Node::shutdown)).await;
    let mut lost = configs[2].clone();
    lost.data_dir = directory.path().join("empty");
    let lost = tokio::spawn(Node::start(lost));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let copies = directory.path().join("copies");
    let others = configs[..2].iter().map(|config| Node::start(moved(config, &copies)));
    let others = try_join_all(others).await.expect("two nodes start");
    let ended = tokio::time::timeout(Duration::from_secs(20), lost).await.expect("it ends").expect("no panic");
    let why = ended.map(|_| ()).expect_err("it is refused").to_string();
    assert!(why.contains("node 3 is a member with another data directory"), "{why}");
    join_all(others.into_iter().map(Node::shutdown)).await;
}

/// A node that lost its data directory must not vote under its old id.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_data_directory_is_noticed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configs = configs(directory.path());
    let mut nodes = try_join_all(configs.clone().into_iter().map(Node::start)).await.expect("three nodes start");
    nodes.pop().expect("there are three").shutdown().await;
    let mut lost = configs[2].clone();
    lost.data_dir = directory.path().join("empty");
    let why = Node::start(lost).await.map(|_| ()).expect_err("it is refused").to_string();
    assert!(why.contains("node 3 is a member with another data directory"), "{why}");
    join_all(nodes.into_iter().map(Node::shutdown)).await;
}
