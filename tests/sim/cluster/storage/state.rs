//! One shard's rows, what has been applied to them, and its snapshots.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use proto::everstep::peer::v1 as peer;

use super::disk::{self, Disk};
use super::rows::{Row, Rows};
use super::{Checkpoint, LogId, Receiver, Resources, Snapshot, StoreError};
use crate::record;

/// What lies on the disk.
#[derive(Default)]
pub struct StateFiles {
    rows: Arc<Mutex<Rows>>,
    checkpoint: Option<Arc<Checkpoint>>,
}

impl StateFiles {
    /// Of what was not flushed any number of batches may be there: a store flushes when it likes.
    pub fn crash(&mut self) {
        let mut rows = lock(&self.rows);
        let at_risk = rows.unsafe_versions();
        let lost = record::with(|record| match record.random.percent(50) {
            true => at_risk,
            false => record.random.below(at_risk + 1),
        });
        rows.lose(lost);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub applied: Option<LogId>,
    pub membership: Option<Bytes>,
    pub durable: Option<LogId>,
    pub unflushed_bytes: u64,
    pub unflushed_since: Option<Instant>,
}

pub struct Cut {
    progress: Progress,
    rows: Vec<Row>,
}

pub struct StateStore {
    shard: u32,
    disk: Arc<Disk>,
    files: Arc<Mutex<StateFiles>>,
    progress: Mutex<Progress>,
}

impl StateStore {
    pub fn open(directory: &Path, _resources: &Resources) -> Result<Self, StoreError> {
        let shard = directory.file_name().and_then(|name| name.to_str()?.parse().ok());
        let shard = shard.ok_or_else(|| StoreError::corrupt("state directory", directory.display()))?;
        let disk = disk::of(directory);
        let files = disk.state(shard);
        let progress = read_progress(&lock(&lock(&files).rows));
        record::with(|record| record.state_opened(disk.node, shard, progress.applied));
        Ok(Self { shard, disk, files, progress: Mutex::new(progress) })
    }

    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    fn rows(&self) -> Arc<Mutex<Rows>> {
        lock(&self.files).rows.clone()
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.rows())
    }

    pub fn write(
        &self,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        applied: LogId,
        membership: Option<Bytes>,
        log_bytes: u64,
    ) -> Result<(), StoreError> {
        let before = self.progress().applied;
        let digest = {
            let store = self.rows();
            let mut store = lock(&store);
            if cfg!(feature = "bug-apply-nonatomic") {
                store.write([], applied, None); // Planted: what is applied is written down on its own, before the rows.
            }
            store.write(rows, applied, membership.clone())
        };
        {
            let mut progress = lock(&self.progress);
            progress.applied = Some(applied);
            progress.membership = membership.or(progress.membership.take());
            progress.unflushed_bytes += log_bytes;
            progress.unflushed_since.get_or_insert_with(Instant::now);
        }
        let log = self.disk.open_log(self.shard);
        let from = before.map_or(0, |id| id.index + 1);
        let entries = log.map(|log| log.read(from, applied.index + 1, usize::MAX)).transpose()?.unwrap_or_default();
        record::with(|record| record.applied(self.disk.node, self.shard, applied, digest, &entries));
        Ok(())
    }

    pub fn flush(&self) -> Result<(), StoreError> {
        lock(&self.rows()).flush();
        let mut progress = lock(&self.progress);
        progress.durable = progress.applied;
        progress.unflushed_bytes = 0;
        progress.unflushed_since = None;
        Ok(())
    }

    pub fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        lock(&self.files).checkpoint.clone()
    }

    pub fn cut_checkpoint(&self) -> Result<Cut, StoreError> {
        self.flush()?;
        Ok(Cut { progress: self.progress(), rows: lock(&self.rows()).all() })
    }

    pub fn finish_checkpoint(&self, cut: Cut) -> Result<Arc<Checkpoint>, StoreError> {
        // Planted, with the feature: the snapshot stands for entries that came after the cut, and the log loses them.
        let progress = if cfg!(feature = "bug-purge-past-flush") { self.progress() } else { cut.progress };
        let manifest = peer::SnapshotManifest {
            last: progress.applied.map(|id| peer::LogId { term: id.term, leader: id.leader, index: id.index }),
            membership: progress.membership.unwrap_or_default(),
            files: Vec::new(),
        };
        let checkpoint = Arc::new(Checkpoint::new(cut.rows, manifest));
        lock(&self.files).checkpoint = Some(checkpoint.clone());
        record::with(|record| record.counted("snapshots built"));
        Ok(checkpoint)
    }

    pub fn receive(&self, manifest: peer::SnapshotManifest) -> Result<Receiver, StoreError> {
        Ok(Receiver::new(manifest))
    }

    pub fn install(&self, checkpoint: &Arc<Checkpoint>) -> Result<(), StoreError> {
        let membership = Some(checkpoint.manifest().membership.clone()).filter(|bytes| !bytes.is_empty());
        let rows = Rows::filled(checkpoint.rows(), checkpoint.last(), membership);
        let digest = rows.mark().map_or(0, |mark| mark.digest);
        *lock(&self.progress) = read_progress(&rows);
        {
            let mut files = lock(&self.files);
            files.rows = Arc::new(Mutex::new(rows));
            files.checkpoint = Some(checkpoint.clone());
        }
        if let Some(last) = checkpoint.last() {
            record::with(|record| record.installed(self.disk.node, self.shard, last, digest));
        }
        Ok(())
    }
}

fn read_progress(rows: &Rows) -> Progress {
    let applied = rows.mark().map(|mark| mark.applied);
    let membership = rows.mark().and_then(|mark| mark.membership.clone());
    Progress { applied, membership, durable: applied, unflushed_bytes: 0, unflushed_since: None }
}
