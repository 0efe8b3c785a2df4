//! What a power cut leaves of the log: whatever was acknowledged by then, and nothing that the log never was.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::test_disk::{self, TestDisk};
use super::{Done, LogEntry, LogId, LogStore, Resources, ShardLog, StorageConfig, Vote};

const LONG: Duration = Duration::from_secs(10);

fn open(directory: &Path) -> Arc<LogStore> {
    LogStore::open(directory, &Resources::new(StorageConfig::default())).expect("the log opens")
}

fn id(term: u64, index: u64) -> LogId {
    LogId { term, leader: 1, index }
}

fn entries(term: u64, indexes: std::ops::Range<u64>) -> Vec<LogEntry> {
    let payload = |index: u64| Bytes::from(format!("entry {index} of term {term}"));
    indexes.map(|index| LogEntry { id: id(term, index), kind: 1, payload: payload(index) }).collect()
}

/// All that can be seen of a log.
#[derive(Debug, Clone, PartialEq)]
struct View {
    vote: Option<Vote>,
    committed: Option<LogId>,
    bounds: (Option<LogId>, Option<LogId>),
    entries: Vec<LogEntry>,
}

impl View {
    fn of(log: &ShardLog) -> Self {
        let entries = log.read(0, u64::MAX, usize::MAX).expect("the log can be read");
        Self { vote: log.vote(), committed: log.committed(), bounds: log.bounds(), entries }
    }
}

/// Calls a log, and remembers how it looked after each call.
struct Caller {
    log: Arc<ShardLog>,
    seen: Vec<View>,
    unanswered: Vec<mpsc::Receiver<()>>,
    /// Place in `seen` of the last call that was acknowledged.
    acknowledged: Arc<AtomicUsize>,
}

impl Caller {
    fn new(store: &LogStore, shard: u32) -> Self {
        let log = store.shard(shard).expect("a log");
        Self { seen: vec![View::of(&log)], log, unanswered: Vec::new(), acknowledged: Arc::default() }
    }

    fn done(&mut self) -> Done {
        let (done, answer) = mpsc::channel();
        self.unanswered.push(answer);
        Box::new(move || done.send(()).expect("the test waits"))
    }

    fn look(&mut self) {
        self.seen.push(View::of(&self.log));
    }

    /// Votes for node 1, as its leader.
    fn vote(&mut self, term: u64) {
        let done = self.done();
        self.log.save_vote(Vote { term, node: 1, committed: true }, done).expect("a vote is taken");
        self.look();
    }

    fn append(&mut self, term: u64, indexes: std::ops::Range<u64>) {
        let done = self.done();
        self.log.append(entries(term, indexes), done).expect("the log takes entries");
        self.look();
    }

    fn truncate_after(&mut self, last: LogId) {
        self.log.truncate_after(Some(last)).expect("the log can be cut");
        self.look();
    }

    fn purge(&mut self, last: LogId) {
        let done = self.done();
        self.log.purge(last, done).expect("the log can be purged");
        self.look();
    }

    fn commit(&mut self, last: LogId) {
        self.log.save_committed(Some(last)).expect("a mark is taken");
        self.look();
    }

    fn wait(&mut self) {
        for answer in self.unanswered.drain(..) {
            answer.recv_timeout(LONG).expect("it is acknowledged");
        }
        self.acknowledged.store(self.seen.len() - 1, Ordering::SeqCst);
    }

    /// Another leader's term: the tail is replaced, and the beginning goes. Needs a log of 8 entries.
    fn replace_tail(&mut self, term: u64) {
        let ids: Vec<LogId> = self.seen[self.seen.len() - 1].entries.iter().map(|entry| entry.id).collect();
        let (purged, kept, last) = (ids[2], ids[4], ids[ids.len() - 1]);
        assert!(last.index >= kept.index + 3, "{ids:?}");
        self.vote(term);
        self.truncate_after(kept);
        self.append(term, kept.index + 1..last.index);
        self.commit(id(term, kept.index + 1));
        self.append(term, last.index..last.index + 4);
        self.purge(purged);
    }
}

fn reach(acknowledged: &AtomicUsize, place: usize) {
    let deadline = Instant::now() + LONG;
    while acknowledged.load(Ordering::SeqCst) < place {
        assert!(Instant::now() < deadline, "it is at {acknowledged:?}, and does not come to {place}");
        std::thread::yield_now();
    }
}

/// The only file with what was written since the log was opened, and how long it is.
fn journal(directory: &Path) -> (PathBuf, u64) {
    let files = fs_err::read_dir(directory).expect("the log's directory").map(|entry| entry.expect("a file").path());
    let journals = files.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let length = |path: &PathBuf| fs_err::metadata(path).expect("a file").len();
    journals.map(|path| (path.clone(), length(&path))).max_by_key(|(_, length)| *length).expect("a journal")
}

#[test]
fn acknowledged_entries_survive() {
    let directory = tempfile::tempdir().expect("a directory");
    let (live, left) = (directory.path().join("live"), directory.path().join("left"));
    let disk = TestDisk::watch(&live, &directory.path().join("kept"));
    let store = open(&live);
    let mut caller = Caller::new(&store, 7);
    caller.append(1, 0..20);
    caller.wait();
    disk.cut_power(&left);
    assert_eq!(View::of(&open(&left).shard(7).expect("a log")).entries, entries(1, 0..20));
}

#[test]
fn an_acknowledged_vote_survives() {
    let directory = tempfile::tempdir().expect("a directory");
    let (live, left) = (directory.path().join("live"), directory.path().join("left"));
    let disk = TestDisk::watch(&live, &directory.path().join("kept"));
    let store = open(&live);
    let mut caller = Caller::new(&store, 7);
    caller.vote(3);
    caller.wait();
    disk.cut_power(&left);
    let left = open(&left).shard(7).expect("a log");
    assert_eq!(left.vote(), Some(Vote { term: 3, node: 1, committed: true }));
}

/// Votes, entries, cuts and purges reach the disk in the order of their calls, each wholly or not at all.
#[test]
fn the_journal_cut_anywhere_leaves_the_log_as_it_was_after_one_of_the_calls() {
    let directory = tempfile::tempdir().expect("a directory");
    let (live, left) = (directory.path().join("live"), directory.path().join("left"));
    let disk = TestDisk::watch(&live, &directory.path().join("kept"));
    let store = open(&live);
    let mut caller = Caller::new(&store, 7);
    let mut acknowledged = vec![(journal(&live).1, 0)];
    let mut wait = |caller: &mut Caller| {
        caller.wait();
        acknowledged.push((journal(&live).1, caller.seen.len() - 1));
    };
    // Each call on its own, as far as a caller can see to it.
    caller.vote(1);
    wait(&mut caller);
    caller.append(1, 0..10);
    wait(&mut caller);
    caller.replace_tail(2);
    wait(&mut caller);
    // All of them in one batch: what comes while a sync does not end.
    let stall = disk.stall();
    caller.append(2, 13..14);
    stall.is_felt();
    caller.replace_tail(3);
    caller.replace_tail(4);
    drop(stall);
    wait(&mut caller);

    disk.cut_power(&left);
    let (journal_left, length) = journal(&left);
    assert_eq!(Some(length), acknowledged.last().map(|(length, _)| *length), "all is synced");
    let file = fs_err::File::options().write(true).open(&journal_left).expect("a file");
    let ends: Vec<u64> = acknowledged.iter().map(|(length, _)| *length).collect();
    let mut highest = caller.seen.len() - 1;
    // From the end: what is cut off does not come back.
    for cut in (ends[0]..=length).rev().filter(|cut| cut % 40 == 0 || ends.contains(cut)) {
        file.set_len(cut).expect("cut");
        let image = directory.path().join("image");
        test_disk::copy(&left, &image);
        let found = View::of(&open(&image).shard(7).expect("a log"));
        let lowest = acknowledged.iter().rfind(|(length, _)| *length <= cut).expect("the first is").1;
        let at = (lowest..=highest).rev().find(|at| caller.seen[*at] == found);
        highest = at.unwrap_or_else(|| {
            let known = &caller.seen[lowest..=highest];
            panic!("cut at {cut} of {length}: {found:#?}\nis none of {known:#?}")
        });
    }
    assert_eq!(highest, 0, "nothing is left at last");
}

#[test]
fn shards_that_write_at_once_survive_power_cuts() {
    const SHARDS: u32 = 6;
    let directory = tempfile::tempdir().expect("a directory");
    let live = directory.path().join("live");
    let disk = TestDisk::watch(&live, &directory.path().join("kept"));
    let store = open(&live);
    let mut callers: Vec<Caller> = (0..SHARDS).map(|shard| Caller::new(&store, shard)).collect();
    let acknowledged: Vec<_> = callers.iter().map(|caller| caller.acknowledged.clone()).collect();
    let mut cuts = Vec::new();
    std::thread::scope(|scope| {
        for caller in &mut callers {
            scope.spawn(move || {
                caller.append(1, 0..10);
                for term in 2..30 {
                    caller.replace_tail(term);
                    caller.wait();
                }
            });
        }
        for number in 0..8 {
            reach(&acknowledged[0], number * 18);
            let before: Vec<usize> = acknowledged.iter().map(|place| place.load(Ordering::SeqCst)).collect();
            let left = directory.path().join(format!("left-{number}"));
            disk.cut_power(&left);
            cuts.push((left, before));
        }
    });
    for (left, before) in cuts {
        let store = open(&left);
        for (shard, caller) in callers.iter().enumerate() {
            let found = View::of(&store.shard(shard as u32).expect("a log"));
            let since = &caller.seen[before[shard]..];
            assert!(since.contains(&found), "shard {shard} at {}: {found:#?} is none of {since:#?}", left.display());
        }
    }
    assert!(callers.iter().all(|caller| caller.acknowledged.load(Ordering::SeqCst) == caller.seen.len() - 1));
}
