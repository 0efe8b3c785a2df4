//! Rows that are ahead of their log, as a power cut may leave them.
//!
//! An entry is applied once a quorum has it, which may be before the disk of this node has it; and rows may be flushed
//! before the log is synced. Nothing is lost then: this node never told that it had those entries, and the rows hold what
//! they did. But the log has a hole before the next entry, or a tail that another leader had replaced. openraft refuses
//! such a tail for good, and passes over a hole without a snapshot that stands for it: then this node could bring up
//! nobody who is behind until its next snapshot.

use std::sync::Arc;

use crate::storage::{LogId, ShardLog, StateStore, StoreError};

/// Lets a snapshot stand for what the log lacks, and the log begin after it. Before openraft sees them.
pub fn mend(log: &Arc<ShardLog>, store: &StateStore) -> Result<(), StoreError> {
    let Some(applied) = store.progress().applied else { return Ok(()) };
    let snapshot = store.checkpoint().and_then(|checkpoint| checkpoint.last());
    if log.holds(applied)? {
        if snapshot.map(|last| last.index) < log.bounds().0.map(|purged| purged.index) {
            tracing::warn!(shard = log.shard(), ?snapshot, log = ?log.bounds(), "the snapshot ends before the log begins");
            store.finish_checkpoint(store.cut_checkpoint()?)?;
        }
        return Ok(());
    }
    tracing::warn!(shard = log.shard(), ?applied, log = ?log.bounds(), "the log lacks what is applied: a power cut?");
    if snapshot != Some(applied) {
        store.finish_checkpoint(store.cut_checkpoint()?)?;
    }
    // The tail goes first: what is left of it after a purge would have no beginning.
    let before = applied.index.checked_sub(1).map(|index| LogId { index, ..applied });
    log.truncate_after(before)?;
    log.purge(applied, Box::new(|| {}))
}
