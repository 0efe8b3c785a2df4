//! Carries out what namespaces have ordered for all their runs (statemachine::system::sweep): on each data shard page by
//! page, then the system shard is told. Runs at the leader of the system shard; the order stands in the namespace's row
//! until it is done, so the next leader begins that shard's pages again, and pages that were done change nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use statemachine::op::{answer, op, ChangeRetention, DropNamespace, EndSweep, Op};
use statemachine::state::{Namespace, Sweep};
use statemachine::tables;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout, Instant};

use crate::cluster::{now, Router, Target, SYSTEM_SHARD};

/// Runs of one op. A deleted run may have a long history, so those pages are short.
const RETENTION_PAGE: u32 = 256;
const DROP_PAGE: u32 = 16;
/// Namespaces read at a time.
const NAMESPACES_PAGE: usize = 100;
/// For one op.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between pages, so that users' calls go first.
const PAUSE: Duration = Duration::from_millis(5);
/// After something went wrong, and while a deleted namespace is still to be kept.
const RETRY: Duration = Duration::from_secs(1);
/// Without a hint the rows are looked at again after this.
const LOOK: Duration = Duration::from_secs(60);

/// Runs while this node leads the system shard.
pub(super) async fn sweep(router: Arc<Router>, changed: Arc<Notify>) {
    loop {
        let wait = match pending(&router) {
            Ok(rows) if rows.is_empty() => LOOK,
            Ok(rows) => {
                let mut wait = LOOK;
                for row in rows {
                    if !carry_out(&router, &row).await {
                        wait = RETRY;
                    }
                }
                wait
            }
            Err(fault) => {
                tracing::error!(%fault, "the namespaces cannot be read");
                RETRY
            }
        };
        // A hint, or nothing for so long: both lead to another look.
        let _ = timeout(wait, changed.notified()).await;
    }
}

/// The namespaces with an order that is not carried out.
fn pending(router: &Router) -> Result<Vec<Namespace>, statemachine::Fault> {
    let Some(rows) = router.local(SYSTEM_SHARD) else { return Ok(Vec::new()) };
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = tables::namespaces(&rows, after.as_deref(), NAMESPACES_PAGE)?;
        after = page.last().and_then(|row| row.info.as_ref()).map(|info| info.name.clone());
        let last = page.len() < NAMESPACES_PAGE;
        found.extend(page.into_iter().filter(|row| row.sweep.is_some()));
        if last {
            return Ok(found);
        }
    }
}

/// Whether the order is carried out on all shards.
async fn carry_out(router: &Arc<Router>, row: &Namespace) -> bool {
    let Some(sweep) = &row.sweep else { return true };
    let left: Vec<u32> = router.data_shards().into_iter().filter(|shard| !sweep.shards_done.contains(shard)).collect();
    for (at, &shard) in left.iter().enumerate() {
        if !pages(router, row, sweep, shard).await {
            return false;
        }
        // The namespace goes with its last shard; the runs are gone already.
        if sweep.drop && at + 1 == left.len() && now() < sweep.keep_until {
            return false;
        }
        let end = EndSweep { namespace_id: row.id.clone(), number: sweep.number, shard };
        if propose(router, Target::System, op::Kind::EndSweep(end)).await.is_none() {
            return false;
        }
    }
    true
}

/// All pages of one shard.
async fn pages(router: &Arc<Router>, row: &Namespace, sweep: &Sweep, shard: u32) -> bool {
    let mut from = Bytes::new();
    let mut changed = 0u64;
    loop {
        let namespace_id = row.id.clone();
        let kind = if sweep.drop {
            op::Kind::DropNamespace(DropNamespace { namespace_id, max: DROP_PAGE })
        } else {
            let (retention, max) = (sweep.retention, RETENTION_PAGE);
            op::Kind::ChangeRetention(ChangeRetention { namespace_id, retention, from, max })
        };
        let Some(answer::Kind::Sweep(page)) = propose(router, Target::Shard(shard), kind).await else { return false };
        changed += u64::from(page.changed);
        if page.next.is_empty() {
            tracing::info!(namespace = row.id, shard, changed, drop = sweep.drop, "a namespace's runs are swept");
            return true;
        }
        from = page.next;
        sleep(PAUSE).await;
    }
}

async fn propose(router: &Arc<Router>, target: Target<'_>, kind: op::Kind) -> Option<answer::Kind> {
    let op = Op { kind: Some(kind) };
    match router.propose(target, op, Instant::now() + PATIENCE).await {
        Ok(committed) => committed.answer.kind,
        Err(error) => {
            tracing::debug!(%error, "a step of a namespace's sweep was not committed");
            None
        }
    }
}
