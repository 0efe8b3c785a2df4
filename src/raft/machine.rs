//! openraft's state machine over a shard's state store. Applying is done by `applier`, on a thread of the shard's own.

use std::io;
use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use statemachine::tables;

use super::applier::{Applier, Batch};
use super::codec;
use super::types::{RaftLogId, RaftStoredMembership, TypeConfig};
use crate::storage::{fatal, work, Checkpoint, StateStore, StoreError};

/// Entries and bytes written to the state store in one batch, at most.
const BATCH_ENTRIES_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 4 << 20;

type Meta = openraft::alias::SnapshotMetaOf<TypeConfig>;
type Snapshot = openraft::alias::SnapshotOf<TypeConfig, Arc<Checkpoint>>;

pub struct Machine {
    store: Arc<StateStore>,
    applier: Applier,
}

impl Machine {
    pub fn new(store: Arc<StateStore>, applier: Applier) -> Self {
        Self { store, applier }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Arc<Checkpoint>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, RaftStoredMembership)> {
        let progress = self.store.progress();
        let membership = match &progress.membership {
            Some(bytes) => codec::stored_membership_from_bytes(bytes)?,
            None => RaftStoredMembership::default(),
        };
        Ok((progress.applied.map(codec::log_id_from_store), membership))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut entries = entries.fuse();
        while let Some(first) = entries.next().await {
            let mut batch = Batch::default();
            batch.push(first?);
            while batch.entries.len() < BATCH_ENTRIES_MAX && batch.bytes < BATCH_BYTES_MAX {
                match entries.next().now_or_never() {
                    Some(Some(entry)) => batch.push(entry?),
                    Some(None) | None => break,
                }
            }
            self.applier.apply(batch).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        // Cut here, between two batches, so that the snapshot ends where openraft thinks it does.
        let store = self.store.clone();
        let cut = work::blocking(move || made(store.cut_checkpoint())).await;
        Builder { store: self.store.clone(), cut: cut.ok() }
    }

    async fn install_snapshot(&mut self, _meta: &Meta, snapshot: Arc<Checkpoint>) -> io::Result<()> {
        let store = self.store.clone();
        let installed = work::blocking(move || store.install(&snapshot))
            .await
            .map_err(|error| io::Error::other(format!("installing a snapshot: {error}")))?;
        if let Err(error) = installed {
            // Old rows or new rows may now be live: only a restart finds out which.
            fatal::stop("installing a snapshot", error);
        }
        let time = tables::shard_time(&self.store.snapshot()).map_err(io::Error::other)?;
        self.applier.installed(self.store.progress().applied, time);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.store.checkpoint().map(describe).transpose()?)
    }
}

/// Finishes a checkpoint that was cut.
pub struct Builder {
    store: Arc<StateStore>,
    /// `None` if the process is ending, and after its use.
    cut: Option<crate::storage::Cut>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Arc<Checkpoint>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let cut = self.cut.take().ok_or_else(|| io::Error::other("nothing was cut"))?;
        let store = self.store.clone();
        let checkpoint = work::blocking(move || made(store.finish_checkpoint(cut)))
            .await
            .map_err(|error| io::Error::other(format!("building a snapshot: {error}")))?;
        Ok(describe(checkpoint)?)
    }
}

/// openraft would end the group over an error, and the node would go on without it.
fn made<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| fatal::stop("making a snapshot", error))
}

/// What openraft knows of a snapshot.
pub fn describe(checkpoint: Arc<Checkpoint>) -> Result<Snapshot, StoreError> {
    let membership = &checkpoint.manifest().membership;
    let last_membership = match membership.is_empty() {
        true => RaftStoredMembership::default(),
        false => codec::stored_membership_from_bytes(membership)?,
    };
    let meta = Meta { last_log_id: checkpoint.last().map(codec::log_id_from_store), last_membership };
    Ok(Snapshot { meta, snapshot: checkpoint })
}
