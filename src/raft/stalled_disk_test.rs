//! A disk that does not get on: whoever waits for it, the group does not.

use std::time::{Duration, Instant};

use super::test_kit::{proposal, Cluster, LONG};
use super::RaftConfig;
use crate::storage::test_disk::TestDisk;

/// So long that no slow machine makes an election.
fn config() -> RaftConfig {
    let (election_min, election_max) = (Duration::from_secs(20), Duration::from_secs(21));
    RaftConfig { election_min, election_max, log_entries_kept: 0, ..RaftConfig::default() }
}

/// The group's only thread of control also sends the heartbeats and asks for the quorum of a read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_log_cannot_be_synced_goes_on() {
    let cluster = Cluster::start(3, config()).await;
    let last = cluster.propose("before").await;
    cluster.all_equal_at(last).await;
    let leader = cluster.leader().await;
    let group = &cluster.nodes[&leader].group;
    let log = cluster.data.path().join(leader.to_string()).join("log");
    let disk = TestDisk::watch(&log, &cluster.data.path().join("kept"));

    let stall = disk.stall();
    group.propose(proposal("appended")).await.expect("the other two are a quorum");
    stall.is_felt();
    group.read_index().await.expect("heartbeats are sent and answered");
    let applied = group.propose(proposal("again")).await.expect("the other two are a quorum");
    group.make_snapshot().await;
    let deadline = Instant::now() + LONG;
    while group.status().purged.is_none_or(|purged| purged < applied.index) {
        assert!(Instant::now() < deadline, "a purge waits for its sync: {:?}", group.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    group.propose(proposal("purged")).await.expect("the other two are a quorum");
    group.read_index().await.expect("heartbeats are sent and answered");
    drop(stall);

    let last = cluster.propose("after").await;
    cluster.all_equal_at(last).await;
    assert_eq!(cluster.leader().await, leader);
}
