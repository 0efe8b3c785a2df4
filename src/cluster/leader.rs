//! What the leader of a shard adds to an op, and the seam where `effects` joins in.

use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;
use proto::everstep::peer::v1::RunRef;
use proto::temporal::api::query::v1::WorkflowQuery;
use rand::RngCore;
use statemachine::limits::Limits;
use statemachine::op;

use super::target::{run_of_task, Buffered, Committed, Queries, QueryResults};
use crate::raft::{Group, ProposeError};

/// What the leader's side keeps in memory about runs; `effects` implements it.
pub trait LeaderHooks: Send + Sync + 'static {
    /// A workflow task of the run was started: the queries to send with it.
    fn task_started(&self, run: &RunRef) -> Queries;

    /// The run's workflow task was completed with these answers. `next` says whether its next one started with it.
    fn task_completed(&self, run: &RunRef, results: QueryResults, next: bool);

    /// Holds a query until the run's next workflow task. Only on the leader of `shard`.
    fn buffer_query(&self, shard: u32, run: RunRef, query: WorkflowQuery) -> BoxFuture<'static, Option<Buffered>>;
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
}

impl Call {
    pub(super) fn new(shard: u32, op: &op::Op, query_results: QueryResults) -> Self {
        let mut op_id = [0; 8];
        rand::rng().fill_bytes(&mut op_id);
        let run = super::target::run_of(op);
        let op = op.encode_to_vec().into();
        Self { shard, op, op_id: Bytes::copy_from_slice(&op_id), run, query_results }
    }
}

/// The proposing side of a leader.
pub(super) struct Leader {
    /// Absent: the defaults that every replica knows.
    limits: Option<op::Limits>,
    hooks: std::sync::OnceLock<std::sync::Arc<dyn LeaderHooks>>,
}

impl Leader {
    pub(super) fn new(limits: &Limits) -> Self {
        let limits = (*limits != Limits::default()).then(|| limits.to_proposal());
        Self { limits, hooks: std::sync::OnceLock::new() }
    }

    pub(super) fn connect(&self, hooks: std::sync::Arc<dyn LeaderHooks>) {
        assert!(self.hooks.set(hooks).is_ok(), "the leader's hooks are connected once");
    }

    pub(super) fn hooks(&self) -> Option<&std::sync::Arc<dyn LeaderHooks>> {
        self.hooks.get()
    }

    /// Stamps and proposes to the local group.
    pub(super) async fn propose(&self, group: &Group, call: &Call) -> Result<Committed, ProposeError> {
        let mut seed = [0; 16];
        rand::rng().fill_bytes(&mut seed);
        let proposal = EncodedProposal {
            stamp: Some(op::Stamp { now: super::now(), seed: Bytes::copy_from_slice(&seed) }),
            op: call.op.clone(),
            op_id: call.op_id.clone(),
            limits: self.limits,
        };
        let applied = group.propose(proposal.encode_to_vec().into()).await?;
        let queries = self.after(call, &applied.answer);
        Ok(Committed { shard: call.shard, index: applied.index, answer: applied.answer, queries })
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
        };
        let read = op::Proposal::decode(encoded.encode_to_vec().as_slice()).expect("it is a proposal");
        let expected = op::Proposal {
            stamp: Some(stamp),
            op: Some(op),
            op_id: call.op_id,
            limits: Some(limits),
            ..Default::default()
        };
        assert_eq!(read, expected);
    }
}
