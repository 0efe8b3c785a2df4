//! The disks of the nodes. They outlive what runs on the nodes, less what a crash takes.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::state::StateFiles;
use super::{LogEntry, LogId, ShardLog, Vote};
use crate::record;

static DISKS: Mutex<BTreeMap<u64, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// One change of a shard's log.
#[derive(Debug, Clone)]
pub enum Write {
    Append(Vec<LogEntry>),
    Vote(Vote),
    Committed(Option<LogId>),
    /// Removes the entries from this index on.
    Truncate(u64),
    /// Removes the entries up to this one.
    Purge(LogId),
}

/// A shard's log as it lies on a disk.
#[derive(Debug, Clone, Default)]
pub struct LogRows {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub entries: BTreeMap<u64, LogEntry>,
}

impl LogRows {
    pub fn take(&mut self, write: &Write) {
        match write {
            Write::Append(entries) => self.entries.extend(entries.iter().map(|entry| (entry.id.index, entry.clone()))),
            Write::Vote(vote) => self.vote = Some(*vote),
            Write::Committed(id) => self.committed = *id,
            Write::Truncate(from) => drop(self.entries.split_off(from)),
            Write::Purge(id) => {
                self.purged = Some(*id);
                self.entries = self.entries.split_off(&(id.index + 1));
            }
        }
    }

    /// The last entry, or the purged one if there is none.
    pub fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.id).or(self.purged)
    }
}

/// How a node stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process: the system still writes what it was given.
    Kill,
    /// The machine: of what was not synced any prefix is there.
    PowerCut,
}

pub struct Disk {
    pub node: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What is safe.
    logs: BTreeMap<u32, LogRows>,
    /// What is written and not synced, of all shards, in order.
    unsynced: Vec<(u32, Write)>,
    states: BTreeMap<u32, Arc<Mutex<StateFiles>>>,
    /// How far the logs had come for certain.
    notes: BTreeMap<u32, Option<u64>>,
    /// The logs in use.
    open: BTreeMap<u32, Arc<ShardLog>>,
    /// No sync ends before.
    stalled_until: Duration,
    /// A sync takes up to this many milliseconds, mostly.
    slowness: u64,
}

pub fn of_node(node: u64) -> Arc<Disk> {
    let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    disks.entry(node).or_insert_with(|| Arc::new(Disk { node, inner: Mutex::default() })).clone()
}

/// The disk that a path is on: the first directory is named after the node.
pub fn of(path: &Path) -> Arc<Disk> {
    let number = |part: Component<'_>| part.as_os_str().to_str()?.parse().ok();
    of_node(path.components().find_map(number).unwrap_or(0))
}

impl Disk {
    pub fn log(&self, shard: u32) -> LogRows {
        self.lock().logs.get(&shard).cloned().unwrap_or_default()
    }

    pub fn state(&self, shard: u32) -> Arc<Mutex<StateFiles>> {
        self.lock().states.entry(shard).or_default().clone()
    }

    /// The last entry that is safe.
    pub fn synced(&self, shard: u32) -> Option<u64> {
        self.lock().logs.get(&shard).and_then(|rows| rows.last()).map(|id| id.index)
    }

    pub fn noted(&self, shard: u32) -> Option<u64> {
        self.lock().notes.get(&shard).copied().flatten()
    }

    pub fn note(&self, shard: u32, index: Option<u64>) {
        self.lock().notes.insert(shard, index);
    }

    pub fn opened(&self, shard: u32, log: Arc<ShardLog>) {
        self.lock().open.insert(shard, log);
    }

    pub fn open_log(&self, shard: u32) -> Option<Arc<ShardLog>> {
        self.lock().open.get(&shard).cloned()
    }

    pub fn write(&self, writes: impl IntoIterator<Item = (u32, Write)>) {
        self.lock().unsynced.extend(writes);
    }

    pub fn sync(&self) {
        let mut inner = self.lock();
        let count = inner.unsynced.len();
        inner.keep(count);
    }

    /// How long the next sync takes.
    pub fn sync_time(&self) -> Duration {
        let (slowness, stalled_until) = {
            let inner = self.lock();
            (inner.slowness, inner.stalled_until)
        };
        record::with(|record| {
            let usual = record.random.below(slowness + 1);
            let hiccup = if record.random.percent(2) { record.random.below(120) } else { 0 };
            Duration::from_millis(usual + hiccup) + stalled_until.saturating_sub(record.now)
        })
    }

    pub fn set_slowness(&self, millis: u64) {
        self.lock().slowness = millis;
    }

    pub fn stall(&self, until: Duration) {
        self.lock().stalled_until = until;
    }

    /// What is left after a crash is what the next start finds. Tells how many unsynced writes are gone.
    pub fn crash(&self, how: Crash) -> usize {
        let mut inner = self.lock();
        inner.open.clear();
        let unsynced = inner.unsynced.len();
        let kept = match how {
            Crash::Kill => unsynced,
            Crash::PowerCut => record::with(|record| record.random.index(unsynced + 1)),
        };
        inner.keep(kept);
        inner.unsynced.clear();
        for state in inner.states.values() {
            state.lock().unwrap_or_else(PoisonError::into_inner).crash();
        }
        unsynced - kept
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes the first `count` writes safe.
    fn keep(&mut self, count: usize) {
        for (shard, write) in self.unsynced.drain(..count) {
            self.logs.entry(shard).or_default().take(&write);
        }
    }
}
