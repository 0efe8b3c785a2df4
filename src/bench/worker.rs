//! The workers: a few polls always wait, what they bring is answered aside, as the SDKs do it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use proto::temporal::api::history::v1::HistoryEvent;
use proto::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, PollActivityTaskQueueRequest, PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse, RespondActivityTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Status};

use super::connect::Client;
use super::load::Bench;
use super::scenario::{self, task_queue};
use super::updates;

const POLL_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// One loop of polls. What it gets is answered over the same connection, as by an SDK's worker.
#[derive(Clone)]
struct Poller {
    bench: Arc<Bench>,
    queue: String,
    client: Client,
    /// Of the connection: all its pollers are one worker.
    identity: String,
}

/// Runs until `stop`.
pub(super) fn start(bench: &Arc<Bench>, stop: &CancellationToken) -> JoinHandle<()> {
    let polls = TaskTracker::new();
    for number in 0..bench.options.workflow_pollers {
        let (poller, stop) = (Poller::new(bench, number), stop.clone());
        polls.spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = poller.poll_workflow_task() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }
    for number in 0..bench.options.activity_pollers {
        let (poller, stop) = (Poller::new(bench, number), stop.clone());
        polls.spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = poller.poll_activity_task() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }
    polls.close();
    tokio::spawn(async move { polls.wait().await })
}

impl Poller {
    fn new(bench: &Arc<Bench>, number: usize) -> Self {
        let (connection, client) = bench.worker_client(number);
        let identity = format!("everstep-bench-worker-{connection}");
        Self { bench: bench.clone(), queue: bench.queue(number), client, identity }
    }

    async fn poll_workflow_task(&self) {
        let request = PollWorkflowTaskQueueRequest {
            namespace: self.bench.options.namespace.clone(),
            task_queue: Some(task_queue(&self.queue)),
            identity: self.identity.clone(),
            ..Default::default()
        };
        match self.client.clone().poll_workflow_task_queue(with_timeout(request)).await {
            Ok(response) => {
                let task = response.into_inner();
                if !task.task_token.is_empty() {
                    self.bench.recorder.handed_out(since(task.scheduled_time));
                    let poller = self.clone();
                    tokio::spawn(async move { poller.answer_workflow_task(task).await });
                }
            }
            Err(status) => failed(&self.bench, "poll", &status).await,
        }
    }

    async fn answer_workflow_task(&self, task: PollWorkflowTaskQueueResponse) {
        let workflow_id = task.workflow_execution.as_ref().map(|run| run.workflow_id.clone()).unwrap_or_default();
        let events = match self.whole_history(&task).await {
            Ok(events) => events,
            Err(status) => return failed(&self.bench, "history", &status).await,
        };
        let workflow_type = task.workflow_type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default();
        let is_measured = workflow_type == scenario::WORKFLOW;
        let (mut commands, mut ends) = self.bench.plan.next(workflow_type, &self.queue, &events);
        let mut messages = Vec::new();
        for update in &task.messages {
            commands.splice(0..0, updates::handle(update, &self.bench.plan.payloads, &mut messages));
        }
        if !messages.is_empty() && self.bench.plan.is_last_update(&events, &task.messages) {
            commands.push(self.bench.plan.complete());
            ends = true;
        }
        let request = RespondWorkflowTaskCompletedRequest {
            namespace: self.bench.options.namespace.clone(),
            task_token: task.task_token,
            commands,
            messages,
            identity: self.identity.clone(),
            ..Default::default()
        };
        match self.client.clone().respond_workflow_task_completed(request).await {
            Ok(_) => {
                self.bench.recorder.transition();
                if ends && is_measured {
                    self.bench.ended(&workflow_id);
                } else if workflow_type == scenario::IDLE {
                    self.bench.rests();
                }
            }
            Err(status) => failed(&self.bench, "answer", &status).await,
        }
    }

    async fn whole_history(&self, task: &PollWorkflowTaskQueueResponse) -> Result<Vec<HistoryEvent>, Status> {
        let mut events = task.history.clone().unwrap_or_default().events;
        let mut next_page_token = task.next_page_token.clone();
        while !next_page_token.is_empty() {
            let request = GetWorkflowExecutionHistoryRequest {
                namespace: self.bench.options.namespace.clone(),
                execution: task.workflow_execution.clone(),
                next_page_token,
                ..Default::default()
            };
            let page = self.client.clone().get_workflow_execution_history(request).await?.into_inner();
            events.extend(page.history.unwrap_or_default().events);
            next_page_token = page.next_page_token;
        }
        Ok(events)
    }

    async fn poll_activity_task(&self) {
        let request = PollActivityTaskQueueRequest {
            namespace: self.bench.options.namespace.clone(),
            task_queue: Some(task_queue(&self.queue)),
            identity: self.identity.clone(),
            ..Default::default()
        };
        match self.client.clone().poll_activity_task_queue(with_timeout(request)).await {
            Ok(response) => {
                let task = response.into_inner();
                if !task.task_token.is_empty() {
                    self.bench.recorder.handed_out(since(task.current_attempt_scheduled_time));
                    let poller = self.clone();
                    tokio::spawn(async move { poller.answer_activity_task(task).await });
                }
            }
            Err(status) => failed(&self.bench, "poll", &status).await,
        }
    }

    async fn answer_activity_task(&self, task: PollActivityTaskQueueResponse) {
        let request = RespondActivityTaskCompletedRequest {
            namespace: self.bench.options.namespace.clone(),
            task_token: task.task_token,
            result: Some(self.bench.plan.payloads.clone()),
            identity: self.identity.clone(),
            ..Default::default()
        };
        match self.client.clone().respond_activity_task_completed(request).await {
            Ok(_) => self.bench.recorder.transition(),
            Err(status) => failed(&self.bench, "answer", &status).await,
        }
    }
}

async fn failed(bench: &Bench, call: &str, status: &Status) {
    bench.recorder.failed(call, status);
    tokio::time::sleep(PAUSE).await;
}

fn with_timeout<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(POLL_TIMEOUT);
    request
}

/// By the clocks of server and client, which are one on one machine.
fn since(time: Option<Timestamp>) -> Duration {
    let time = time.and_then(|time| SystemTime::try_from(time).ok());
    time.and_then(|time| time.elapsed().ok()).unwrap_or_default()
}
