//! What groups need now and then: flushes that bound replay, snapshots that let old log go, a note of how far the log is,
//! and gauges.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{metric, Group, Groups};
use crate::storage::{self, fatal, work, DiskState, StorageConfig};

const EVERY: Duration = Duration::from_secs(1);
/// Log kept below a snapshot for followers that were away, besides `log_entries_kept`.
const LOG_BYTES_KEPT: u64 = 256 << 20;

pub async fn run(groups: Weak<Groups>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let Some(groups) = groups.upgrade() else { return };
        let all = groups.groups();
        for group in &all {
            flush_if_due(group, &groups.resources().config).await;
            if group.snapshot_is_due() {
                group.make_snapshot().await;
            }
            purge_excess(group).await;
            if group.log_is_unnoted() {
                let group = group.clone();
                // It answers nothing, and whether it panicked is told by the next one.
                let _noted = work::blocking(move || group.note_log()).await;
            }
        }
        let leaders = all.iter().filter(|group| group.is_leader()).count();
        metrics::gauge!(metric::LEADERS).set(leaders as f64);
        let full = groups.disk() == DiskState::Full;
        metrics::gauge!(storage::metric::DISK_FULL).set(f64::from(u8::from(full)));
    }
}

async fn flush_if_due(group: &Arc<Group>, config: &StorageConfig) {
    let progress = group.store().progress();
    let waited = progress.unflushed_since.map_or(Duration::ZERO, |since| since.elapsed());
    let due = waited >= config.flush_every
        || progress.unflushed_bytes >= config.flush_log_bytes
        || (group.snapshot_is_due() && waited > Duration::ZERO);
    if !due {
        return;
    }
    let store = group.store().clone();
    match work::blocking(move || store.flush()).await {
        Ok(Ok(())) => {}
        // Rows that cannot be flushed would hold the log for ever.
        Ok(Err(error)) => fatal::stop("flushing a state store", error),
        Err(error) => fatal::stop("flushing a state store", error),
    }
}

/// Purges log below the snapshot that is too much to keep, judging by the size of recent entries.
async fn purge_excess(group: &Group) {
    let snapshot = group.store.checkpoint().and_then(|checkpoint| checkpoint.last()).map_or(0, |id| id.index);
    let purged = group.log.bounds().0.map_or(0, |id| id.index);
    let kept_max = LOG_BYTES_KEPT / group.log.mean_entry_bytes().max(1);
    // In big steps: each purge leaves a range of deletions behind.
    if snapshot.saturating_sub(purged) > kept_max + kept_max / 4 {
        if let Err(fatal) = group.raft.trigger().purge_log(snapshot - kept_max).await {
            tracing::debug!(shard = group.shard, %fatal, "no purge");
        }
    }
}
