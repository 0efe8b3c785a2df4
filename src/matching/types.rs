//! What goes in and out of matching.

use std::collections::BTreeMap;

use proto::everstep::peer::v1::QueryTask;
use proto::temporal::api::query::v1::WorkflowQuery;
use statemachine::{op, QueueKey, TaskType};
use tokio::time::Instant;

/// Temporal's default of `priority_key`; 1 is the first to be served, 5 the last.
pub const DEFAULT_PRIORITY: i32 = 3;

/// A task that waits for a poller.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub queue: QueueKey,
    pub task: op::TaskRef,
    pub priority: i32,
    pub fairness_key: String,
    pub fairness_weight: f32,
    pub ready_time: i64,
    /// It waits in a worker's sticky queue and may fall back to its normal one.
    pub sticky: bool,
    /// Its queue could do with another poller.
    pub more_pollers: bool,
    pub kind: TaskKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TaskKind {
    Workflow,
    Activity,
    Query(Box<QueryTask>),
}

impl Task {
    /// A task as `Effect::TaskReady` tells it, with the fairness of everybody.
    pub fn ready(queue: QueueKey, task: op::TaskRef, sticky: bool) -> Self {
        let kind = match queue.task_type {
            TaskType::Workflow => TaskKind::Workflow,
            TaskType::Activity => TaskKind::Activity,
        };
        let priority = if task.priority > 0 { task.priority } else { DEFAULT_PRIORITY };
        let ready_time = task.ready_time;
        Self {
            queue,
            task,
            priority,
            fairness_key: String::new(),
            fairness_weight: 1.0,
            ready_time,
            sticky,
            more_pollers: false,
            kind,
        }
    }

    /// Shares a priority level with other keys in proportion to the weights.
    pub fn with_fairness(mut self, key: String, weight: f32) -> Self {
        self.fairness_key = key;
        self.fairness_weight = weight;
        self
    }

    pub(super) fn query(queue: QueueKey, query: QueryTask, now: i64) -> Self {
        Self {
            queue,
            task: op::TaskRef::default(),
            priority: 0,
            fairness_key: String::new(),
            fairness_weight: 1.0,
            ready_time: now,
            sticky: query.sticky,
            more_pollers: false,
            kind: TaskKind::Query(Box::new(query)),
        }
    }

    /// When a task that is of no use after some time has passed it: queries only.
    pub(super) fn expires(&self) -> Option<i64> {
        match &self.kind {
            TaskKind::Query(query) => Some(query.deadline),
            TaskKind::Workflow | TaskKind::Activity => None,
        }
    }

    /// It waits for so long that it must have been read from the ready table, where there may be more.
    pub(super) fn is_aged(&self, now: i64) -> bool {
        match self.kind {
            TaskKind::Query(_) => false,
            TaskKind::Workflow | TaskKind::Activity => self.ready_time + span::SECOND <= now,
        }
    }

    pub fn key(&self) -> TaskKey {
        match &self.kind {
            TaskKind::Query(query) => TaskKey::Query { origin: query.origin_node, id: query.id },
            TaskKind::Workflow | TaskKind::Activity => TaskKey::Stored {
                run_id: self.task.run_id.clone(),
                scheduled_event_id: self.task.scheduled_event_id,
                stamp: self.task.stamp,
                attempt: self.task.attempt,
            },
        }
    }
}

/// What makes two offers the same task within a queue. Run ids are unique, so they stand for the workflow too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKey {
    Stored { run_id: String, scheduled_event_id: i64, stamp: u64, attempt: i32 },
    Query { origin: u64, id: u64 },
}

/// One long poll of a worker.
#[derive(Debug, Clone)]
pub struct PollRequest {
    /// A sticky queue has a name of its own here, never its normal queue's.
    pub queue: QueueKey,
    /// One worker's own queue.
    pub sticky: bool,
    pub poller: op::Poller,
    /// Activity queues only: `task_queue_metadata.max_tasks_per_second`.
    pub max_tasks_per_second: Option<f64>,
    pub deadline: Instant,
}

/// A parked poller taken out for a proposal that may create a task for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    pub id: u64,
    pub queue: QueueKey,
    pub poller: op::Poller,
}

/// A task that a proposal started for a reserved poller of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    pub shard: u32,
    pub answer: op::ReservationAnswer,
    /// Queries that go to the worker with a workflow task.
    pub queries: BTreeMap<String, WorkflowQuery>,
}

impl Started {
    /// The task as its token names it.
    pub fn task(&self) -> Option<&op::TaskRef> {
        let workflow = self.answer.workflow_task.as_ref().and_then(|started| started.task.as_ref());
        workflow.or_else(|| self.answer.activity_task.as_ref().and_then(|started| started.task.as_ref()))
    }
}

/// A bound of matching is reached: RESOURCE_EXHAUSTED to the caller, who tries again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    #[error("too many pollers wait on this node")]
    Pollers,
    #[error("too many pollers of this namespace wait on this node")]
    NamespacePollers,
    #[error("too many pollers wait for this task queue")]
    QueuePollers,
    #[error("too many task queues are in use on this node")]
    Queues,
    #[error("too many task queues of this namespace are in use on this node")]
    NamespaceQueues,
    #[error("too many queries wait on this node")]
    Queries,
}

/// Bounds of what one node holds in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    pub queues: usize,
    pub queues_per_namespace: usize,
    pub pollers: usize,
    pub pollers_per_namespace: usize,
    pub pollers_per_queue: usize,
    pub buffered: usize,
    pub buffered_per_queue: usize,
    /// A home with fewer tasks of a queue than this asks for more.
    pub low_water: usize,
    /// Offers on their way to one peer.
    pub offers_per_peer: usize,
    pub queries: usize,
}

impl Limits {
    /// The defaults, but for the share of one namespace.
    pub fn with_shares(queues_per_namespace: usize, pollers_per_namespace: usize) -> Self {
        Self { queues_per_namespace, pollers_per_namespace, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queues: 100_000,
            queues_per_namespace: 25_000,
            pollers: 50_000,
            pollers_per_namespace: 20_000,
            pollers_per_queue: 10_000,
            buffered: 200_000,
            buffered_per_queue: 1024,
            low_water: 256,
            offers_per_peer: 8192,
            queries: 4096,
        }
    }
}

/// Durations that the core goes by, in nanoseconds.
pub mod span {
    pub const SECOND: i64 = 1_000_000_000;
    /// For so long an offer of a task just handed out is ignored; a `StartTask` takes less.
    pub const HANDED_OUT: i64 = 2 * SECOND;
    /// A sticky queue without a poller for so long is not waited for (Temporal: stickyPollerUnavailableWindow).
    pub const STICKY_WINDOW: i64 = 10 * SECOND;
    /// Temporal: matching.queryPollerUnavailableWindow.
    pub const QUERY_WINDOW: i64 = 20 * SECOND;
    /// After homes may have moved, pollers need so long to be known at the new one.
    pub const SETTLE: i64 = 3 * SECOND;
    /// Polls of a worker that was shut down come back empty for so long (measured, SEMANTICS F).
    pub const SHUT_DOWN: i64 = 30 * SECOND;
    /// Temporal: matching.PollerHistoryTTL.
    pub const SIGHTING: i64 = 300 * SECOND;
    /// A queue that nobody used for so long is forgotten.
    pub const IDLE_QUEUE: i64 = 330 * SECOND;
}
