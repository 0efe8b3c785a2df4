//! Completion callbacks of closed runs: the request is made, and how it went is proposed. What is to be made stands in
//! the ready table of the shard, so a new leader goes on with it; a request whose outcome was not committed is made
//! again.
//!
//! ```text
//!   CallbackReady ─► table, some of each destination ─► Caller: a place for it ─► POST ─► propose SettleCallback
//! ```

mod caller;
mod completion;
mod failure;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use statemachine::op::{op, Op, SettleCallback};
use statemachine::tables::CallbackKey;
use statemachine::Fault;
use tokio::sync::Notify;
use tokio::time::{interval, sleep, Instant, MissedTickBehavior};

pub use caller::CallbackCaller;
use caller::{Entry, Outcome, Place};
use completion::Completion;

use crate::cluster::{Router, Target};

/// Rows of one look at the table.
const PAGE: usize = 1024;
/// How often the table is looked at without being told.
const LOOK: Duration = Duration::from_secs(10);
/// For one try to write down how a request went.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a row that could not be read, or an outcome that was not committed.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests of one shard whose outcome is not committed yet.
const UNDER_WAY_MAX: usize = 1024;

/// Runs while this node leads the shard.
pub(super) async fn call_back(shard: u32, router: Arc<Router>, caller: Arc<CallbackCaller>, ready: Arc<Notify>) {
    let mut desk =
        Desk { shard, router, caller, after: None, known: HashSet::new(), under_way: FuturesUnordered::new() };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let caller = desk.caller.clone();
        let freed = caller.freed();
        tokio::pin!(freed);
        // Told of every place that is freed from here on.
        freed.as_mut().enable();
        if let Err(fault) = desk.begin() {
            tracing::error!(shard, %fault, "the callbacks cannot be read");
        }
        tokio::select! {
            () = ready.notified() => {}
            () = &mut freed => {}
            _ = looks.tick() => {}
            Some(key) = desk.under_way.next() => {
                desk.known.remove(&key);
            }
        }
    }
}

/// The requests of one shard.
struct Desk {
    shard: u32,
    router: Arc<Router>,
    caller: Arc<CallbackCaller>,
    /// The destination that was served last when the node had no place left: the next look begins behind it.
    after: Option<String>,
    known: HashSet<CallbackKey>,
    under_way: FuturesUnordered<BoxFuture<'static, CallbackKey>>,
}

impl Desk {
    /// Makes as many requests as there are places.
    fn begin(&mut self) -> Result<(), Fault> {
        // Nothing is asked for whose outcome could not be written down.
        if self.router.disk_is_full() {
            return Ok(());
        }
        let from = self.after.take();
        let wrapped = from.is_some();
        if self.begin_after(from)? && wrapped {
            self.begin_after(None)?;
        }
        Ok(())
    }

    /// False: the node has no place left.
    fn begin_after(&mut self, mut after: Option<String>) -> Result<bool, Fault> {
        let mut served = after.clone();
        loop {
            let Some(rows) = self.router.local(self.shard) else { return Ok(true) };
            let page = CallbackKey::page(&rows, after.as_deref(), self.caller.per_destination(), PAGE)?;
            for key in page.ready {
                if self.known.contains(&key) {
                    continue;
                }
                if self.under_way.len() >= UNDER_WAY_MAX {
                    self.after = served;
                    return Ok(false);
                }
                match self.caller.enter(&key.destination) {
                    Entry::Place(place) => {
                        served = Some(key.destination.clone());
                        self.start(key, place);
                    }
                    Entry::DestinationBusy => {}
                    Entry::NodeBusy => {
                        self.after = served;
                        return Ok(false);
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(true);
            }
        }
    }

    fn start(&mut self, key: CallbackKey, place: Place) {
        self.known.insert(key.clone());
        let (shard, router) = (self.shard, self.router.clone());
        self.under_way.push(
            async move {
                if !deliver(shard, &router, &key, place).await {
                    sleep(PAUSE).await;
                }
                key
            }
            .boxed(),
        );
    }
}

/// Whether the row is settled, or gone.
async fn deliver(shard: u32, router: &Arc<Router>, key: &CallbackKey, place: Place) -> bool {
    let read = match router.local(shard) {
        Some(rows) => Completion::read(&rows, key),
        None => return false,
    };
    let completion = match read {
        Ok(Some(completion)) => completion,
        Ok(None) => return true,
        Err(fault) => {
            tracing::error!(shard, %fault, "a callback cannot be read");
            return false;
        }
    };
    let outcome = place.call(&completion).await;
    drop(place);
    settle(shard, router, settled(completion, key.number, outcome)).await
}

/// Writes an outcome down, however long it takes while this node leads: a request is not made twice for want of a quorum.
async fn settle(shard: u32, router: &Arc<Router>, settle: SettleCallback) -> bool {
    let (namespace_id, workflow_id) = (settle.namespace_id.as_str(), settle.workflow_id.as_str());
    let target = Target::Workflow { namespace_id, workflow_id };
    loop {
        let op = Op { kind: Some(op::Kind::SettleCallback(settle.clone())) };
        match router.propose(target, op, Instant::now() + PATIENCE).await {
            Ok(_) => return true,
            Err(error) => tracing::debug!(shard, %error, "the outcome of a callback was not committed"),
        }
        sleep(PAUSE).await;
        if !router.leads(shard) {
            return false;
        }
    }
}

fn settled(completion: Completion, number: u64, outcome: Outcome) -> SettleCallback {
    let (delivered, message, retryable) = match outcome {
        Outcome::Delivered => (true, String::new(), false),
        Outcome::Failed { message, retryable } => (false, message, retryable),
    };
    let label = match (delivered, retryable) {
        (true, _) => "delivered",
        (false, true) => "retried",
        (false, false) => "failed",
    };
    metrics::counter!("everstep_callback_requests", "outcome" => label).increment(1);
    SettleCallback {
        namespace_id: completion.namespace_id,
        workflow_id: completion.workflow_id,
        run_id: completion.run_id,
        number,
        attempt: completion.attempt,
        delivered,
        message,
        retryable,
    }
}
