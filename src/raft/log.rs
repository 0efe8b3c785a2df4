//! openraft's log store over a shard's log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures::{stream, Stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::codec;
use super::types::{RaftEntry, RaftLogId, RaftVote, TypeConfig};
use crate::storage::{work, Done, LogEntry, ShardLog, StoreError};

/// Bytes of entries that apply holds at a time.
const APPLY_PAGE_BYTES: usize = 4 << 20;

#[derive(Clone)]
pub struct Log {
    log: Arc<ShardLog>,
    /// Bytes of entries in one message to a follower.
    append_bytes_max: usize,
}

impl Log {
    pub fn new(log: Arc<ShardLog>, append_bytes_max: usize) -> Self {
        Self { log, append_bytes_max }
    }

    /// Reads without blocking the runtime: the newest entries are in memory, older ones need the disk.
    async fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<RaftEntry>> {
        let found = if self.log.is_in_memory(from) {
            self.log.read(from, to, bytes_max)?
        } else {
            let log = self.log.clone();
            work::blocking(move || log.read(from, to, bytes_max))
                .await
                .map_err(|error| io::Error::other(format!("reading the log: {error}")))??
        };
        decode(found)
    }
}

fn decode(entries: Vec<LogEntry>) -> io::Result<Vec<RaftEntry>> {
    Ok(entries.into_iter().map(codec::entry_from_store).collect::<Result<_, StoreError>>()?)
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(from) => from.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => to.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<TypeConfig> for Log {
    /// In pages, so that a long tail to apply is never in memory as a whole.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<RaftEntry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let pages = stream::unfold(Some((self.clone(), from)), move |state| async move {
            let (log, from) = state?;
            if from >= to {
                return None;
            }
            match log.read(from, to, APPLY_PAGE_BYTES).await {
                Ok(page) => {
                    let next = page.last().map(|entry| entry.log_id.index + 1)?;
                    Some((page.into_iter().map(Ok).collect::<Vec<_>>(), Some((log, next))))
                }
                Err(error) => Some((vec![Err(error)], None)),
            }
        });
        Box::pin(futures::StreamExt::flat_map(pages, stream::iter))
    }

    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<RaftEntry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        Ok(self.log.vote().map(codec::vote_from_store))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        self.read(start, end, self.append_bytes_max).await
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let (purged, last) = self.log.bounds();
        Ok(LogState {
            last_purged_log_id: purged.map(codec::log_id_from_store),
            last_log_id: last.map(codec::log_id_from_store),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        let (done, durable) = signal();
        self.log.save_vote(codec::vote_to_store(vote), done)?;
        wait(durable).await
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> io::Result<()> {
        Ok(self.log.save_committed(committed.as_ref().map(codec::log_id_to_store))?)
    }

    async fn read_committed(&mut self) -> io::Result<Option<RaftLogId>> {
        Ok(self.log.committed().map(codec::log_id_from_store))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(codec::entry_to_store).collect();
        self.log.room().await;
        Ok(self.log.append(entries, Box::new(move || callback.io_completed(Ok(()))))?)
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> io::Result<()> {
        Ok(self.log.truncate_after(last.as_ref().map(codec::log_id_to_store))?)
    }

    /// Does not wait for the disk, for which a leader's heartbeats would wait, too: the journal keeps the order, and a purge
    /// that a crash takes back leaves more log than is needed.
    async fn purge(&mut self, id: RaftLogId) -> io::Result<()> {
        Ok(self.log.purge(codec::log_id_to_store(&id), Box::new(|| {}))?)
    }
}

fn signal() -> (Done, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let done: Done = Box::new(move || {
        // Nobody waits any more when the group is being stopped.
        sender.send(()).ok();
    });
    (done, receiver)
}

async fn wait(durable: oneshot::Receiver<()>) -> io::Result<()> {
    Ok(durable.await.map_err(|_| StoreError::Stopped)?)
}
