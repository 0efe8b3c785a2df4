//! A node whose machine loses power: what it acknowledged is there when it comes back, whatever was being flushed and
//! purged.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openraft::storage::RaftLogStorage;

use super::codec;
use super::crash_test::{check, leads, open};
use super::log::Log;
use super::test_kit::{proposal, LONG, SHARD};
use super::{Group, GroupStatus, Groups};
use crate::storage::test_disk::TestDisk;
use crate::storage::{LogStore, Resources, StorageConfig, Vote};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_is_on_disk_when_save_vote_returns() {
    let directory = tempfile::tempdir().expect("a directory");
    let (live, left) = (directory.path().join("live"), directory.path().join("left"));
    let disk = TestDisk::watch(&live, &directory.path().join("kept"));
    let resources = Resources::new(StorageConfig::default());
    let logs = LogStore::open(&live, &resources).expect("the log opens");
    let mut log = Log::new(logs.shard(SHARD).expect("a log"), 1 << 20);
    let vote = Vote { term: 3, node: 2, committed: false };

    let stall = disk.stall();
    let told = codec::vote_from_store(vote);
    let mut saved = Box::pin(log.save_vote(&told));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut saved).await;
    assert!(early.is_err(), "its sync has not ended: {early:?}");
    stall.is_felt();
    drop(stall);
    saved.await.expect("the vote is taken");
    disk.cut_power(&left);
    let left = LogStore::open(&left, &resources).expect("the log opens");
    assert_eq!(left.shard(SHARD).expect("a log").vote(), Some(vote));
}

type Acknowledged = Arc<Mutex<Vec<(String, u64)>>>;

/// Proposes one after the other until it is stopped.
async fn propose(group: Arc<Group>, stop: Arc<AtomicBool>, acknowledged: Acknowledged) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("s{}-{number:06}", group.shard());
        let applied = group.propose(proposal(&name)).await.expect("a lone node accepts");
        acknowledged.lock().expect("no panic").push((name, applied.index));
        number += 1;
    }
}

async fn until(group: &Group, reached: impl Fn(&GroupStatus) -> bool) {
    let deadline = Instant::now() + LONG;
    while !reached(&group.status()) {
        assert!(Instant::now() < deadline, "it does not come to that: {:?}", group.status());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Flushes and makes a snapshot of something new, after which the log is purged, while entries are applied.
async fn purge(group: &Group) {
    let before = group.status().purged;
    until(group, |status| status.applied > before).await;
    group.make_snapshot().await;
    until(group, |status| status.purged > before).await;
}

/// What was acknowledged before the power was cut, each time.
async fn run(groups: &Groups, disk: &TestDisk, directory: &Path) -> Vec<Vec<(String, u64)>> {
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let mut proposers = tokio::task::JoinSet::new();
    for group in groups.groups() {
        leads(&group).await;
        proposers.spawn(propose(group, stop.clone(), acknowledged.clone()));
    }
    let mut cuts = Vec::new();
    for _ in 0..3 {
        for group in groups.groups() {
            purge(&group).await;
            let before = acknowledged.lock().expect("no panic").clone();
            disk.cut_power(&directory.join(format!("left-{}", cuts.len())));
            cuts.push(before);
        }
    }
    stop.store(true, Ordering::Relaxed);
    proposers.join_all().await;
    cuts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_power_cuts_between_flushes_and_purges() {
    let directory = tempfile::tempdir().expect("a directory");
    let live = directory.path().join("live");
    let disk = TestDisk::watch(&live, &directory.path().join("kept"));
    let groups = open(&live).await;
    let cuts = run(&groups, &disk, directory.path()).await;
    groups.shutdown().await;
    for (number, acknowledged) in cuts.iter().enumerate() {
        assert!(!acknowledged.is_empty(), "nothing was acknowledged before cut {number}");
        check(&directory.path().join(format!("left-{number}")), acknowledged, &format!("cut {number}")).await;
    }
}
