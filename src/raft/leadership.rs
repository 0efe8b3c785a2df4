//! Follows who leads a group and tells the rest of the node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::ServerState;
use tokio::sync::watch;

use super::types::{RaftHandle, TypeConfig};
use super::{metric, EffectSink, Leadership};
use crate::storage::LogId;

pub struct Follow {
    pub shard: u32,
    pub node: u64,
    pub raft: RaftHandle,
    pub applied: watch::Receiver<Option<LogId>>,
    pub sink: Arc<dyn EffectSink>,
    pub is_leader: Arc<AtomicBool>,
    pub publish: watch::Sender<Leadership>,
}

impl Follow {
    /// Runs until the group ends.
    pub async fn run(mut self) {
        let mut metrics = self.raft.server_metrics();
        // The term this node was announced as leader for.
        let mut announced: Option<u64> = None;
        loop {
            let (now, leads) = observe(&metrics);
            self.is_leader.store(leads, Ordering::Relaxed);
            self.tell(now);
            let term = leads.then_some(now.term);
            if announced.is_some() && announced != term {
                announced = None;
                self.sink.leadership(self.shard, None);
            }
            if term.is_some() && announced.is_none() && self.has_applied_own(now.term) {
                announced = term;
                tracing::info!(shard = self.shard, term, "leads");
                self.sink.leadership(self.shard, term);
            }
            let pending = term.is_some() && announced.is_none();
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { break },
                changed = self.applied.changed(), if pending => if changed.is_err() { break },
            }
        }
        self.is_leader.store(false, Ordering::Relaxed);
        let term = self.publish.borrow().term;
        self.tell(Leadership { term, leader: None });
        if announced.is_some() {
            self.sink.leadership(self.shard, None);
        }
    }

    fn tell(&self, now: Leadership) {
        let before = *self.publish.borrow();
        if before != now {
            if before.term < now.term {
                metrics::counter!(metric::ELECTIONS).increment(now.term - before.term);
            }
            self.publish.send_replace(now);
        }
    }

    /// A leader begins its term with an entry of its own; once that is applied, so is everything before.
    fn has_applied_own(&self, term: u64) -> bool {
        self.applied.borrow().is_some_and(|last| last.term == term && last.leader == self.node)
    }
}

type Metrics = openraft::alias::WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>;

fn observe(metrics: &Metrics) -> (Leadership, bool) {
    let metrics = metrics.borrow_watched();
    let now = Leadership { term: metrics.vote.leader_id.term, leader: metrics.current_leader };
    (now, metrics.state == ServerState::Leader)
}
