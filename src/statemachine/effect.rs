//! Hints to the leader after commit. Each can be lost: recovery finds the same facts in the tables.

use proto::temporal::api::common::v1::Priority;
use proto::temporal::api::enums::v1::{TimeoutType, WorkflowExecutionStatus};

use crate::op::{ReservationAnswer, TaskRef};

/// The kind of task a queue holds; numbers are those of Temporal's `TaskQueueType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TaskType {
    Workflow = 1,
    Activity = 2,
}

impl TaskType {
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Workflow),
            2 => Some(Self::Activity),
            _ => None,
        }
    }
}

/// Names a task queue within a cluster. Sticky queues are queues with a name of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    pub namespace_id: String,
    pub task_type: TaskType,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A task waits in the ready table; `sticky` tasks have a normal queue to fall back to.
    TaskReady { queue: QueueKey, task: Box<TaskRef>, sticky: bool, priority: Option<Priority> },
    /// A task was started for a poller that came with the proposal.
    TaskStarted(Box<ReservationAnswer>),
    /// A deadline row was written; the leader should propose a Tick when it is due.
    DeadlineSet { due: i64 },
    /// A run got events or closed: wake whoever waits for its history.
    RunChanged { namespace_id: String, workflow_id: String, run_id: String, next_event_id: i64, closed: bool },
    /// A run closed. For counters only, like the next one.
    RunEnded { namespace: String, status: WorkflowExecutionStatus },
    /// An attempt of an activity timed out.
    ActivityTimedOut { namespace: String, kind: TimeoutType },
    /// The settings of a task queue changed.
    QueueConfigChanged { queue: QueueKey },
    /// A namespace was registered or changed.
    NamespaceChanged { id: String, name: String },
    /// The node list, the slot map or the cluster record changed.
    ClusterChanged,
    /// A message to another shard waits in the outbox.
    OutboxReady { id: u64 },
    /// A completion callback is to be delivered.
    CallbackReady,
}
