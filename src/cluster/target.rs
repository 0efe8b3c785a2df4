//! What an op or a read is for, and what committing it gave.

use std::collections::BTreeMap;

use proto::everstep::peer::v1::{RunRef, TaskHints};
use proto::temporal::api::command::v1::command::Attributes;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::query::v1::{WorkflowQuery, WorkflowQueryResult};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use statemachine::op;

/// The shard of namespaces, nodes and the slot map.
pub const SYSTEM_SHARD: u32 = 0;

/// One op takes no more pollers along than this.
const RESERVED_MAX: usize = 16;

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
#[expect(clippy::large_enum_variant, reason = "few of these exist at a time")]
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

/// Where the op may make tasks ready, as far as it tells.
pub(super) fn hints_of(op: &op::Op) -> Option<TaskHints> {
    use op::op::Kind;
    let wakes = |task: Option<&op::TaskRef>| Some(TaskHints { run: Some(run_of_task(task?)), ..Default::default() });
    let named = |facts: Option<&op::NamespaceFacts>, execution: Option<&WorkflowExecution>| {
        let run = execution.map(|execution| run_named(facts, &execution.workflow_id, &execution.run_id));
        Some(TaskHints { run, ..Default::default() })
    };
    match op.kind.as_ref()? {
        Kind::StartWorkflow(op) => {
            let request = op.request.as_ref()?;
            let at_once = request.workflow_start_delay.is_none() && request.cron_schedule.is_empty();
            (at_once && !request.request_eager_execution)
                .then(|| new_run(op.namespace.as_ref(), request.task_queue.as_ref()))
        }
        Kind::SignalWithStart(op) => {
            let request = op.request.as_ref()?;
            let run = run_named(op.namespace.as_ref(), &request.workflow_id, "");
            Some(TaskHints { run: Some(run), ..new_run(op.namespace.as_ref(), request.task_queue.as_ref()) })
        }
        Kind::SignalWorkflow(op) => {
            named(op.namespace.as_ref(), op.request.as_ref().and_then(|request| request.workflow_execution.as_ref()))
        }
        Kind::RequestCancelWorkflow(op) => {
            named(op.namespace.as_ref(), op.request.as_ref().and_then(|request| request.workflow_execution.as_ref()))
        }
        Kind::CompleteWorkflowTask(op) => Some(commanded(op)),
        Kind::CompleteActivity(op) => wakes(op.task.as_ref()),
        Kind::FailActivity(op) => wakes(op.task.as_ref()),
        Kind::CancelActivity(op) => wakes(op.task.as_ref()),
        Kind::Tick(_) => Some(TaskHints { due: true, ..Default::default() }),
        _ => None,
    }
}

fn run_named(facts: Option<&op::NamespaceFacts>, workflow_id: &str, run_id: &str) -> RunRef {
    let namespace_id = facts.map(|facts| facts.id.clone()).unwrap_or_default();
    RunRef { namespace_id, workflow_id: workflow_id.into(), run_id: run_id.into() }
}

fn new_run(facts: Option<&op::NamespaceFacts>, queue: Option<&TaskQueue>) -> TaskHints {
    TaskHints {
        namespace_id: facts.map(|facts| facts.id.clone()).unwrap_or_default(),
        workflow_queue: queue.map(|queue| queue.name.clone()).unwrap_or_default(),
        ..Default::default()
    }
}

/// The queues of the activities that a workflow task schedules.
fn commanded(op: &op::CompleteWorkflowTask) -> TaskHints {
    let commands = op.request.as_ref().map(|request| request.commands.as_slice()).unwrap_or_default();
    let scheduled = commands.iter().filter_map(|command| match command.attributes.as_ref()? {
        Attributes::ScheduleActivityTaskCommandAttributes(scheduled) => Some(scheduled),
        _ => None,
    });
    TaskHints {
        namespace_id: op.task.as_ref().map(|task| task.namespace_id.clone()).unwrap_or_default(),
        activity_queues: scheduled
            .filter_map(|scheduled| scheduled.task_queue.as_ref().map(|queue| queue.name.clone()))
            .take(RESERVED_MAX)
            .collect(),
        ..Default::default()
    }
}

pub(super) fn run_of_task(task: &op::TaskRef) -> RunRef {
    RunRef {
        namespace_id: task.namespace_id.clone(),
        workflow_id: task.workflow_id.clone(),
        run_id: task.run_id.clone(),
    }
}
