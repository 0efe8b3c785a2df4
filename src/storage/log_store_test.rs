//! The log store: what is readable when, what survives reopening, shards side by side.

use std::sync::mpsc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{LogEntry, LogId, LogStore, Resources, ShardLog, StorageConfig, Vote};

const LONG: Duration = Duration::from_secs(10);

fn open(directory: &std::path::Path) -> Arc<LogStore> {
    let config = StorageConfig { log_tail_bytes: 4096, ..StorageConfig::default() };
    LogStore::open(directory, &Resources::new(config)).expect("the log opens")
}

fn id(term: u64, index: u64) -> LogId {
    LogId { term, leader: 1, index }
}

fn entries(term: u64, indexes: std::ops::Range<u64>) -> Vec<LogEntry> {
    let payload = |index: u64| Bytes::from(format!("{term}/{index}/{}", "x".repeat(100)));
    indexes.map(|index| LogEntry { id: id(term, index), kind: 1, payload: payload(index) }).collect()
}

/// Appends and waits until it is durable.
fn append(log: &Arc<ShardLog>, new: Vec<LogEntry>) {
    let (done, durable) = mpsc::channel();
    log.append(new, Box::new(move || done.send(()).expect("the test waits"))).expect("the log takes entries");
    durable.recv_timeout(LONG).expect("the entries become durable");
}

fn purge(log: &ShardLog, id: LogId) {
    let (done, durable) = mpsc::channel();
    log.purge(id, Box::new(move || done.send(()).expect("the test waits"))).expect("the log can be purged");
    durable.recv_timeout(LONG).expect("the purge becomes durable");
}

fn indexes(log: &ShardLog, from: u64, to: u64) -> Vec<(u64, u64)> {
    let found = log.read(from, to, usize::MAX).expect("the log can be read");
    found.iter().map(|entry| (entry.id.term, entry.id.index)).collect()
}

#[test]
fn everything_survives_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let vote = Vote { term: 3, node: 2, committed: true };
    {
        let store = open(directory.path());
        let log = store.shard(7).expect("a log");
        append(&log, entries(1, 0..200));
        purge(&log, id(1, 49));
        log.truncate_after(Some(id(1, 149))).expect("the log can be cut");
        append(&log, entries(2, 150..160));
        let (done, durable) = mpsc::channel();
        log.save_vote(vote, Box::new(move || done.send(()).expect("the test waits"))).expect("a vote is taken");
        durable.recv_timeout(LONG).expect("the vote becomes durable");
        log.save_committed(Some(id(2, 155))).expect("a mark is taken");
        store.close();
    }
    let store = open(directory.path());
    let log = store.shard(7).expect("a log");
    assert_eq!(log.bounds(), (Some(id(1, 49)), Some(id(2, 159))));
    assert_eq!((log.vote(), log.committed()), (Some(vote), Some(id(2, 155))));
    let expected: Vec<_> = (50..150).map(|index| (1, index)).chain((150..160).map(|index| (2, index))).collect();
    assert_eq!(indexes(&log, 0, u64::MAX), expected);
    assert_eq!(store.shard(8).expect("another log").bounds(), (None, None));
}

#[test]
fn entries_are_readable_as_soon_as_append_returns() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let log = store.shard(1).expect("a log");
    for round in 0..200u64 {
        let new = entries(1, round * 3..round * 3 + 3);
        log.append(new, Box::new(|| {})).expect("the log takes entries");
        assert_eq!(indexes(&log, 0, u64::MAX).len() as u64, round * 3 + 3, "in round {round}");
    }
}

#[test]
fn reads_are_capped_but_never_empty() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let log = store.shard(1).expect("a log");
    append(&log, entries(1, 0..500));
    for from in [0, 250, 470, 499] {
        assert_eq!(log.read(from, 500, 1).expect("the log can be read").len(), 1, "from {from}");
    }
    let some = log.read(0, 500, 1000).expect("the log can be read");
    assert!((2..20).contains(&some.len()), "{} entries", some.len());
    assert_eq!(indexes(&log, 460, 480), (460..480).map(|index| (1, index)).collect::<Vec<_>>());
}

#[test]
fn shards_share_the_store_without_mixing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    std::thread::scope(|scope| {
        for shard in 0..8u32 {
            let log = store.shard(shard).expect("a log");
            scope.spawn(move || {
                for round in 0..50u64 {
                    append(&log, entries(u64::from(shard), round * 4..round * 4 + 4));
                    if round % 10 == 9 {
                        purge(&log, id(u64::from(shard), round * 4 - 20));
                    }
                }
            });
        }
    });
    for shard in 0..8u32 {
        let log = store.shard(shard).expect("a log");
        let expected: Vec<_> = (177..200).map(|index| (u64::from(shard), index)).collect();
        assert_eq!(indexes(&log, 0, u64::MAX), expected, "shard {shard}");
    }
}

#[test]
fn a_purge_beyond_the_end_moves_the_log_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let log = store.shard(1).expect("a log");
    append(&log, entries(1, 0..5));
    purge(&log, id(3, 100));
    assert_eq!(log.bounds(), (Some(id(3, 100)), Some(id(3, 100))));
    assert!(indexes(&log, 0, u64::MAX).is_empty());
    append(&log, entries(3, 101..103));
    assert_eq!(indexes(&log, 0, u64::MAX), [(3, 101), (3, 102)]);
    assert!(log.append(entries(3, 110..111), Box::new(|| {})).is_err(), "a hole is refused");
}
