//! A consistent view of one shard's rows.

use std::sync::Arc;

use rocksdb::ReadOptions;
use sha2::{Digest, Sha256};
use statemachine::kv::Visit;
use statemachine::{Fault, Kv};

use super::generation::Generation;
use super::state_store::{META_APPLIED, META_PREFIX};
use super::{fatal, log_rows, LogId, StoreError};

type DatabaseSnapshot<'a> = rocksdb::Snapshot<'a>;

self_cell::self_cell!(
    struct Frozen {
        owner: Arc<Generation>,
        #[covariant]
        dependent: DatabaseSnapshot,
    }
);

/// The rows as they were when it was taken. Cheap to clone; holding one long keeps old versions of rows on disk.
#[derive(Clone)]
pub struct Snapshot(Arc<Frozen>);

impl Snapshot {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        Self(Arc::new(Frozen::new(generation, |generation| generation.db.snapshot())))
    }

    /// The last entry whose effect it shows.
    pub fn applied(&self) -> Result<Option<LogId>, StoreError> {
        let value = self.0.borrow_dependent().get(META_APPLIED).map_err(|error| StoreError::io("state read", error))?;
        value.map(|value| log_rows::decode_log_id(&value)).transpose()
    }

    /// SHA-256 over all rows of the state machine: equal on all replicas at equal applied indexes.
    pub fn digest(&self) -> Result<[u8; 32], Fault> {
        let mut hash = Sha256::new();
        self.scan(&[], META_PREFIX, &mut |key, value| {
            for part in [key, value] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            true
        })?;
        Ok(hash.finalize().into())
    }

    fn bounded(from: &[u8], to: &[u8]) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        options
    }
}

/// A disk that cannot give its rows back has nothing to say in the cluster, neither to clients nor as a voter.
fn fault(error: rocksdb::Error) -> Fault {
    match error.kind() {
        rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::IOError => fatal::stop("reading a state store", error),
        _ => Fault::Storage(error.to_string()),
    }
}

impl Kv for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.borrow_dependent().get(key).map_err(fault)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        let mut rows = self.0.borrow_dependent().raw_iterator_opt(Self::bounded(from, to));
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            if !visit(key, value) {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(fault)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        let mut rows = self.0.borrow_dependent().raw_iterator_opt(Self::bounded(from, to));
        rows.seek_to_last();
        while let Some((key, value)) = rows.item() {
            if !visit(key, value) {
                return Ok(());
            }
            rows.prev();
        }
        rows.status().map_err(fault)
    }
}
