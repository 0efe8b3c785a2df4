//! A snapshot arriving from another node: its files in the manifest's order, hashed as they come.

use std::io::Write;
use std::sync::Arc;

use proto::everstep::peer::v1::SnapshotManifest;
use sha2::{Digest, Sha256};

use super::checkpoint::write_manifest;
use super::generation::RemoveLater;
use super::{Checkpoint, StoreError};

const FILES_MAX: usize = 100_000;

/// What came goes with it, unless it was finished and installed.
pub struct Receiver {
    directory: RemoveLater,
    manifest: SnapshotManifest,
    /// Files complete so far.
    done: usize,
    current: Option<Current>,
}

struct Current {
    file: fs_err::File,
    hash: Sha256,
    left: u64,
}

impl Receiver {
    /// `directory` must be empty and ours.
    pub(super) fn new(directory: RemoveLater, manifest: SnapshotManifest) -> Result<Self, StoreError> {
        directory.retire();
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
        if manifest.files.len() > FILES_MAX || !manifest.files.iter().all(|file| plain(&file.name)) {
            return Err(StoreError::corrupt("snapshot manifest", "file names"));
        }
        Ok(Self { directory, manifest, done: 0, current: None })
    }

    pub fn write(&mut self, mut data: &[u8]) -> Result<(), StoreError> {
        let io = |error: std::io::Error| StoreError::io("receiving a snapshot", error);
        while !data.is_empty() {
            self.open_next()?;
            let Some(current) = &mut self.current else {
                return Err(StoreError::corrupt("snapshot", "more data than the manifest names"));
            };
            let length = data.len().min(usize::try_from(current.left).unwrap_or(usize::MAX));
            let (now, later) = data.split_at(length);
            current.file.write_all(now).map_err(io)?;
            current.hash.update(now);
            current.left -= length as u64;
            data = later;
            self.close_complete()?;
        }
        Ok(())
    }

    /// Opens the next file that has bytes to come; empty files are made on the way.
    fn open_next(&mut self) -> Result<(), StoreError> {
        while self.current.is_none() {
            let Some(file) = self.manifest.files.get(self.done) else { return Ok(()) };
            let path = self.directory.path().join(&file.name);
            let opened =
                fs_err::File::create_new(path).map_err(|error| StoreError::io("receiving a snapshot", error))?;
            self.current = Some(Current { file: opened, hash: Sha256::new(), left: file.size });
            self.close_complete()?;
        }
        Ok(())
    }

    fn close_complete(&mut self) -> Result<(), StoreError> {
        let Some(current) = self.current.take_if(|current| current.left == 0) else { return Ok(()) };
        let expected = &self.manifest.files[self.done];
        if current.hash.finalize().as_slice() != expected.sha256.as_ref() {
            return Err(StoreError::corrupt("snapshot", format!("{} does not have its hash", expected.name)));
        }
        current.file.sync_all().map_err(|error| StoreError::io("receiving a snapshot", error))?;
        self.done += 1;
        Ok(())
    }

    /// Checks that everything came and makes it durable.
    pub fn finish(mut self) -> Result<Arc<Checkpoint>, StoreError> {
        self.open_next()?;
        if self.current.is_some() || self.done < self.manifest.files.len() {
            return Err(StoreError::corrupt("snapshot", "it ended early"));
        }
        write_manifest(self.directory.path(), &self.manifest)?;
        Ok(Arc::new(Checkpoint::new(self.directory, self.manifest)))
    }
}
