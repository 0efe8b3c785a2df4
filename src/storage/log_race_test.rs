//! Readers beside a writer that appends, cuts and purges: each read is the log as it was at some moment.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{LogEntry, LogId, LogStore, Resources, ShardLog, StorageConfig};

const LONG: Duration = Duration::from_secs(10);
const TERMS: u64 = 400;
/// Entries that the log has after each term.
const LENGTH: u64 = 120;

/// With so little in memory that most reads begin on disk.
fn open(directory: &Path) -> Arc<LogStore> {
    let config = StorageConfig { log_tail_bytes: 2048, ..StorageConfig::default() };
    LogStore::open(directory, &Resources::new(config)).expect("the log opens")
}

/// Each entry holds the term of the one before it, so that entries of different tails do not fit together.
fn chain(mut before: u64, term: u64, indexes: std::ops::Range<u64>) -> Vec<LogEntry> {
    let entry = |index| {
        let payload = Bytes::copy_from_slice(&before.to_be_bytes());
        before = term;
        LogEntry { id: LogId { term, leader: 1, index }, kind: 1, payload }
    };
    indexes.map(entry).collect()
}

fn fit_together(before: &LogEntry, after: &LogEntry) -> bool {
    after.id.index == before.id.index + 1 && after.payload[..] == before.id.term.to_be_bytes()
}

fn append(log: &Arc<ShardLog>, new: Vec<LogEntry>) {
    let (done, durable) = mpsc::channel();
    log.append(new, Box::new(move || done.send(()).expect("the test waits"))).expect("the log takes entries");
    durable.recv_timeout(LONG).expect("the entries become durable");
}

/// Waits until there were so many reads: the writer does not leave the readers behind.
fn reach(reads: &AtomicU64, count: u64) {
    let deadline = Instant::now() + LONG;
    while reads.load(Ordering::Relaxed) < count {
        assert!(Instant::now() < deadline, "nobody reads after {reads:?} reads");
        std::thread::yield_now();
    }
}

/// Every term replaces a part of the log's end, and takes some of its beginning away; at times all but a few entries.
fn write(log: &Arc<ShardLog>, reads: &AtomicU64) {
    append(log, chain(0, 1, 0..LENGTH));
    for term in 2..TERMS {
        let (first, last) = (log.bounds().0.map_or(0, |id| id.index + 1), log.bounds().1.expect("it has entries"));
        let id = |index| log.read(index, index + 1, 1).expect("the log can be read")[0].id;
        if term % 4 == 0 {
            log.purge(id(last.index - 3), Box::new(|| {})).expect("the log can be purged");
            append(log, chain(last.term, term, last.index + 1..last.index + LENGTH));
        } else {
            let kept = id(first + (last.index - first) / 2 + term % 7);
            log.truncate_after(Some(kept)).expect("the log can be cut");
            append(log, chain(kept.term, term, kept.index + 1..last.index + 3));
            log.purge(id(first + 1), Box::new(|| {})).expect("the log can be purged");
        }
        reach(reads, term);
    }
}

/// Tells the readers to stop, also when the writer fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads all there is, over and over.
fn read(log: &ShardLog, stop: &AtomicBool, reads: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let found = log.read(0, u64::MAX, usize::MAX).expect("the log can be read");
        for pair in found.windows(2) {
            assert!(fit_together(&pair[0], &pair[1]), "{:?} never came after {:?}", pair[1], pair[0]);
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_read_never_mixes_entries_with_those_that_replaced_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let log = store.shard(1).expect("a log");
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        (0..3).for_each(|_| drop(scope.spawn(|| read(&log, &stop, &reads))));
        write(&log, &reads);
    });
}

#[test]
fn a_reader_sees_what_was_appended_before_it_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let log = store.shard(1).expect("a log");
    let (stop, appended, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let reader = || {
        while !stop.load(Ordering::Relaxed) {
            let end = appended.load(Ordering::SeqCst);
            let from = end.saturating_sub(100);
            let found = log.read(from, end, usize::MAX).expect("the log can be read");
            assert!(found.iter().map(|entry| entry.id.index).eq(from..end), "{from}..{end}: {found:?}");
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        (0..3).for_each(|_| drop(scope.spawn(reader)));
        for round in 0..2000 {
            // Readable at once; on disk some time later.
            log.append(chain(1, 1, round * 5..round * 5 + 5), Box::new(|| {})).expect("the log takes entries");
            appended.store(round * 5 + 5, Ordering::SeqCst);
            reach(&reads, round / 4);
        }
    });
}
