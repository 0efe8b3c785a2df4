//! The one thread that writes the log database: whatever arrived meanwhile, of all shards, is one batch and one fsync.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rocksdb::{WriteBatch, WriteOptions, DB};
use tokio::sync::Notify;

use super::log_rows::{self, Field, ENTRIES, META};
use super::{failpoint, fatal, metric, LogEntry, LogId, ShardLog, StoreError, Vote};

/// Told once the write it came with is durable.
pub type Done = Box<dyn FnOnce() + Send>;

/// How long a committed mark may wait for company; it is only a hint for restarts.
const COMMITTED_DELAY: Duration = Duration::from_millis(100);
/// Appenders wait while more than this is queued.
const QUEUE_BYTES_MAX: usize = 64 << 20;

pub(super) enum Job {
    Append {
        log: Arc<ShardLog>,
        epoch: u64,
        entries: Vec<LogEntry>,
        done: Done,
    },
    Vote {
        shard: u32,
        vote: Vote,
        done: Done,
    },
    Committed {
        shard: u32,
        id: Option<LogId>,
    },
    /// Removes `[from, to]`.
    Truncate {
        shard: u32,
        from: u64,
        to: u64,
    },
    /// Removes `[from, id]`.
    Purge {
        shard: u32,
        from: u64,
        id: LogId,
        done: Done,
    },
}

impl Job {
    fn is_urgent(&self) -> bool {
        !matches!(self, Job::Committed { .. })
    }

    fn weight(&self) -> usize {
        match self {
            Job::Append { entries, .. } => entries.iter().map(LogEntry::weight).sum(),
            Job::Vote { .. } | Job::Committed { .. } | Job::Truncate { .. } | Job::Purge { .. } => 0,
        }
    }
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    urgent: bool,
    stop: bool,
}

/// Jobs in the order in which they must reach the disk.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    bytes: AtomicUsize,
    drained: Notify,
}

impl Queue {
    pub(super) fn push(&self, job: Job) -> Result<(), StoreError> {
        let urgent = job.is_urgent();
        let mut waiting = self.lock();
        if waiting.stop {
            return Err(StoreError::Stopped);
        }
        self.bytes.fetch_add(job.weight(), Ordering::Relaxed);
        waiting.jobs.push(job);
        let wake = (urgent && !waiting.urgent) || waiting.jobs.len() == 1;
        waiting.urgent |= urgent;
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until the queue is short enough to take more.
    pub(super) async fn room(&self) {
        loop {
            let drained = self.drained.notified();
            if self.bytes.load(Ordering::Relaxed) < QUEUE_BYTES_MAX {
                return;
            }
            drained.await;
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while holding the queue")
    }

    /// All jobs, once one of them is urgent or has waited long enough; `None` when stopped and empty.
    fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && !waiting.stop {
            waiting = self.arrived.wait(waiting).expect("nothing panics while holding the queue");
        }
        if !waiting.urgent && !waiting.stop {
            let patience = |waiting: &mut Waiting| !waiting.urgent && !waiting.stop;
            waiting = self
                .arrived
                .wait_timeout_while(waiting, COMMITTED_DELAY, patience)
                .expect("nothing panics while holding the queue")
                .0;
        }
        if waiting.jobs.is_empty() {
            return None;
        }
        waiting.urgent = false;
        Some(std::mem::take(&mut waiting.jobs))
    }
}

/// The body of the syncer thread. Without it nothing would ever be acknowledged, so its panic stops the process.
pub(super) fn run_or_stop(db: &DB, queue: &Queue) {
    let body = std::panic::AssertUnwindSafe(|| run(db, queue));
    if std::panic::catch_unwind(body).is_err() {
        fatal::stop("the log thread", "it panicked");
    }
}

/// Runs until the queue is stopped and empty.
fn run(db: &DB, queue: &Queue) {
    while let Some(jobs) = queue.take() {
        let bytes = jobs.iter().map(Job::weight).sum();
        metrics::histogram!(metric::LOG_QUEUE_JOBS).record(jobs.len() as f64);
        if let Err(error) = write(db, jobs) {
            fatal::stop("writing the log", error);
        }
        queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
        queue.drained.notify_waiters();
    }
    if let Err(error) = db.flush_wal(true) {
        fatal::stop("closing the log", error);
    }
}

fn write(db: &DB, jobs: Vec<Job>) -> Result<(), StoreError> {
    let io = |error: std::io::Error| StoreError::io("log", error);
    let mut batch = WriteBatch::default();
    let mut kinds = Kinds::default();
    for job in &jobs {
        add(db, &mut batch, job, &mut kinds)?;
    }
    if kinds.votes {
        failpoint::hit("log.before_vote").map_err(io)?;
    }
    if kinds.entries > 0 {
        failpoint::hit("log.before_append").map_err(io)?;
    }
    if kinds.purges {
        failpoint::hit("log.before_purge").map_err(io)?;
    }
    let mut options = WriteOptions::default();
    options.set_memtable_insert_hint_per_batch(true);
    db.write_opt(batch, &options).map_err(|error| StoreError::io("log write", error))?;
    if kinds.entries > 0 {
        failpoint::hit("log.after_append").map_err(io)?;
    }
    if cfg!(feature = "bug-ack-before-fsync") {
        return finish(db, jobs); // Planted: what is written counts as synced.
    }
    // Planted, with the feature: a vote is synced by whatever comes next.
    let votes = kinds.votes && !cfg!(feature = "bug-vote-nosync");
    let durable = kinds.entries > 0 || votes || kinds.purges;
    if durable {
        failpoint::hit("log.before_sync").map_err(io)?;
    }
    let started = Instant::now();
    db.flush_wal(durable).map_err(|error| StoreError::io("log sync", error))?;
    if durable {
        #[cfg(test)]
        super::test_disk::synced(db.path());
        failpoint::hit("log.after_sync").map_err(io)?;
        metrics::histogram!(metric::LOG_SYNC_SECONDS).record(started.elapsed().as_secs_f64());
        metrics::histogram!(metric::LOG_BATCH_ENTRIES).record(kinds.entries as f64);
    }
    if kinds.votes {
        failpoint::hit("log.after_vote").map_err(io)?;
    }
    finish(db, jobs)
}

#[derive(Default)]
struct Kinds {
    entries: usize,
    votes: bool,
    purges: bool,
}

fn add(db: &DB, batch: &mut WriteBatch, job: &Job, kinds: &mut Kinds) -> Result<(), StoreError> {
    let entries_family = family(db, ENTRIES)?;
    let meta_family = family(db, META)?;
    match job {
        Job::Append { log, entries, .. } => {
            kinds.entries += entries.len();
            for entry in entries {
                let key = log_rows::entry_key(log.shard(), entry.id.index);
                batch.put_cf(entries_family, key, log_rows::encode_entry(entry));
            }
        }
        Job::Vote { shard, vote, .. } => {
            kinds.votes = true;
            batch.put_cf(meta_family, log_rows::meta_key(*shard, Field::Vote), log_rows::encode_vote(*vote));
        }
        Job::Committed { shard, id } => {
            let key = log_rows::meta_key(*shard, Field::Committed);
            match id {
                Some(id) => batch.put_cf(meta_family, key, log_rows::encode_log_id(*id)),
                None => batch.delete_cf(meta_family, key),
            }
        }
        Job::Truncate { shard, from, to } => {
            let (from, to) = (log_rows::entry_key(*shard, *from), log_rows::entry_key(*shard, to + 1));
            batch.delete_range_cf(entries_family, from, to);
        }
        Job::Purge { shard, from, id, .. } => {
            kinds.purges = true;
            batch.put_cf(meta_family, log_rows::meta_key(*shard, Field::Purged), log_rows::encode_log_id(*id));
            let (from, to) = (log_rows::entry_key(*shard, *from), log_rows::entry_key(*shard, id.index + 1));
            batch.delete_range_cf(entries_family, from, to);
        }
    }
    Ok(())
}

/// Tells everyone in order, and gives the files of purged entries back.
fn finish(db: &DB, jobs: Vec<Job>) -> Result<(), StoreError> {
    for job in jobs {
        match job {
            Job::Append { log, epoch, entries, done } => {
                if let Some(last) = entries.last() {
                    log.mark_written(epoch, last.id.index);
                }
                done();
            }
            Job::Vote { done, .. } => done(),
            Job::Committed { .. } | Job::Truncate { .. } => {}
            Job::Purge { shard, from, id, done } => {
                let (from, to) = (log_rows::entry_key(shard, from), log_rows::entry_key(shard, id.index));
                db.delete_file_in_range_cf(family(db, ENTRIES)?, from, to)
                    .map_err(|error| StoreError::io("log purge", error))?;
                failpoint::hit("log.after_purge").map_err(|error| StoreError::io("log", error))?;
                done();
            }
        }
    }
    Ok(())
}

pub(super) fn family<'d>(db: &'d DB, name: &'static str) -> Result<&'d rocksdb::ColumnFamily, StoreError> {
    db.cf_handle(name).ok_or_else(|| StoreError::corrupt("log database", format!("no column family {name}")))
}
