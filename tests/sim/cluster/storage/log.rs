//! A node's log store and one shard's log. What is appended can be read at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{self, Disk, LogRows, Write};
use super::syncer::{self, Done, Job, Queue};
use super::{fatal, LogEntry, LogId, Resources, StoreError, Vote};
use crate::record;

/// Entries that need no disk to be read.
const TAIL_ENTRIES: u64 = 32;

pub struct LogStore {
    disk: Arc<Disk>,
    queue: Arc<Queue>,
    shards: Mutex<BTreeMap<u32, Arc<ShardLog>>>,
}

impl LogStore {
    pub fn open(directory: &Path, _resources: &Resources) -> Result<Arc<Self>, StoreError> {
        let (disk, queue) = (disk::of(directory), Arc::new(Queue::default()));
        // It ends with the node.
        tokio::spawn(syncer::run(disk.clone(), queue.clone()));
        Ok(Arc::new(Self { disk, queue, shards: Mutex::default() }))
    }

    pub fn shard(&self, shard: u32) -> Result<Arc<ShardLog>, StoreError> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = shards.get(&shard) {
            return Ok(log.clone());
        }
        let rows = self.disk.log(shard);
        record::with(|record| record.log_opened(self.disk.node, shard, &rows));
        let view = Mutex::new(View { rows, ..View::default() });
        let log = Arc::new(ShardLog { node: self.disk.node, shard, queue: self.queue.clone(), view });
        self.disk.opened(shard, log.clone());
        shards.insert(shard, log.clone());
        Ok(log)
    }

    pub fn close(&self) {}

    /// Disks here lose only what nobody was told of.
    pub fn fence(&self, why: &str) -> ! {
        fatal::stop("the log", why)
    }
}

pub struct ShardLog {
    node: u64,
    shard: u32,
    queue: Arc<Queue>,
    view: Mutex<View>,
}

/// What the node sees: everything it wrote, safe or not.
#[derive(Default)]
struct View {
    rows: LogRows,
    appended_bytes: u64,
    appended_entries: u64,
}

impl ShardLog {
    fn change(&self, view: &mut View, write: Write, done: Option<Done>) {
        view.rows.take(&write);
        self.queue.push(Job { shard: self.shard, write, done });
    }

    pub fn shard(&self) -> u32 {
        self.shard
    }

    pub fn bounds(&self) -> (Option<LogId>, Option<LogId>) {
        let view = self.lock();
        (view.rows.purged, view.rows.last())
    }

    pub fn vote(&self) -> Option<Vote> {
        self.lock().rows.vote
    }

    pub fn committed(&self) -> Option<LogId> {
        self.lock().rows.committed
    }

    /// Whether the entry is there, or was purged.
    pub fn holds(&self, id: LogId) -> Result<bool, StoreError> {
        let view = self.lock();
        let purged = view.rows.purged.is_some_and(|purged| purged.index >= id.index);
        Ok(purged || view.rows.entries.get(&id.index).is_some_and(|entry| entry.id == id))
    }

    pub fn appended_bytes(&self) -> u64 {
        self.lock().appended_bytes
    }

    pub fn mean_entry_bytes(&self) -> u64 {
        let view = self.lock();
        view.appended_bytes.checked_div(view.appended_entries).unwrap_or(0)
    }

    pub fn save_vote(&self, vote: Vote, done: Done) -> Result<(), StoreError> {
        let (node, shard) = (self.node, self.shard);
        let done: Done = Box::new(move || {
            record::with(|record| record.voted(node, shard, vote));
            done();
        });
        self.change(&mut self.lock(), Write::Vote(vote), Some(done));
        Ok(())
    }

    pub fn save_committed(&self, id: Option<LogId>) -> Result<(), StoreError> {
        self.change(&mut self.lock(), Write::Committed(id), None);
        Ok(())
    }

    pub async fn room(&self) {}

    pub fn append(&self, entries: Vec<LogEntry>, done: Done) -> Result<(), StoreError> {
        let mut view = self.lock();
        let mut last = view.rows.last();
        for entry in &entries {
            if last.is_some_and(|last| entry.id.index != last.index + 1) {
                return Err(StoreError::corrupt("append", format!("{} after {last:?}", entry.id.index)));
            }
            last = Some(entry.id);
            view.appended_bytes += entry.weight() as u64;
            view.appended_entries += 1;
        }
        self.change(&mut view, Write::Append(entries), Some(done));
        Ok(())
    }

    pub fn truncate_after(&self, last: Option<LogId>) -> Result<(), StoreError> {
        let mut view = self.lock();
        let from = last.map_or(0, |id| id.index + 1);
        if view.rows.entries.range(from..).next().is_some() {
            self.change(&mut view, Write::Truncate(from), None);
        }
        Ok(())
    }

    pub fn purge(&self, id: LogId, done: Done) -> Result<(), StoreError> {
        let mut view = self.lock();
        if view.rows.purged.is_some_and(|purged| purged.index >= id.index) {
            drop(view);
            done();
            return Ok(());
        }
        self.change(&mut view, Write::Purge(id), Some(done));
        Ok(())
    }

    pub fn is_in_memory(&self, from: u64) -> bool {
        self.lock().rows.last().is_none_or(|last| from + TAIL_ENTRIES > last.index)
    }

    pub fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<LogEntry>, StoreError> {
        let mut bytes = 0;
        let view = self.lock();
        let until_full = |entry: &&LogEntry| {
            let room = bytes == 0 || bytes < bytes_max;
            bytes += entry.weight();
            room
        };
        Ok(view
            .rows
            .entries
            .range(from..to.max(from))
            .map(|(_, entry)| entry)
            .take_while(until_full)
            .cloned()
            .collect())
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
