//! Snapshots: all rows of a store in one "file", and its way to another node.

use std::sync::Arc;

use bytes::Bytes;
use proto::everstep::peer::v1::{SnapshotFile, SnapshotManifest};
use statemachine::MemoryKv;

use super::rows::Row;
use super::{LogId, StoreError};

/// Small, so that a snapshot is many messages.
const CHUNK_BYTES_MAX: usize = 4096;

pub struct Checkpoint {
    manifest: SnapshotManifest,
    data: Bytes,
}

impl Checkpoint {
    pub fn new(rows: Vec<Row>, mut manifest: SnapshotManifest) -> Self {
        let data: Bytes = MemoryKv { rows: rows.into_iter().collect() }.dump().into();
        let file = SnapshotFile { name: "rows".to_owned(), size: data.len() as u64, ..Default::default() };
        manifest.files = vec![file];
        Self { manifest, data }
    }

    pub fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    pub fn last(&self) -> Option<LogId> {
        self.manifest.last.as_ref().map(|id| LogId { term: id.term, leader: id.leader, index: id.index })
    }

    pub fn rows(&self) -> Vec<Row> {
        MemoryKv::from_dump(&self.data).rows.into_iter().collect()
    }
}

pub struct Chunks {
    checkpoint: Arc<Checkpoint>,
    sent: usize,
}

impl Chunks {
    pub fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Self { checkpoint, sent: 0 }
    }

    pub fn read(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let rest = &self.checkpoint.data[self.sent..];
        let chunk = rest[..rest.len().min(bytes_max).min(CHUNK_BYTES_MAX)].to_vec();
        self.sent += chunk.len();
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

pub struct Receiver {
    manifest: SnapshotManifest,
    data: Vec<u8>,
}

impl Receiver {
    pub fn new(manifest: SnapshotManifest) -> Self {
        Self { manifest, data: Vec::new() }
    }

    pub fn write(&mut self, data: &[u8]) -> Result<(), StoreError> {
        self.data.extend_from_slice(data);
        Ok(())
    }

    pub fn finish(self) -> Result<Arc<Checkpoint>, StoreError> {
        let size: u64 = self.manifest.files.iter().map(|file| file.size).sum();
        if size != self.data.len() as u64 {
            return Err(StoreError::corrupt("snapshot", "it ended early"));
        }
        Ok(Arc::new(Checkpoint { manifest: self.manifest, data: self.data.into() }))
    }
}
