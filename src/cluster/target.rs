//! What an op or a read is for, and what committing it gave.

use std::collections::BTreeMap;

use proto::everstep::peer::v1::RunRef;
use proto::temporal::api::query::v1::{WorkflowQuery, WorkflowQueryResult};
use statemachine::op;

/// The shard of namespaces, nodes and the slot map.
pub const SYSTEM_SHARD: u32 = 0;

/// What names a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    System,
    Workflow { namespace_id: &'a str, workflow_id: &'a str },
    Shard(u32),
}

/// Answers to piggy-backed queries, by the ids they were handed out with.
pub type QueryResults = BTreeMap<String, WorkflowQueryResult>;
/// Queries to hand out together with a workflow task, by id.
pub type Queries = BTreeMap<String, WorkflowQuery>;

/// An op that was committed and applied at the leader. A refusal is an answer too: `op::answer::Kind::Reject`.
#[derive(Debug, Clone)]
pub struct Committed {
    pub shard: u32,
    pub index: u64,
    pub answer: op::Answer,
    /// Of the run whose workflow task the op started; to be sent to the worker with it.
    pub queries: Queries,
}

/// What became of a query that waited for a workflow task.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffered {
    Answered(WorkflowQueryResult),
    /// No workflow task is outstanding any more: ask a worker through matching. Look at the run again first.
    Dispatch,
    /// Too many queries wait for this run.
    Full,
}

/// The run an op's workflow task belongs to, for those ops whose queries travel with it.
pub(super) fn run_of(op: &op::Op) -> Option<RunRef> {
    let task = match op.kind.as_ref()? {
        op::op::Kind::CompleteWorkflowTask(op) => op.task.as_ref()?,
        _ => return None,
    };
    Some(run_of_task(task))
}

pub(super) fn run_of_task(task: &op::TaskRef) -> RunRef {
    RunRef {
        namespace_id: task.namespace_id.clone(),
        workflow_id: task.workflow_id.clone(),
        run_id: task.run_id.clone(),
    }
}
