//! What the leader of a shard adds to an op, and the seam where `effects` joins in.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;
use proto::everstep::peer::v1::{ProposeRequest, RunRef, TaskHints};
use proto::temporal::api::query::v1::WorkflowQuery;
use rand::RngCore;
use statemachine::limits::Limits;
use statemachine::op;

use super::target::{hints_of, run_of_task, Buffered, Committed, Queries, QueryResults};
use crate::raft::{Applied, Group, ProposeError};

/// What the leader's side keeps in memory about runs; `effects` implements it.
pub trait LeaderHooks: Send + Sync + 'static {
    /// A workflow task of the run was started: the queries to send with it.
    fn task_started(&self, run: &RunRef) -> Queries;

    /// A completion of the run's workflow task with these answers is about to be proposed: whatever its effects tell,
    /// the queries wait for [`Self::task_completed`].
    fn task_completing(&self, run: &RunRef, results: &QueryResults);

    /// The run's workflow task was completed with these answers. `next` says whether its next one started with it.
    fn task_completed(&self, run: &RunRef, results: QueryResults, next: bool);

    /// Holds a query until the run's next workflow task. Only on the leader of `shard`.
    fn buffer_query(&self, shard: u32, run: RunRef, query: WorkflowQuery) -> BoxFuture<'static, Option<Buffered>>;
}

/// The pollers parked on this node that proposals may take along; `effects` implements it. Whoever gets a task is told
/// when the entry is applied here.
pub trait Reservations: Send + Sync + 'static {
    fn reserve(&self, shard: u32, hints: &TaskHints) -> Vec<op::Reservation>;

    /// The pollers that got nothing wait again.
    fn release(&self, ids: &[u64]);

    /// Whether they got something will be known when the entry is applied here, if it ever is.
    fn doubt(&self, ids: Vec<u64>);
}

/// A proposal is the op of the caller with the leader's stamp. The op stays encoded: a field of type message and one
/// of type bytes look the same on the wire.
#[derive(Clone, PartialEq, Message)]
struct EncodedProposal {
    #[prost(message, optional, tag = "1")]
    stamp: Option<op::Stamp>,
    #[prost(bytes = "bytes", tag = "2")]
    op: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    op_id: Bytes,
    #[prost(message, optional, tag = "4")]
    limits: Option<op::Limits>,
    #[prost(message, repeated, tag = "5")]
    reservations: Vec<op::Reservation>,
}

/// One op on its way, encoded once for all tries.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) shard: u32,
    pub(super) op: Bytes,
    pub(super) op_id: Bytes,
    /// Whose workflow task the op completes.
    pub(super) run: Option<RunRef>,
    pub(super) query_results: QueryResults,
    pub(super) hints: Option<TaskHints>,
}

impl Call {
    pub(super) fn new(shard: u32, op: &op::Op, query_results: QueryResults) -> Self {
        let mut op_id = [0; 8];
        rand::rng().fill_bytes(&mut op_id);
        let run = super::target::run_of(op);
        let hints = hints_of(op);
        let op = op.encode_to_vec().into();
        Self { shard, op, op_id: Bytes::copy_from_slice(&op_id), run, query_results, hints }
    }

    /// To a node that leads in this term.
    pub(super) fn to_peer(&self, term: u64) -> ProposeRequest {
        ProposeRequest {
            shard: self.shard,
            op: self.op.clone(),
            op_id: self.op_id.clone(),
            run: self.run.clone(),
            query_results: self.query_results.clone(),
            hints: self.hints.clone(),
            term,
        }
    }

    pub(super) fn from_peer(request: ProposeRequest) -> Self {
        Self {
            shard: request.shard,
            op: request.op,
            op_id: request.op_id,
            run: request.run,
            query_results: request.query_results,
            hints: request.hints,
        }
    }
}

/// The proposing side of a leader.
pub(super) struct Leader {
    /// Absent: the defaults that every replica knows.
    limits: Option<op::Limits>,
    hooks: OnceLock<Arc<dyn LeaderHooks>>,
    reservations: OnceLock<Arc<dyn Reservations>>,
}

impl Leader {
    pub(super) fn new(limits: &Limits) -> Self {
        let limits = (*limits != Limits::default()).then(|| limits.to_proposal());
        Self { limits, hooks: OnceLock::new(), reservations: OnceLock::new() }
    }

    pub(super) fn connect(&self, hooks: Arc<dyn LeaderHooks>) {
        assert!(self.hooks.set(hooks).is_ok(), "the leader's hooks are connected once");
    }

    pub(super) fn connect_reservations(&self, reservations: Arc<dyn Reservations>) {
        assert!(self.reservations.set(reservations).is_ok(), "the reservations are connected once");
    }

    pub(super) fn hooks(&self) -> Option<&Arc<dyn LeaderHooks>> {
        self.hooks.get()
    }

    /// Stamps and proposes to the local group, if this node leads it, in that term if one is named.
    pub(super) async fn propose(
        &self,
        group: &Arc<Group>,
        call: &Call,
        term: Option<u64>,
    ) -> Result<Committed, ProposeError> {
        let mut seed = [0; 16];
        rand::rng().fill_bytes(&mut seed);
        let reservations = self.reserve(group, call);
        let ids: Vec<u64> = reservations.iter().map(|held| held.id).collect();
        let proposal = EncodedProposal {
            stamp: Some(op::Stamp { now: super::clock::in_shard(group), seed: Bytes::copy_from_slice(&seed) }),
            op: call.op.clone(),
            op_id: call.op_id.clone(),
            limits: self.limits,
            reservations,
        };
        let proposal = proposal.encode_to_vec().into();
        if let (Some(hooks), Some(run)) = (self.hooks.get(), &call.run) {
            hooks.task_completing(run, &call.query_results);
        }
        let applied = match self.reservations.get().filter(|_| !ids.is_empty()) {
            Some(held) => propose_reserved(held.clone(), group.clone(), proposal, term, ids).await?,
            None => group.propose_in(term, proposal).await?,
        };
        let queries = self.after(call, &applied.answer);
        Ok(Committed { shard: call.shard, index: applied.index, answer: applied.answer, queries })
    }

    fn reserve(&self, group: &Group, call: &Call) -> Vec<op::Reservation> {
        match (&call.hints, self.reservations.get()) {
            (Some(hints), Some(reservations)) if group.is_leader() => reservations.reserve(call.shard, hints),
            _ => Vec::new(),
        }
    }

    /// Queries answered by the completed workflow task, and queries for the one that was started.
    fn after(&self, call: &Call, answer: &op::Answer) -> Queries {
        let Some(hooks) = self.hooks.get() else { return Queries::new() };
        let started = match answer.kind.as_ref() {
            Some(op::answer::Kind::WorkflowTaskStarted(started)) => started.task.as_ref(),
            Some(op::answer::Kind::CompleteWorkflowTask(done)) => {
                if let Some(run) = &call.run {
                    hooks.task_completed(run, call.query_results.clone(), done.new_task.is_some());
                }
                done.new_task.as_ref().and_then(|task| task.task.as_ref())
            }
            _ => None,
        };
        started.map(|task| hooks.task_started(&run_of_task(task))).unwrap_or_default()
    }
}

/// Proposes on a task of its own: whoever asked may go, the reserved pollers must learn how it ended.
async fn propose_reserved(
    held: Arc<dyn Reservations>,
    group: Arc<Group>,
    proposal: Bytes,
    term: Option<u64>,
    ids: Vec<u64>,
) -> Result<Applied, ProposeError> {
    let proposing = tokio::spawn(async move {
        let proposed = group.propose_in(term, proposal).await;
        match &proposed {
            Err(ProposeError::Unknown { .. }) => held.doubt(ids),
            _ => held.release(&ids),
        }
        proposed
    });
    proposing.await.unwrap_or_else(|error| Err(ProposeError::Unknown { why: error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_proposal_reads_as_a_proposal() {
        let op = op::Op { kind: Some(op::op::Kind::Tick(op::Tick { max: 7 })) };
        let call = Call::new(1, &op, QueryResults::new());
        let stamp = op::Stamp { now: 5, seed: Bytes::from_static(b"seed") };
        let limits = Limits { signals: 3, ..Limits::default() }.to_proposal();
        let encoded = EncodedProposal {
            stamp: Some(stamp.clone()),
            op: call.op.clone(),
            op_id: call.op_id.clone(),
            limits: Some(limits),
            reservations: vec![op::Reservation { id: 4, ..Default::default() }],
        };
        let read = op::Proposal::decode(encoded.encode_to_vec().as_slice()).expect("it is a proposal");
        let expected = op::Proposal {
            stamp: Some(stamp),
            op: Some(op),
            op_id: call.op_id,
            limits: Some(limits),
            reservations: vec![op::Reservation { id: 4, ..Default::default() }],
        };
        assert_eq!(read, expected);
    }
}
