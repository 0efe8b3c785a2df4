//! Starts workflows, and knows when each was due.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::workflowservice::v1::{SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::{Client, Clients};
use super::options::Options;
use super::recorder::Recorder;
use super::scenario::{self, Plan, Scenario};
use super::updates;

/// A workflow that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a failed start, so that a server that refuses is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(50);
/// Starts under way while the server is filled.
const FILLERS: usize = 64;
/// Starts under way in the open loop.
const OUTSTANDING_MAX: usize = 200_000;

#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    Closed(usize),
    Open(f64),
}

impl std::fmt::Display for Load {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(count) => write!(formatter, "{count} in flight"),
            Self::Open(rate) => write!(formatter, "{rate}/s"),
        }
    }
}

/// Everything that the starters and the workers share.
pub(super) struct Bench {
    pub(super) options: Options,
    pub(super) plan: Plan,
    pub(super) recorder: Arc<Recorder>,
    clients: Vec<Client>,
    /// Connections of their own: a worker does not wait behind starts.
    worker_clients: Vec<Client>,
    next: AtomicU64,
    /// Workflows that wait for ever and have come to that.
    at_rest: AtomicUsize,
    under_way: Mutex<HashMap<String, UnderWay>>,
}

struct UnderWay {
    due: Instant,
    ended: oneshot::Sender<()>,
}

impl Bench {
    pub(super) fn new(options: Options, queue: String, clients: &Clients, recorder: Arc<Recorder>) -> Self {
        let payloads = scenario::payloads(options.payload);
        let plan = Plan { scenario: options.scenario, steps: options.steps, queue, payloads };
        Self {
            options,
            plan,
            recorder,
            clients: clients.starters.clone(),
            worker_clients: clients.workers.clone(),
            next: AtomicU64::new(0),
            at_rest: AtomicUsize::new(0),
            under_way: Mutex::default(),
        }
    }

    fn client(&self) -> Client {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        self.clients[turn % self.clients.len()].clone()
    }

    /// A poller's connection, and which one that is. Those of each queue are spread over all.
    pub(super) fn worker_client(&self, poller: usize) -> (usize, Client) {
        let connection = (poller + poller / self.options.task_queues) % self.worker_clients.len();
        (connection, self.worker_clients[connection].clone())
    }

    /// The task queue of a workflow or poll.
    pub(super) fn queue(&self, number: usize) -> String {
        match self.options.task_queues {
            1 => self.plan.queue.clone(),
            queues => format!("{}-{}", self.plan.queue, number % queues),
        }
    }

    /// A workflow that waits for ever has done its first task.
    pub(super) fn rests(&self) {
        self.at_rest.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until so many rest, or no more come to it.
    pub(super) async fn until_at_rest(&self, count: usize) -> usize {
        let mut seen = (self.at_rest.load(Ordering::Relaxed), Instant::now());
        while seen.0 < count && seen.1.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
            let now = self.at_rest.load(Ordering::Relaxed);
            if now > seen.0 {
                seen = (now, Instant::now());
            }
        }
        seen.0
    }

    /// The server has acknowledged the end of a workflow.
    pub(super) fn ended(&self, workflow_id: &str) {
        let known = self.under_way.lock().expect("nothing panics while it is held").remove(workflow_id);
        self.recorder.completed(known.as_ref().map(|known| known.due));
        // Nobody waits for what is of the backlog.
        let Some(known) = known else { return };
        // Whoever waited may have lost patience.
        known.ended.send(()).ok();
    }

    /// One workflow, from its start to its end.
    async fn run(&self, due: Instant) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let workflow_id = format!("{}-{number}", self.plan.queue);
        let (sender, ended) = oneshot::channel();
        let under_way = UnderWay { due, ended: sender };
        self.under_way.lock().expect("nothing panics while it is held").insert(workflow_id.clone(), under_way);
        let done = self.start(&workflow_id, scenario::WORKFLOW, &self.queue(number as usize), due).await
            && self.signal(&workflow_id).await
            && self.update(&workflow_id).await
            && self.patiently(ended).await;
        if !done {
            self.under_way.lock().expect("nothing panics while it is held").remove(&workflow_id);
        }
        done
    }

    async fn patiently(&self, ended: oneshot::Receiver<()>) -> bool {
        let in_time = matches!(tokio::time::timeout(PATIENCE, ended).await, Ok(Ok(())));
        if !in_time {
            self.recorder.failed("end", &tonic::Status::deadline_exceeded("a workflow did not end in time"));
        }
        in_time
    }

    async fn start(&self, workflow_id: &str, workflow_type: &str, queue: &str, due: Instant) -> bool {
        let request = StartWorkflowExecutionRequest {
            namespace: self.options.namespace.clone(),
            workflow_id: workflow_id.into(),
            workflow_type: Some(WorkflowType { name: workflow_type.into() }),
            task_queue: Some(scenario::task_queue(queue)),
            input: Some(self.plan.payloads.clone()),
            identity: "everstep-bench".into(),
            request_id: workflow_id.into(),
            ..Default::default()
        };
        match self.client().start_workflow_execution(request).await {
            Ok(_) => self.recorder.started(due),
            Err(status) => {
                self.recorder.failed("start", &status);
                tokio::time::sleep(PAUSE).await;
                return false;
            }
        }
        true
    }

    async fn signal(&self, workflow_id: &str) -> bool {
        if self.plan.scenario != Scenario::Signals {
            return true;
        }
        for number in 0..self.plan.steps {
            let request = SignalWorkflowExecutionRequest {
                namespace: self.options.namespace.clone(),
                workflow_execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() }),
                signal_name: "bench".into(),
                input: Some(self.plan.payloads.clone()),
                identity: "everstep-bench".into(),
                request_id: format!("{workflow_id}-{number}"),
                ..Default::default()
            };
            if let Err(status) = self.client().signal_workflow_execution(request).await {
                self.recorder.failed("signal", &status);
                return false;
            }
            self.recorder.transition();
        }
        true
    }

    async fn update(&self, workflow_id: &str) -> bool {
        if self.plan.scenario != Scenario::Updates {
            return true;
        }
        for number in 0..self.plan.steps {
            let request = updates::request(&self.options.namespace, workflow_id, number, &self.plan.payloads);
            if let Err(status) = self.client().update_workflow_execution(request).await {
                self.recorder.failed("update", &status);
                return false;
            }
            self.recorder.transition();
        }
        true
    }
}

/// Starts workflows of a type, so many at a time, and waits for nothing else. Returns how many were started.
pub(super) async fn fill(bench: &Arc<Bench>, workflow_type: &'static str, count: usize) -> usize {
    let numbers = Arc::new(AtomicU64::new(0));
    let starters = (0..FILLERS).map(|_| {
        let (bench, numbers) = (bench.clone(), numbers.clone());
        tokio::spawn(async move {
            let mut started = 0;
            loop {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if number >= count as u64 {
                    return started;
                }
                let workflow_id = format!("{}-{workflow_type}-{number}", bench.plan.queue);
                let queue = bench.queue(number as usize);
                started += usize::from(bench.start(&workflow_id, workflow_type, &queue, Instant::now()).await);
            }
        })
    });
    futures::future::join_all(starters).await.into_iter().filter_map(Result::ok).sum()
}

/// Runs until `stop`; what is under way then may end.
pub(super) fn start(bench: &Arc<Bench>, load: Load, stop: &CancellationToken) -> JoinHandle<()> {
    let (bench, stop) = (bench.clone(), stop.clone());
    match load {
        Load::Closed(count) => tokio::spawn(closed(bench, count, stop)),
        Load::Open(rate) => tokio::spawn(open(bench, rate, stop)),
    }
}

async fn closed(bench: Arc<Bench>, count: usize, stop: CancellationToken) {
    let slots = TaskTracker::new();
    for _ in 0..count {
        let (bench, stop) = (bench.clone(), stop.clone());
        slots.spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    _ = bench.run(Instant::now()) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }
    slots.close();
    slots.wait().await;
}

async fn open(bench: Arc<Bench>, rate: f64, stop: CancellationToken) {
    let slots = TaskTracker::new();
    let (begun, step) = (Instant::now(), Duration::from_secs_f64(1.0 / rate));
    let mut number = 0_u32;
    while !stop.is_cancelled() {
        let due = begun + step * number;
        if due > Instant::now() {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = stop.cancelled() => break,
            }
        }
        number += 1;
        if slots.len() >= OUTSTANDING_MAX {
            bench.recorder.failed("start", &tonic::Status::resource_exhausted("too many under way in the generator"));
            continue;
        }
        let (bench, stop) = (bench.clone(), stop.clone());
        slots.spawn(async move {
            tokio::select! {
                _ = bench.run(due) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    slots.close();
    slots.wait().await;
}
