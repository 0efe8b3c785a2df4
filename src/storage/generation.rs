//! One incarnation of a state store: an open database and its directory. Installing a snapshot makes a new one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::DB;

use super::{Resources, StoreError};

/// Readers that still hold an old generation keep its files; they go with the last of them.
pub(super) struct Generation {
    // Fields drop in this order: the database closes before its files go.
    pub(super) db: DB,
    directory: RemoveLater,
}

impl Generation {
    pub(super) fn open(directory: PathBuf, resources: &Resources) -> Result<Self, StoreError> {
        let db = DB::open(&resources.state_options(), &directory)
            .map_err(|error| StoreError::io("opening a state store", error))?;
        Ok(Self { db, directory: RemoveLater::new(directory) })
    }

    pub(super) fn retire(&self) {
        self.directory.retire();
    }
}

/// A directory that is removed when the last handle goes, if it was retired.
pub(super) struct RemoveLater {
    path: PathBuf,
    retired: AtomicBool,
}

impl RemoveLater {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, retired: AtomicBool::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

impl Drop for RemoveLater {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            if let Err(error) = fs_err::remove_dir_all(&self.path) {
                tracing::warn!(%error, "cannot remove an old directory; the next start will");
            }
        }
    }
}
