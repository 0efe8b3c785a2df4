//! The thread that applies a shard's committed entries: `statemachine::apply` over one `Txn` per batch, one write, then
//! answers and effects. What goes wrong here stops the shard on this node: going on would let its replica diverge. An entry
//! that no replica can read is refused by all of them: to stop would be to stop for ever.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use openraft::storage::{ApplyResponder, EntryResponder};
use openraft::EntryPayload;
use prost::Message;
use statemachine::{op, tables, Effect, Fault, Txn};
use tokio::sync::{mpsc, oneshot, watch};

use super::shard_time::ShardTime;
use super::types::{Command, RaftEntry, RaftStoredMembership, Response, TypeConfig};
use super::{codec, metric, EffectSink};
use crate::storage::{fatal, work, LogId, StateStore, StoreError};

/// Entries to apply in one go.
#[derive(Default)]
pub struct Batch {
    pub entries: Vec<(RaftEntry, Option<ApplyResponder<TypeConfig>>)>,
    pub bytes: usize,
}

impl Batch {
    pub fn push(&mut self, entry: EntryResponder<TypeConfig>) {
        if let EntryPayload::Normal(command) = &entry.0.payload {
            self.bytes += command.0.len();
        }
        self.entries.push(entry);
    }
}

struct Job {
    batch: Batch,
    done: oneshot::Sender<io::Result<()>>,
}

/// Hands batches to the shard's apply thread, which ends when this is dropped.
pub struct Applier {
    shard: u32,
    sink: Arc<dyn EffectSink>,
    jobs: mpsc::Sender<Job>,
    applied: watch::Sender<Option<LogId>>,
    time: Arc<ShardTime>,
}

/// What the apply thread works with.
pub struct Context {
    pub shard: u32,
    pub store: Arc<StateStore>,
    pub sink: Arc<dyn EffectSink>,
    pub is_leader: Arc<AtomicBool>,
    pub time: Arc<ShardTime>,
}

impl Applier {
    /// Starts the thread. `applied` tells the last entry whose rows can be read.
    pub fn start(context: Context) -> Result<(Self, watch::Receiver<Option<LogId>>), StoreError> {
        let (applied, watcher) = watch::channel(context.store.progress().applied);
        let (jobs, queue) = mpsc::channel::<Job>(1);
        let publish = applied.clone();
        let (shard, sink, time) = (context.shard, context.sink.clone(), context.time.clone());
        work::thread(format!("apply-{shard}"), queue, move |job: Job| {
            let result = context.apply(job.batch, &publish);
            job.done.send(result).ok();
        })
        .map_err(|error| StoreError::io("starting an apply thread", error))?;
        Ok((Self { shard, sink, jobs, applied, time }, watcher))
    }

    pub async fn apply(&self, batch: Batch) -> io::Result<()> {
        let (done, finished) = oneshot::channel();
        let gone = || io::Error::other("the apply thread has ended");
        self.jobs.send(Job { batch, done }).await.map_err(|_| gone())?;
        finished.await.map_err(|_| gone())?
    }

    /// A snapshot replaced the rows: everything may have changed.
    pub fn installed(&self, applied: Option<LogId>, time: i64) {
        self.time.applied(time);
        self.sink.applied(self.shard, false, vec![Effect::ClusterChanged]);
        self.applied.send_replace(applied);
    }
}

/// What a batch came to, before it is written.
#[derive(Default)]
struct Results {
    answers: Vec<(ApplyResponder<TypeConfig>, Response)>,
    effects: Vec<Effect>,
    membership: Option<Bytes>,
    last: Option<LogId>,
}

impl Context {
    fn apply(&self, batch: Batch, publish: &watch::Sender<Option<LogId>>) -> io::Result<()> {
        let started = Instant::now();
        let (bytes, count) = (batch.bytes, batch.entries.len());
        let rows = self.store.snapshot();
        let mut txn = Txn::new(&rows);
        let mut results = Results::default();
        for (entry, responder) in batch.entries {
            results.last = Some(codec::log_id_to_store(&entry.log_id));
            let response = self.apply_entry(&mut txn, &entry, &mut results)?;
            if let Some(responder) = responder {
                results.answers.push((responder, response));
            }
        }
        let Some(last) = results.last else { return Ok(()) };
        let time = tables::shard_time(&txn).map_err(io::Error::other)?;
        let log_bytes = (bytes + 64 * count) as u64;
        if let Err(error) = self.store.write(txn.into_writes(), last, results.membership, log_bytes) {
            fatal::stop("writing a state store", error);
        }
        self.time.applied(time);
        // In this order: whoever waited for the entry finds caches and watchers already told.
        if !results.effects.is_empty() {
            self.sink.applied(self.shard, self.is_leader.load(Ordering::Relaxed), results.effects);
        }
        publish.send_replace(Some(last));
        for (responder, response) in results.answers {
            responder.send(response);
        }
        metrics::histogram!(metric::APPLY_SECONDS).record(started.elapsed().as_secs_f64());
        metrics::histogram!(metric::APPLY_BATCH_ENTRIES).record(count as f64);
        Ok(())
    }

    fn apply_entry(&self, txn: &mut Txn<'_>, entry: &RaftEntry, results: &mut Results) -> io::Result<Response> {
        match &entry.payload {
            EntryPayload::Blank => Ok(Response::default()),
            EntryPayload::Membership(membership) => {
                let stored = RaftStoredMembership::new(Some(entry.log_id), membership.clone());
                results.membership = Some(codec::stored_membership_to_bytes(&stored));
                Ok(Response::default())
            }
            EntryPayload::Normal(command) => {
                let mut outcome = self.apply_proposal(txn, entry.log_id.index, command)?;
                results.effects.extend(outcome.effects);
                // They concern the node whose pollers they are, not whoever asked.
                let reserved = std::mem::take(&mut outcome.answer.reserved).into_iter();
                results.effects.extend(reserved.map(|answer| Effect::TaskStarted(Box::new(answer))));
                Ok(Response(Some(outcome.answer)))
            }
        }
    }

    fn apply_proposal(&self, txn: &mut Txn<'_>, index: u64, command: &Command) -> io::Result<statemachine::Outcome> {
        let proposal = match op::Proposal::decode(command.0.clone()) {
            Ok(proposal) => proposal,
            Err(error) => {
                tracing::error!(shard = self.shard, index, %error, "an entry cannot be read; every replica refuses it");
                return Ok(statemachine::Outcome::unreadable(&error));
            }
        };
        let applied = std::panic::catch_unwind(AssertUnwindSafe(|| statemachine::apply(txn, &proposal)))
            .unwrap_or_else(|panic| Err(Fault::corrupt("apply", panic_text(panic.as_ref()))));
        applied.map_err(|fault| {
            let op = kind(&proposal);
            tracing::error!(shard = self.shard, index, op, %fault, "cannot apply; the shard stops here");
            io::Error::other(fault)
        })
    }
}

/// The name of a proposal's op, as in op.proto.
fn kind(proposal: &op::Proposal) -> String {
    let Some(kind) = proposal.op.as_ref().and_then(|op| op.kind.as_ref()) else { return "none".to_owned() };
    let text = format!("{kind:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
