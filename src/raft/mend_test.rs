//! Rows that are ahead of their log: the node starts, with a snapshot for what the log lacks.

use std::path::Path;
use std::sync::mpsc;

use statemachine::Kv;

use super::crash_test::{leads, open};
use super::test_kit::proposal;
use crate::storage::{LogId, LogStore, Resources, StateStore, StorageConfig, Vote};

const SHARD: u32 = 0;
const ROW: &[u8] = b"a row of entries that the log lacks";

/// A node that has taken a few proposals; answers the last entry of its log.
async fn prepare(directory: &Path) -> LogId {
    let groups = open(directory).await;
    let group = groups.group(SHARD).expect("it was started");
    leads(&group).await;
    for name in ["a", "b", "c", "d"] {
        group.propose(proposal(name)).await.expect("a lone node accepts");
    }
    let last = group.log.bounds().1.expect("it has entries");
    groups.shutdown().await;
    last
}

/// Makes the rows stand for entries up to `applied`, and the log tell of a vote in that term.
fn run_ahead(directory: &Path, applied: LogId) {
    let resources = Resources::new(StorageConfig::default());
    let store = StateStore::open(&directory.join(format!("state/{SHARD}")), &resources).expect("the store opens");
    store.write([(ROW.to_vec(), Some(vec![1]))], applied, None, 1).expect("rows are taken");
    store.flush().expect("rows can be flushed");
    let logs = LogStore::open(&directory.join("log"), &resources).expect("the log opens");
    let (done, durable) = mpsc::channel();
    let vote = Vote { term: applied.term, node: applied.leader, committed: true };
    let log = logs.shard(SHARD).expect("a log");
    log.save_vote(vote, Box::new(move || done.send(()).expect("the test waits"))).expect("the vote is taken");
    durable.recv().expect("the vote is durable");
}

async fn starts_and_goes_on(directory: &Path, applied: LogId) {
    let groups = open(directory).await;
    let group = groups.group(SHARD).expect("it was started");
    let purged = group.log.bounds().0.expect("the log begins after what is applied");
    assert_eq!(purged, applied);
    let snapshot = group.store().checkpoint().expect("a snapshot stands for the rest");
    assert_eq!(snapshot.last(), Some(applied));
    leads(&group).await;
    let next = group.propose(proposal("next")).await.expect("it goes on");
    assert!(next.index > applied.index);
    assert!(group.snapshot().get(ROW).expect("rows can be read").is_some());
    groups.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_what_is_applied() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = prepare(directory.path()).await;
    let applied = LogId { index: last.index + 7, ..last };
    run_ahead(directory.path(), applied);
    starts_and_goes_on(directory.path(), applied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_a_tail_that_another_leader_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = prepare(directory.path()).await;
    let applied = LogId { term: last.term + 1, index: last.index - 1, ..last };
    run_ahead(directory.path(), applied);
    starts_and_goes_on(directory.path(), applied).await;
}

/// As an older snapshot left behind a log that begins later: its node could bring nobody over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_after_the_snapshot() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = prepare(directory.path()).await;
    {
        let resources = Resources::new(StorageConfig::default());
        let logs = LogStore::open(&directory.path().join("log"), &resources).expect("the log opens");
        let log = logs.shard(SHARD).expect("a log");
        let (done, durable) = mpsc::channel();
        log.purge(last, Box::new(move || done.send(()).expect("the test waits"))).expect("the purge is taken");
        durable.recv().expect("the purge is durable");
    }
    let groups = open(directory.path()).await;
    let group = groups.group(SHARD).expect("it was started");
    let snapshot = group.store().checkpoint().expect("a snapshot stands for what is purged");
    assert!(snapshot.last() >= Some(last), "{:?}", snapshot.last());
    leads(&group).await;
    group.propose(proposal("next")).await.expect("it goes on");
    groups.shutdown().await;
}
