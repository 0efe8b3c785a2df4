//! Long polls of workers: a poll waits in matching for a task, starts it by an op, and answers with all that the worker
//! needs. A task whose start is refused is somebody else's or gone: the poll goes on. A task that was not started when
//! the client goes away is matched again.

use std::time::Duration;

use proto::temporal::api::enums::v1::TaskQueueKind;
use proto::temporal::api::taskqueue::v1::{PollerScalingDecision, TaskQueue};
use proto::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
};
use statemachine::op::op::Kind;
use statemachine::op::{answer, Op, Poller, StartTask, TaskRef, WorkflowTaskStarted};
use statemachine::reject::code;
use statemachine::{QueueKey, Reject, TaskType};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::assemble;
use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{accepted, is_bad_binary, name_of, Done, Frontend, Namespace};
use crate::api::quotas::LongPoll;
use crate::api::validate;
use crate::cluster::{Queries, Target};
use crate::matching::{Given, Handed, PollRequest, PollResult, Started, TaskKind};
use crate::telemetry::tasks::{polled, Poll};

/// A poll must be able to wait so long (Temporal: common.MinLongPollTimeout).
const TIME_MIN: Duration = Duration::from_secs(2);
/// So long before the client's deadline it gets an empty answer (Temporal: returnEmptyTaskTimeBudget).
const TIME_BUFFER: Duration = Duration::from_secs(1);
/// Between the polls of one worker at a node that is about to leave.
const DRAINING_PAUSE: Duration = Duration::from_millis(200);
/// A poll that waited so long was one too many (Temporal: matching.pollerScalingWaitTime).
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// For starting a task that came at the very end.
const START_PATIENCE: Duration = Duration::from_secs(10);

pub async fn workflow_task_queue(
    frontend: &Frontend,
    mut call: Call<PollWorkflowTaskQueueRequest>,
) -> Result<PollWorkflowTaskQueueResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let times = Times::of(&call, frontend.config.frontend.poll_timeout)?;
    validate::length("Identity", &call.message.identity)?;
    validate::task_queue(&mut call.message.task_queue)?;
    #[expect(deprecated, reason = "older workers send checksums")]
    let binary_checksum = call.message.binary_checksum.clone();
    if is_bad_binary(&namespace, &binary_checksum) {
        let text = format!("Binary {binary_checksum} already marked as bad deployment.");
        return Err(Reject::invalid_argument(text).into());
    }
    #[expect(deprecated, reason = "older workers say their version so")]
    let poller = Poller {
        identity: call.message.identity.clone(),
        request_id: uuid::Uuid::new_v4().to_string(),
        version: call.message.worker_version_capabilities.clone(),
        deployment: call.message.deployment_options.clone(),
        binary_checksum,
        worker_instance_key: call.message.worker_instance_key.clone(),
    };
    let queue = key(&namespace, TaskType::Workflow, call.message.task_queue.as_ref());
    let sticky = call.message.task_queue.as_ref().is_some_and(|queue| queue.kind == TaskQueueKind::Sticky as i32);
    let request = PollRequest { queue, sticky, poller, max_tasks_per_second: None, deadline: times.poll };
    wait(frontend, &namespace, request, &times).await
}

pub async fn activity_task_queue(
    frontend: &Frontend,
    mut call: Call<PollActivityTaskQueueRequest>,
) -> Result<PollActivityTaskQueueResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let times = Times::of(&call, frontend.config.frontend.poll_timeout)?;
    validate::length("Identity", &call.message.identity)?;
    validate::task_queue(&mut call.message.task_queue)?;
    #[expect(deprecated, reason = "older workers say their version so")]
    let poller = Poller {
        identity: call.message.identity.clone(),
        request_id: uuid::Uuid::new_v4().to_string(),
        version: call.message.worker_version_capabilities.clone(),
        deployment: call.message.deployment_options.clone(),
        binary_checksum: String::new(),
        worker_instance_key: call.message.worker_instance_key.clone(),
    };
    let queue = key(&namespace, TaskType::Activity, call.message.task_queue.as_ref());
    let rate = call.message.task_queue_metadata.as_ref().and_then(|metadata| metadata.max_tasks_per_second);
    let request = PollRequest { queue, sticky: false, poller, max_tasks_per_second: rate, deadline: times.poll };
    wait(frontend, &namespace, request, &times).await
}

/// What a poll of a kind of tasks is answered.
trait Answer: Default {
    const TASK_TYPE: TaskType;
    const LONG_POLL: LongPoll;

    /// With a task that the op which made it has started for this poll.
    fn of_started(frontend: &Frontend, started: Started) -> Result<Option<Self>, ApiError>;

    /// With a task that matching has handed out and that is to be started.
    async fn of_handed(
        frontend: &Frontend,
        handed: Handed,
        poller: &Poller,
        deadline: Instant,
    ) -> Result<Option<Self>, ApiError>;

    fn advise(&mut self, decision: Option<PollerScalingDecision>);
}

impl Answer for PollWorkflowTaskQueueResponse {
    const TASK_TYPE: TaskType = TaskType::Workflow;
    const LONG_POLL: LongPoll = LongPoll::WorkflowTasks;

    fn of_started(frontend: &Frontend, started: Started) -> Result<Option<Self>, ApiError> {
        match started.answer.workflow_task {
            Some(task) => applied_here(frontend, task, started.queries, started.shard).map(Some),
            None => Ok(None),
        }
    }

    async fn of_handed(
        frontend: &Frontend,
        handed: Handed,
        poller: &Poller,
        deadline: Instant,
    ) -> Result<Option<Self>, ApiError> {
        workflow_task(frontend, handed, poller, deadline).await
    }

    fn advise(&mut self, decision: Option<PollerScalingDecision>) {
        self.poller_scaling_decision = decision;
    }
}

impl Answer for PollActivityTaskQueueResponse {
    const TASK_TYPE: TaskType = TaskType::Activity;
    const LONG_POLL: LongPoll = LongPoll::ActivityTasks;

    fn of_started(frontend: &Frontend, started: Started) -> Result<Option<Self>, ApiError> {
        match started.answer.activity_task {
            Some(task) => assemble::activity_task(frontend, task).map(Some),
            None => Ok(None),
        }
    }

    async fn of_handed(
        frontend: &Frontend,
        handed: Handed,
        poller: &Poller,
        deadline: Instant,
    ) -> Result<Option<Self>, ApiError> {
        activity_task(frontend, handed, poller, deadline).await
    }

    fn advise(&mut self, decision: Option<PollerScalingDecision>) {
        self.poller_scaling_decision = decision;
    }
}

/// Waits for a task until one was started for this poll or its time is over.
async fn wait<T: Answer>(
    frontend: &Frontend,
    namespace: &Namespace,
    request: PollRequest,
    times: &Times,
) -> Result<T, ApiError> {
    let begun = Instant::now();
    let _waiting = frontend.quotas.enter(&namespace.id, T::LONG_POLL)?;
    loop {
        let mut more_pollers = false;
        let answered = match frontend.matching.poll(request.clone()).await? {
            PollResult::Empty => {
                polled(name_of(namespace), T::TASK_TYPE, Poll::Empty, begun.elapsed());
                return Ok(empty(frontend, begun).await);
            }
            PollResult::Started(started) => T::of_started(frontend, *started),
            PollResult::Task(handed) => {
                more_pollers = handed.more_pollers;
                T::of_handed(frontend, handed, &request.poller, times.start).await
            }
        };
        if let Some(mut answer) = settle(answered, times.poll).await? {
            answer.advise(scaling(begun.elapsed(), more_pollers));
            polled(name_of(namespace), T::TASK_TYPE, Poll::Task, begun.elapsed());
            return Ok(answer);
        }
    }
}

/// Advice on the number of polls: fewer if one waited long for its task, more if tasks wait (matching says so).
fn scaling(waited: Duration, more_pollers: bool) -> Option<PollerScalingDecision> {
    let delta = match (waited >= IDLE_WAIT, more_pollers) {
        (true, _) => -1,
        (false, true) => 1,
        (false, false) => return None,
    };
    Some(PollerScalingDecision { poll_request_delta_suggestion: delta })
}

/// Nothing came. While this node drains, polls end at once: workers that come back over the same connection wait a
/// little, rather than ask again and again.
async fn empty<T: Default>(frontend: &Frontend, begun: Instant) -> T {
    if frontend.router.draining().is_set() && begun.elapsed() < DRAINING_PAUSE {
        tokio::time::sleep(DRAINING_PAUSE).await;
    }
    T::default()
}

/// The queue a poll is of. A sticky queue has a name of its own.
fn key(namespace: &Namespace, task_type: TaskType, queue: Option<&TaskQueue>) -> QueueKey {
    let name = queue.map(|queue| queue.name.clone()).unwrap_or_default();
    debug_assert!(queue.is_some_and(|queue| queue.kind != TaskQueueKind::Unspecified as i32));
    QueueKey { namespace_id: namespace.id.clone(), task_type, name }
}

/// How long a poll waits, and until when a task that it got may be started.
struct Times {
    poll: Instant,
    start: Instant,
}

impl Times {
    fn of<T>(call: &Call<T>, patience: Duration) -> Result<Self, Reject> {
        let wait = match call.remaining() {
            Some(remaining) if remaining < TIME_MIN => {
                return Err(Reject::failed_precondition("Context timeout is too short."));
            }
            Some(remaining) => patience.min(remaining - TIME_BUFFER),
            None => patience,
        };
        let poll = Instant::now() + wait;
        let start = call.deadline.unwrap_or(poll + START_PATIENCE);
        Ok(Self { poll, start })
    }
}

/// What became of a task that was handed out: an answer, nothing (the poll goes on), or an error for the client.
async fn settle<T>(answered: Result<Option<T>, ApiError>, deadline: Instant) -> Result<Option<T>, ApiError> {
    match answered {
        Ok(answer) => Ok(answer),
        Err(ApiError::Reject(reject)) if reject.code() != code::RESOURCE_EXHAUSTED => {
            tracing::debug!(message = reject.message(), "a task is gone; the poll goes on");
            Ok(None)
        }
        // The shard has no leader for the moment. The task waits in its table, so waiting costs nothing.
        Err(ApiError::Unavailable(why)) if Instant::now() < deadline => {
            tracing::debug!(why, "a task could not be started; the poll goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn workflow_task(
    frontend: &Frontend,
    handed: Handed,
    poller: &Poller,
    deadline: Instant,
) -> Result<Option<PollWorkflowTaskQueueResponse>, ApiError> {
    if let TaskKind::Query(query) = &handed.kind {
        let rows = match query.sticky {
            true => None,
            false => Some(frontend.read(&query.namespace_id, &query.workflow_id, deadline).await?),
        };
        let response = assemble::query_task(frontend, rows.as_ref(), query)?;
        handed.done();
        return Ok(Some(response));
    }
    let (done, given) = start(frontend, handed, poller, deadline).await?;
    let answer::Kind::WorkflowTaskStarted(started) = done.answer else {
        return Err(ApiError::Internal("a workflow task's start was answered by something else"));
    };
    let rows = frontend.read_after(done.shard, done.index, deadline).await?;
    let response = assemble::workflow_task(frontend, &rows, started, done.queries, assemble::Events::AsQueued)?;
    given.delivered();
    Ok(Some(response))
}

async fn activity_task(
    frontend: &Frontend,
    handed: Handed,
    poller: &Poller,
    deadline: Instant,
) -> Result<Option<PollActivityTaskQueueResponse>, ApiError> {
    let (done, given) = start(frontend, handed, poller, deadline).await?;
    let answer::Kind::ActivityTaskStarted(started) = done.answer else {
        return Err(ApiError::Internal("an activity's start was answered by something else"));
    };
    let response = assemble::activity_task(frontend, started)?;
    given.delivered();
    Ok(Some(response))
}

/// Makes the task this poller's. Unless that was decided, the task goes back to matching. What was proposed cannot be
/// called back: if the client goes away meanwhile, the start is awaited all the same, and then the task goes back.
async fn start(
    frontend: &Frontend,
    handed: Handed,
    poller: &Poller,
    deadline: Instant,
) -> Result<(Done, Given), ApiError> {
    let op = StartTask { task: Some(handed.task.clone()), poller: Some(poller.clone()) };
    let (router, matching) = (frontend.router.clone(), frontend.matching.clone());
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (namespace_id, workflow_id) = (handed.task.namespace_id.clone(), handed.task.workflow_id.clone());
        let target = Target::Workflow { namespace_id: &namespace_id, workflow_id: &workflow_id };
        let committed = router.propose(target, Op { kind: Some(Kind::StartTask(op)) }, deadline).await;
        let started = committed.map_err(ApiError::from).and_then(accepted);
        if matches!(started, Ok(_) | Err(ApiError::Reject(_))) {
            handed.done();
        }
        // If nobody waits for it, what is sent is dropped, and `Given` sees to the task.
        let _nobody = tell.send(started.map(|done| {
            let given = Given::new(matching, done.shard, task_of(&done.answer));
            (done, given)
        }));
    });
    told.await.map_err(|_| ApiError::Internal("a task's start ended without an answer"))?
}

fn task_of(answer: &answer::Kind) -> Option<TaskRef> {
    match answer {
        answer::Kind::WorkflowTaskStarted(started) => started.task.clone(),
        answer::Kind::ActivityTaskStarted(started) => started.task.clone(),
        _ => None,
    }
}

/// A task that this node has applied the start of: its rows are there.
fn applied_here(
    frontend: &Frontend,
    started: WorkflowTaskStarted,
    queries: Queries,
    shard: u32,
) -> Result<PollWorkflowTaskQueueResponse, ApiError> {
    let rows = frontend.router.local(shard).ok_or(ApiError::Internal("a task was started on a shard that is gone"))?;
    assemble::workflow_task(frontend, &rows, started, queries, assemble::Events::AsQueued)
}
