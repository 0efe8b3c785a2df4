//! One shard's rows, what has been applied to them, and its snapshots.
//!
//! `state/<shard>/`: `LIVE` names the generation in use; `gen-<n>/` is a database; `snap-<n>/` a complete snapshot;
//! `tmp-<n>/` is unfinished and removed at start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use bytes::Bytes;
use proto::everstep::peer::v1 as peer;
use rocksdb::{WriteBatch, WriteOptions};

use super::checkpoint::{write_manifest, HashCache};
use super::generation::{Generation, RemoveLater};
use super::options::{create_dir, sync_dir};
use super::{failpoint, log_rows, metric, Checkpoint, LogId, Receiver, Resources, Snapshot, StoreError};

/// Keys of the store's own rows start with this; those of the state machine sort before it.
pub(super) const META_PREFIX: &[u8] = &[0xff; 4];
pub(super) const META_APPLIED: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1];
const META_MEMBERSHIP: &[u8] = &[0xff, 0xff, 0xff, 0xff, 2];
const LIVE: &str = "LIVE";

/// How far a state store has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub applied: Option<LogId>,
    /// The membership in force at `applied`, encoded by the caller.
    pub membership: Option<Bytes>,
    /// Applied entries up to here survive a crash without the log.
    pub durable: Option<LogId>,
    /// Log bytes applied since the last flush.
    pub unflushed_bytes: u64,
    /// When the first of them was applied.
    pub unflushed_since: Option<Instant>,
}

/// A frozen state that is not a snapshot yet.
pub struct Cut {
    number: u64,
    directory: PathBuf,
    progress: Progress,
}

pub struct StateStore {
    directory: PathBuf,
    resources: Resources,
    generation: RwLock<Arc<Generation>>,
    progress: Mutex<Progress>,
    /// Held while a batch is written and while a checkpoint is cut, so that a checkpoint ends at a known entry.
    gate: Mutex<()>,
    /// Held, for as long as files are hashed and synced, by whatever makes or installs snapshots.
    making: Mutex<()>,
    /// The newest complete snapshot. Never held while the disk is waited for.
    newest: Mutex<Option<Arc<Checkpoint>>>,
    hashes: HashCache,
    /// Numbers directories; never reused while the process runs.
    next_number: AtomicU64,
}

impl StateStore {
    /// Opens or creates the store in `directory` and removes what a crash left unfinished.
    pub fn open(directory: &Path, resources: &Resources) -> Result<Self, StoreError> {
        let io = |error: std::io::Error| StoreError::io("state directory", error);
        create_dir(directory).map_err(io)?;
        let live = match fs_err::read_to_string(directory.join(LIVE)) {
            Ok(name) => name.trim().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_live(directory, "gen-1").map_err(io)?;
                "gen-1".to_owned()
            }
            Err(error) => return Err(io(error)),
        };
        let (current, highest) = clean(directory, &live).map_err(io)?;
        let generation = Arc::new(Generation::open(directory.join(&live), resources)?);
        let progress = read_progress(&generation)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            resources: resources.clone(),
            generation: RwLock::new(generation),
            progress: Mutex::new(progress),
            gate: Mutex::default(),
            making: Mutex::default(),
            newest: Mutex::new(current.map(Arc::new)),
            hashes: HashCache::default(),
            next_number: AtomicU64::new(highest + 1),
        })
    }

    pub fn progress(&self) -> Progress {
        self.lock_progress().clone()
    }

    /// A consistent view of the rows after the last batch.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.generation())
    }

    /// Writes the rows that entries up to `applied` changed, and that mark, in one batch. Not durable until a flush.
    pub fn write(
        &self,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        applied: LogId,
        membership: Option<Bytes>,
        log_bytes: u64,
    ) -> Result<(), StoreError> {
        let io = |error: std::io::Error| StoreError::io("state write", error);
        let mut batch = WriteBatch::default();
        for (key, value) in rows {
            if key.starts_with(META_PREFIX) {
                return Err(StoreError::corrupt("row", "its key is in the store's own range"));
            }
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch.put(META_APPLIED, log_rows::encode_log_id(applied));
        if let Some(membership) = &membership {
            batch.put(META_MEMBERSHIP, membership);
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        options.set_memtable_insert_hint_per_batch(true);
        if cfg!(feature = "bug-apply-nonatomic") {
            // Planted: what is applied is written down on its own, a moment before the rows.
            let applied = log_rows::encode_log_id(applied);
            let written = self.generation().db.put_opt(META_APPLIED, applied, &options);
            written.map_err(|error| StoreError::io("state write", error))?;
        }
        failpoint::hit("apply.before_write").map_err(io)?;
        let gate = self.lock_gate();
        self.generation().db.write_opt(batch, &options).map_err(|error| StoreError::io("state write", error))?;
        {
            let mut progress = self.lock_progress();
            progress.applied = Some(applied);
            progress.membership = membership.or(progress.membership.take());
            progress.unflushed_bytes += log_bytes;
            progress.unflushed_since.get_or_insert_with(Instant::now);
        }
        drop(gate);
        failpoint::hit("apply.after_write").map_err(io)
    }

    /// Makes what is applied durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        let io = |error: std::io::Error| StoreError::io("state flush", error);
        let before = self.progress();
        if before.applied == before.durable {
            return Ok(());
        }
        failpoint::hit("state.before_flush").map_err(io)?;
        let started = Instant::now();
        self.generation().db.flush().map_err(|error| StoreError::io("state flush", error))?;
        #[cfg(test)]
        super::test_disk::synced(&self.directory);
        failpoint::hit("state.after_flush").map_err(io)?;
        metrics::histogram!(metric::STATE_FLUSH_SECONDS).record(started.elapsed().as_secs_f64());
        let mut progress = self.lock_progress();
        progress.durable = progress.durable.max(before.applied);
        progress.unflushed_bytes = progress.unflushed_bytes.saturating_sub(before.unflushed_bytes);
        progress.unflushed_since = (progress.applied > progress.durable).then(Instant::now);
        Ok(())
    }

    /// The newest complete snapshot.
    pub fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        self.lock_newest().clone()
    }

    /// Freezes everything applied so far in a directory of hard links. Batches wait meanwhile, so flush before.
    pub fn cut_checkpoint(&self) -> Result<Cut, StoreError> {
        let io = |error: std::io::Error| StoreError::io("building a snapshot", error);
        self.flush()?;
        let number = self.number();
        let directory = self.directory.join(format!("tmp-{number}"));
        failpoint::hit("state.before_checkpoint").map_err(io)?;
        let _gate = self.lock_gate();
        self.flush()?;
        rocksdb::checkpoint::Checkpoint::new(&self.generation().db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(&directory))
            .map_err(|error| StoreError::io("building a snapshot", error))?;
        Ok(Cut { number, directory, progress: self.progress() })
    }

    /// Makes a cut a complete snapshot, which replaces the last one; unless that is newer, because it was installed since the
    /// cut.
    pub fn finish_checkpoint(&self, cut: Cut) -> Result<Arc<Checkpoint>, StoreError> {
        let io = |error: std::io::Error| StoreError::io("building a snapshot", error);
        let _making = self.lock_making();
        // Planted, with the feature: the snapshot stands for entries that came after the cut, and the log loses them.
        let progress = if cfg!(feature = "bug-purge-past-flush") { self.progress() } else { cut.progress };
        if let Some(newer) = self.checkpoint().filter(|newest| newest.last() > progress.applied) {
            fs_err::remove_dir_all(&cut.directory).map_err(io)?;
            return Ok(newer);
        }
        let manifest = peer::SnapshotManifest {
            last: progress.applied.map(|id| peer::LogId { term: id.term, leader: id.leader, index: id.index }),
            membership: progress.membership.unwrap_or_default(),
            files: self.hashes.list(&cut.directory).map_err(io)?,
        };
        write_manifest(&cut.directory, &manifest)?;
        failpoint::hit("state.after_checkpoint").map_err(io)?;
        let path = self.directory.join(format!("snap-{}", cut.number));
        fs_err::rename(&cut.directory, &path).and_then(|()| sync_dir(&self.directory)).map_err(io)?;
        #[cfg(test)]
        super::test_disk::synced(&self.directory);
        let checkpoint = Arc::new(Checkpoint::new(RemoveLater::new(path), manifest));
        self.replace_newest(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Prepares a directory for a snapshot that another node sends.
    pub fn receive(&self, manifest: peer::SnapshotManifest) -> Result<Receiver, StoreError> {
        let directory = self.directory.join(format!("tmp-{}", self.number()));
        create_dir(&directory).map_err(|error| StoreError::io("receiving a snapshot", error))?;
        Receiver::new(RemoveLater::new(directory), manifest)
    }

    /// Replaces the rows by those of `checkpoint`, atomically even over a crash, and keeps it as the newest snapshot.
    pub fn install(&self, checkpoint: &Arc<Checkpoint>) -> Result<(), StoreError> {
        let io = |error: std::io::Error| StoreError::io("installing a snapshot", error);
        let _making = self.lock_making();
        let number = self.number();
        let name = format!("gen-{number}");
        let path = self.directory.join(&name);
        failpoint::hit("install.before_links").map_err(io)?;
        checkpoint.link_to(&path).map_err(io)?;
        failpoint::hit("install.after_links").map_err(io)?;
        let kept = self.directory.join(format!("snap-{number}"));
        let temporary = self.directory.join(format!("tmp-{number}"));
        checkpoint.link_to(&temporary).map_err(io)?;
        write_manifest(&temporary, checkpoint.manifest())?;

        let gate = self.lock_gate();
        failpoint::hit("install.before_marker").map_err(io)?;
        write_live(&self.directory, &name).map_err(io)?;
        failpoint::hit("install.after_marker").map_err(io)?;
        let generation = Arc::new(Generation::open(path, &self.resources)?);
        let progress = read_progress(&generation)?;
        if progress.applied != checkpoint.last() {
            return Err(StoreError::corrupt(
                "snapshot",
                format!("it ends at {:?}, its manifest says {:?}", progress.applied, checkpoint.last()),
            ));
        }
        *self.lock_progress() = progress;
        let old = std::mem::replace(
            &mut *self.generation.write().expect("nothing panics while holding the generation"),
            generation,
        );
        drop(gate);
        old.retire();
        drop(old);
        self.hashes.clear();
        fs_err::rename(&temporary, &kept).and_then(|()| sync_dir(&self.directory)).map_err(io)?;
        #[cfg(test)]
        super::test_disk::synced(&self.directory);
        let kept = Checkpoint::new(RemoveLater::new(kept), checkpoint.manifest().clone());
        self.replace_newest(Arc::new(kept));
        Ok(())
    }

    /// The files of the last one are removed after the lock is free, by its last holder.
    fn replace_newest(&self, checkpoint: Arc<Checkpoint>) {
        let old = self.lock_newest().replace(checkpoint);
        if let Some(old) = old {
            old.retire();
        }
    }

    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn generation(&self) -> Arc<Generation> {
        self.generation.read().expect("nothing panics while holding the generation").clone()
    }

    fn lock_progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("nothing panics while holding the progress")
    }

    fn lock_gate(&self) -> std::sync::MutexGuard<'_, ()> {
        self.gate.lock().expect("nothing panics while holding the gate")
    }

    fn lock_making(&self) -> std::sync::MutexGuard<'_, ()> {
        self.making.lock().expect("nothing panics while making a snapshot")
    }

    fn lock_newest(&self) -> std::sync::MutexGuard<'_, Option<Arc<Checkpoint>>> {
        self.newest.lock().expect("nothing panics while holding the newest snapshot")
    }
}

fn read_progress(generation: &Generation) -> Result<Progress, StoreError> {
    let get = |key| generation.db.get(key).map_err(|error| StoreError::io("state read", error));
    let applied = get(META_APPLIED)?.map(|value| log_rows::decode_log_id(&value)).transpose()?;
    let membership = get(META_MEMBERSHIP)?.map(Bytes::from);
    Ok(Progress { applied, membership, durable: applied, unflushed_bytes: 0, unflushed_since: None })
}

/// Names the generation in use, atomically.
fn write_live(directory: &Path, name: &str) -> std::io::Result<()> {
    let temporary = directory.join("LIVE.tmp");
    fs_err::write(&temporary, name)?;
    fs_err::File::open(&temporary)?.sync_all()?;
    fs_err::rename(&temporary, directory.join(LIVE))?;
    sync_dir(directory)
}

/// Removes everything but the live generation and the newest complete snapshot, which it returns with the highest
/// number any directory had.
fn clean(directory: &Path, live: &str) -> std::io::Result<(Option<Checkpoint>, u64)> {
    let mut newest: Option<Checkpoint> = None;
    let mut highest = 1;
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((kind, number)) = name.split_once('-') else { continue };
        highest = highest.max(number.parse().unwrap_or(0));
        match (kind, Checkpoint::open(&entry.path())) {
            _ if name == live => {}
            ("snap", Some(found)) => {
                let is_newer = newest.as_ref().is_none_or(|newest| newest.last() < found.last());
                let older = if is_newer { newest.replace(found) } else { Some(found) };
                if let Some(older) = older {
                    older.retire();
                }
            }
            ("gen" | "snap" | "tmp", _) => fs_err::remove_dir_all(entry.path())?,
            (_, _) => {}
        }
    }
    Ok((newest, highest))
}
