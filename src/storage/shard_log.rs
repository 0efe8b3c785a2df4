//! One shard's log: the handle through which it is appended, read, cut and purged.

use std::sync::{Arc, Mutex};

use rocksdb::{IteratorMode, ReadOptions, DB};

use super::log_rows::{self, Field, ENTRIES, META};
use super::syncer::{family, Done, Job, Queue};
use super::tail::Tail;
use super::{LogEntry, LogId, StoreError, Vote};

pub struct ShardLog {
    shard: u32,
    db: Arc<DB>,
    queue: Arc<Queue>,
    tail_bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    /// Index of the first entry, where that is not the one after the purged one: a log may begin anywhere.
    begin: u64,
    /// The last entry, or the purged one if there is none.
    last: Option<LogId>,
    tail: Tail,
    /// Counts truncations, so that the syncer does not take entries for written that replaced the ones it wrote.
    epoch: u64,
    /// Bytes appended since the log was opened.
    appended_bytes: u64,
    appended_entries: u64,
}

impl State {
    /// Index of the first entry the log has or will have.
    fn first_index(&self) -> u64 {
        self.purged.map_or(0, |id| id.index + 1).max(self.begin)
    }

    fn next_index(&self) -> u64 {
        self.last.map_or(0, |id| id.index + 1)
    }
}

impl ShardLog {
    pub(super) fn open(
        shard: u32,
        db: Arc<DB>,
        queue: Arc<Queue>,
        tail_bytes_max: usize,
    ) -> Result<Arc<Self>, StoreError> {
        let meta = |field| {
            db.get_cf(family(&db, META)?, log_rows::meta_key(shard, field))
                .map_err(|error| StoreError::io("log read", error))
        };
        let mut state = State {
            vote: meta(Field::Vote)?.map(|value| log_rows::decode_vote(&value)).transpose()?,
            committed: meta(Field::Committed)?.map(|value| log_rows::decode_log_id(&value)).transpose()?,
            purged: meta(Field::Purged)?.map(|value| log_rows::decode_log_id(&value)).transpose()?,
            ..State::default()
        };
        let from = state.first_index();
        state.begin = end_entry(&db, shard, from, IteratorMode::Start)?.map_or(0, |first| first.index);
        state.last = end_entry(&db, shard, from, IteratorMode::End)?.or(state.purged);
        Ok(Arc::new(Self { shard, db, queue, tail_bytes_max, state: Mutex::new(state) }))
    }

    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// The last purged entry, and the last entry (the purged one if there is no other).
    pub fn bounds(&self) -> (Option<LogId>, Option<LogId>) {
        let state = self.lock();
        (state.purged, state.last)
    }

    /// Whether the entry is there, or was purged.
    pub fn holds(&self, id: LogId) -> Result<bool, StoreError> {
        if self.bounds().0.is_some_and(|purged| purged.index >= id.index) {
            return Ok(true);
        }
        Ok(self.read(id.index, id.index + 1, 1)?.first().is_some_and(|entry| entry.id == id))
    }

    /// The last entry known to be synced; `None` until something is appended.
    pub fn synced(&self) -> Option<u64> {
        self.lock().tail.last_written()
    }

    pub fn vote(&self) -> Option<Vote> {
        self.lock().vote
    }

    pub fn committed(&self) -> Option<LogId> {
        self.lock().committed
    }

    /// Bytes appended since the log was opened.
    pub fn appended_bytes(&self) -> u64 {
        self.lock().appended_bytes
    }

    /// What an entry appended since the log was opened weighs on average.
    pub fn mean_entry_bytes(&self) -> u64 {
        let state = self.lock();
        state.appended_bytes.checked_div(state.appended_entries).unwrap_or(0)
    }

    /// `done` runs once the vote is durable.
    pub fn save_vote(&self, vote: Vote, done: Done) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.vote = Some(vote);
        self.queue.push(Job::Vote { shard: self.shard, vote, done })
    }

    /// Becomes durable with the next write of any shard, or soon.
    pub fn save_committed(&self, id: Option<LogId>) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.committed = id;
        self.queue.push(Job::Committed { shard: self.shard, id })
    }

    /// Waits while too much is queued for the disk.
    pub async fn room(&self) {
        self.queue.room().await;
    }

    /// The entries can be read once this returns; `done` runs once they are durable.
    pub fn append(self: &Arc<Self>, entries: Vec<LogEntry>, done: Done) -> Result<(), StoreError> {
        let mut state = self.lock();
        for entry in &entries {
            let next = state.next_index();
            if state.last.is_some() && entry.id.index != next {
                return Err(StoreError::corrupt("append", format!("{} after {:?}", entry.id.index, state.last)));
            }
            if state.last.is_none() {
                state.begin = entry.id.index;
            }
            state.appended_bytes += entry.weight() as u64;
            state.appended_entries += 1;
            state.last = Some(entry.id);
            state.tail.push(entry.clone());
        }
        self.queue.push(Job::Append { log: self.clone(), epoch: state.epoch, entries, done })
    }

    /// Removes the entries after `last`.
    pub fn truncate_after(&self, last: Option<LogId>) -> Result<(), StoreError> {
        let mut state = self.lock();
        let from = last.map_or(0, |id| id.index + 1).max(state.first_index());
        let Some(end) = state.last.filter(|end| end.index >= from) else { return Ok(()) };
        state.tail.truncate(from);
        state.epoch += 1;
        state.last = last.or(state.purged);
        self.queue.push(Job::Truncate { shard: self.shard, from, to: end.index })
    }

    /// Removes the entries up to `id`; `done` runs once that is durable.
    pub fn purge(&self, id: LogId, done: Done) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.purged.is_some_and(|purged| purged.index >= id.index) {
            drop(state);
            done();
            return Ok(());
        }
        let from = state.first_index();
        state.tail.purge(id.index);
        state.purged = Some(id);
        if state.last.is_none_or(|last| last.index <= id.index) {
            state.last = Some(id);
            state.epoch += 1;
        }
        self.queue.push(Job::Purge { shard: self.shard, from, id, done })
    }

    pub(super) fn mark_written(&self, epoch: u64, index: u64) {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.tail.mark_written(index, self.tail_bytes_max);
        }
    }

    /// Whether reading from `from` needs no disk.
    pub fn is_in_memory(&self, from: u64) -> bool {
        let state = self.lock();
        from >= state.next_index() || state.tail.first().is_some_and(|first| first <= from)
    }

    /// Entries of `[from, to)` that the log has, in order, at least one if there is any, until they weigh `bytes_max`. They
    /// are of one moment, also if the log is cut or purged meanwhile.
    pub fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<LogEntry>, StoreError> {
        let mut found = Vec::new();
        let (mut bytes, mut next, mut epoch) = (0, from, None);
        loop {
            let older_end = {
                let state = self.lock();
                let is_cut = epoch.replace(state.epoch).is_some_and(|before| before != state.epoch);
                if is_cut || (!found.is_empty() && next < state.first_index()) {
                    // What was found may be gone, and what follows it now something else.
                    found.clear();
                    (bytes, next) = (0, from);
                }
                next = next.max(state.first_index());
                let end = to.min(state.next_index());
                if next >= end || (bytes >= bytes_max && !found.is_empty()) {
                    return Ok(found);
                }
                match state.tail.first() {
                    Some(first) if first <= next => {
                        state.tail.read(next, end, bytes_max, &mut bytes, &mut found);
                        return Ok(found);
                    }
                    Some(first) => end.min(first),
                    None => end,
                }
            };
            let before = next;
            self.read_older(&mut next, older_end, bytes_max, &mut bytes, &mut found)?;
            if next == before && self.lacks(next, epoch) {
                return Err(StoreError::corrupt("log", format!("shard {} has no entry {next}", self.shard)));
            }
        }
    }

    /// Whether an entry that was not found has to be in the database, because the log was not cut since `epoch`.
    fn lacks(&self, index: u64, epoch: Option<u64>) -> bool {
        let state = self.lock();
        let is_older = state.tail.first().is_none_or(|first| index < first);
        epoch == Some(state.epoch) && (state.first_index()..state.next_index()).contains(&index) && is_older
    }

    /// Reads `[next, end)` from the database and moves `next` past what was found.
    fn read_older(
        &self,
        next: &mut u64,
        end: u64,
        bytes_max: usize,
        bytes: &mut usize,
        found: &mut Vec<LogEntry>,
    ) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(log_rows::entry_key(self.shard, *next));
        options.set_iterate_upper_bound(log_rows::entry_key(self.shard, end));
        options.fill_cache(false);
        for row in self.db.iterator_cf_opt(family(&self.db, ENTRIES)?, options, IteratorMode::Start) {
            let (key, value) = row.map_err(|error| StoreError::io("log read", error))?;
            let entry = log_rows::decode_entry(&key, &value)?;
            if entry.id.index != *next {
                // Purged or cut while reading: the caller looks again.
                return Ok(());
            }
            *bytes += entry.weight();
            *next += 1;
            found.push(entry);
            if *bytes >= bytes_max {
                return Ok(());
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding a log's state")
    }
}

/// The first or last entry from index `first` on.
fn end_entry(db: &DB, shard: u32, first: u64, end: IteratorMode<'_>) -> Result<Option<LogId>, StoreError> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(log_rows::entry_key(shard, first));
    options.set_iterate_upper_bound(log_rows::entry_key(shard, u64::MAX));
    match db.iterator_cf_opt(family(db, ENTRIES)?, options, end).next() {
        Some(Ok((key, value))) => Ok(Some(log_rows::decode_entry(&key, &value)?.id)),
        Some(Err(error)) => Err(StoreError::io("log read", error)),
        None => Ok(None),
    }
}
