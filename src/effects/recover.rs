//! Beginning and ending to lead a shard. Nothing of an earlier leader is needed: all tasks start by reading the
//! shard's tables, and everything they hold goes with them.

use std::sync::Arc;

use tokio::sync::{mpsc, Notify};
use tokio_util::sync::DropGuard;

use super::callbacks::call_back;
use super::deadlines::{keep_deadlines, Alarm};
use super::dispatch::dispatch;
use super::outbox::deliver;
use super::sweep::sweep;
use super::Hands;
use crate::cluster::tasks::Tasks;
use crate::cluster::SYSTEM_SHARD;
use crate::matching::Task;

/// Ready tasks on their way from apply to matching. What does not fit is found by the second look at the table.
const READY_MAX: usize = 16_384;

/// What runs while this node leads a shard; dropping it ends it.
pub(super) struct Led {
    alarm: Arc<Alarm>,
    ready: mpsc::Sender<Task>,
    outbox: Arc<Notify>,
    callbacks: Arc<Notify>,
    namespaces: Arc<Notify>,
    _running: Vec<DropGuard>,
}

impl Led {
    pub(super) fn alarm(&self, due: i64) {
        self.alarm.set(due);
    }

    /// A message waits in the outbox.
    pub(super) fn outbox(&self) {
        self.outbox.notify_one();
    }

    /// A completion callback is to be delivered.
    pub(super) fn callbacks(&self) {
        self.callbacks.notify_one();
    }

    /// A namespace changed; it may order something for its runs.
    pub(super) fn namespaces(&self) {
        self.namespaces.notify_one();
    }

    pub(super) fn ready(&self, task: Task) {
        // Full: the second look at the table finds the task. Closed: the node stops.
        let _ = self.ready.try_send(task);
    }
}

/// Starts to lead: the deadline clock from the first row of its table, the dispatch of every task that is ready,
/// the delivery of every message in the outbox and of every callback; on the system shard what namespaces have ordered for their runs.
pub(super) fn lead(shard: u32, term: u64, tasks: &Tasks, hands: &Hands) -> Led {
    tracing::debug!(shard, term, "soft state is rebuilt");
    metrics::counter!("everstep_effects_recoveries").increment(1);
    let alarm = Arc::new(Alarm::default());
    let (ready, arriving) = mpsc::channel(READY_MAX);
    let deadlines = keep_deadlines(shard, hands.router.clone(), alarm.clone());
    let dispatch = dispatch(shard, hands.clone(), arriving);
    let outbox = Arc::new(Notify::new());
    let post = deliver(shard, hands.router.clone(), outbox.clone());
    let callbacks = Arc::new(Notify::new());
    let desk = call_back(shard, hands.router.clone(), hands.caller.clone(), callbacks.clone());
    let mut running = vec![
        tasks.spawn_guarded("deadlines", deadlines),
        tasks.spawn_guarded("dispatch", dispatch),
        tasks.spawn_guarded("outbox", post),
        tasks.spawn_guarded("callbacks", desk),
    ];
    let namespaces = Arc::new(Notify::new());
    if shard == SYSTEM_SHARD {
        running.push(tasks.spawn_guarded("sweeps of namespaces", sweep(hands.router.clone(), namespaces.clone())));
    }
    Led { alarm, ready, outbox, callbacks, namespaces, _running: running }
}
