//! What the parts of a node cost by themselves, on a real disk: apply into RocksDB, appending to the log with its fsync,
//! reading histories and lists, snapshots, matching.
//!
//! ```text
//! TMPDIR=/on/a/disk cargo bench --bench stack
//! ```

use std::sync::mpsc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use everstep::matching::{Call, Limits, Matching, PollRequest, PollResult, ReadyBacklog, Reply, Task};
use everstep::matching::{TaskSource, Topology};
use everstep::reads;
use everstep::storage::{LogEntry, LogId, LogStore, Resources, ShardLog, StateStore, StorageConfig};
use futures::future::BoxFuture;
use proto::temporal::api::command::v1::{command, Command, RecordMarkerCommandAttributes};
use proto::temporal::api::common::v1::WorkflowType;
use proto::temporal::api::enums::v1::CommandType;
use proto::temporal::api::namespace::v1::NamespaceInfo;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::{RespondWorkflowTaskCompletedRequest, StartWorkflowExecutionRequest};
use statemachine::op::{self, answer, op::Kind, Poller, TaskRef};
use statemachine::tables::RunKey;
use statemachine::testing::Harness;
use statemachine::time::{duration, MINUTE};
use statemachine::{apply, state, Effect, Kv, QueueKey, TaskType, Txn};

const WORKFLOWS: usize = 10_000;
const EVENTS: usize = 1_000;
const ENTRY_BYTES: usize = 300;

criterion_group!(stack, apply_op, append, history, lists, snapshots, pair);
criterion_main!(stack);

/// A store with what its proposals are made of.
struct Shard {
    store: StateStore,
    harness: Harness,
    applied: u64,
    _directory: tempfile::TempDir,
}

impl Shard {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = StateStore::open(directory.path(), &Resources::new(StorageConfig::default())).expect("it opens");
        Self { store, harness: Harness::default(), applied: 0, _directory: directory }
    }

    /// One entry, as the apply thread does it.
    fn commit(&mut self, kind: Kind) -> statemachine::Outcome {
        let proposal = self.harness.proposal(kind);
        let rows = self.store.snapshot();
        let mut txn = Txn::new(&rows);
        let outcome = apply(&mut txn, &proposal).expect("no fault");
        self.applied += 1;
        let id = LogId { term: 1, leader: 1, index: self.applied };
        self.store.write(txn.into_writes(), id, None, ENTRY_BYTES as u64).expect("rows are taken");
        outcome
    }

    fn start(&mut self, workflow_id: &str) -> TaskRef {
        let request = StartWorkflowExecutionRequest {
            workflow_id: workflow_id.into(),
            workflow_type: Some(WorkflowType { name: "T".into() }),
            task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
            request_id: workflow_id.into(),
            workflow_task_timeout: Some(duration(MINUTE)),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        let started = self.commit(Kind::StartWorkflow(op::StartWorkflow { namespace, request: Some(request) }));
        let ready = started.effects.into_iter().find_map(|effect| match effect {
            Effect::TaskReady { task, .. } => Some(*task),
            _ => None,
        });
        ready.expect("a workflow task")
    }

    /// Hands the task out and completes it.
    fn answer(&mut self, task: TaskRef, commands: Vec<Command>) {
        let poller = Poller { identity: "A".into(), request_id: "poll".into(), ..Default::default() };
        let started = self.commit(Kind::StartTask(op::StartTask { task: Some(task), poller: Some(poller) }));
        let Some(answer::Kind::WorkflowTaskStarted(started)) = started.answer.kind else {
            panic!("{:?} is no workflow task", started.answer)
        };
        self.commit(Kind::CompleteWorkflowTask(op::CompleteWorkflowTask {
            namespace: Some(self.harness.namespace.clone()),
            task: started.task,
            request: Some(RespondWorkflowTaskCompletedRequest { commands, ..Default::default() }),
            ..Default::default()
        }));
    }
}

fn command(kind: CommandType, attributes: command::Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

fn marker() -> Command {
    let attributes = RecordMarkerCommandAttributes { marker_name: "m".into(), ..Default::default() };
    command(CommandType::RecordMarker, command::Attributes::RecordMarkerCommandAttributes(attributes))
}

fn complete() -> Command {
    let attributes = command::Attributes::CompleteWorkflowExecutionCommandAttributes(Default::default());
    command(CommandType::CompleteWorkflowExecution, attributes)
}

/// Ops of a workflow without activities: each is one entry.
fn apply_op(criterion: &mut Criterion) {
    let mut shard = Shard::new();
    let mut number = 0;
    let mut next = move || {
        number += 1;
        format!("w{number}")
    };
    let mut group = criterion.benchmark_group("apply");
    group.bench_function("start", |bencher| bencher.iter(|| shard.start(&next())));
    group.bench_function("start, task taken, completed", |bencher| {
        bencher.iter(|| {
            let task = shard.start(&next());
            shard.answer(task, vec![complete()]);
        });
    });
    group.finish();
}

/// Entries of three shards, until all are on the disk.
fn append(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = LogStore::open(directory.path(), &Resources::new(StorageConfig::default())).expect("the log opens");
    let logs: Vec<Arc<ShardLog>> = (1..=3).map(|shard| store.shard(shard).expect("a log")).collect();
    let mut index = 0;
    let mut group = criterion.benchmark_group("log append");
    for entries in [1_u64, 64] {
        group.throughput(Throughput::Elements(entries * 3));
        group.bench_function(format!("{entries} entries to each of 3 shards"), |bencher| {
            bencher.iter(|| {
                let (done, durable) = mpsc::channel();
                for log in &logs {
                    let done = done.clone();
                    let told = Box::new(move || done.send(()).expect("the benchmark waits"));
                    log.append(numbered(index, entries), told).expect("the log takes entries");
                }
                index += entries;
                for _ in &logs {
                    durable.recv_timeout(Duration::from_secs(10)).expect("the entries become durable");
                }
            });
        });
    }
    group.finish();
}

fn numbered(first: u64, count: u64) -> Vec<LogEntry> {
    let payload = Bytes::from(vec![7; ENTRY_BYTES]);
    let entry = |index| LogEntry { id: LogId { term: 1, leader: 1, index }, kind: 1, payload: payload.clone() };
    (first..first + count).map(entry).collect()
}

/// What a worker without a cache gets.
fn history(criterion: &mut Criterion) {
    let mut shard = Shard::new();
    let task = shard.start("w");
    let run_id = task.run_id.clone();
    shard.answer(task, vec![marker(); EVENTS]);
    let key = RunKey::new(&shard.harness.namespace.id, "w", &run_id).expect("ids");
    let rows = shard.store.snapshot();
    let run = statemachine::tables::run(&rows, key).expect("readable").expect("a run");
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function(format!("{EVENTS} events"), |bencher| {
        bencher.iter(|| reads::history::task_history(&rows, key, &run, 1).expect("readable"));
    });
    group.finish();
}

/// Lists of a shard with many workflows, half of them closed.
fn lists(criterion: &mut Criterion) {
    let mut shard = Shard::new();
    for number in 0..WORKFLOWS {
        let task = shard.start(&format!("w{number}"));
        if number % 2 == 0 {
            shard.answer(task, vec![complete()]);
        }
    }
    let facts = &shard.harness.namespace;
    let info = NamespaceInfo { id: facts.id.clone(), name: facts.name.clone(), ..Default::default() };
    let namespace = state::Namespace { info: Some(info), ..Default::default() };
    let rows = shard.store.snapshot();
    let shards: [&dyn Kv; 1] = [&rows];
    let mut group = criterion.benchmark_group(format!("{WORKFLOWS} workflows"));
    for (name, query) in
        [("first 100", ""), ("100 closed", "ExecutionStatus = 'Completed'"), ("one id", "WorkflowId = 'w77'")]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| reads::visibility::list(&shards, &namespace, query, 100, &[]).expect("a page"));
        });
    }
    group.bench_function("count", |bencher| {
        bencher.iter(|| reads::visibility::count(&shards, &namespace, "ExecutionStatus = 'Running'").expect("a count"));
    });
    group.finish();
}

/// A snapshot of a shard with many workflows, and its installation elsewhere.
fn snapshots(criterion: &mut Criterion) {
    let mut shard = Shard::new();
    for number in 0..WORKFLOWS {
        shard.start(&format!("w{number}"));
    }
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(10);
    group.bench_function("build", |bencher| {
        bencher.iter(|| {
            let cut = shard.store.cut_checkpoint().expect("it can be cut");
            shard.store.finish_checkpoint(cut).expect("it can be finished")
        });
    });
    let checkpoint = shard.store.checkpoint().expect("it was built");
    group.bench_function("send and install", |bencher| {
        bencher.iter_batched(
            Shard::new,
            |other| {
                let mut receiver = other.store.receive(checkpoint.manifest().clone()).expect("room");
                for file in &checkpoint.manifest().files {
                    receiver
                        .write(&fs_err::read(checkpoint.directory().join(&file.name)).expect("a file"))
                        .expect("room");
                }
                other.store.install(&receiver.finish().expect("it is whole")).expect("it can be installed");
                other
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// A node that is alone.
struct Alone;

impl Topology for Alone {
    fn this_node(&self) -> u64 {
        1
    }

    fn time(&self) -> i64 {
        everstep::cluster::now()
    }

    fn home(&self, _queue: &QueueKey) -> Option<u64> {
        Some(1)
    }

    fn alive_nodes(&self) -> Vec<u64> {
        vec![1]
    }

    fn generation(&self) -> u64 {
        0
    }

    fn call(&self, _node: u64, _call: Call) -> BoxFuture<'static, Result<Reply, tonic::Status>> {
        Box::pin(async { Err(tonic::Status::unavailable("there is no other node")) })
    }
}

impl TaskSource for Alone {
    fn ready_tasks(&self, _queue: &QueueKey, _max: usize) -> BoxFuture<'static, Vec<Task>> {
        Box::pin(async { Vec::new() })
    }

    fn unpolled(&self, _task: Task) {}

    fn given_back(&self, _shard: u32, _task: TaskRef) {}

    fn backlog(&self, _queue: &QueueKey) -> BoxFuture<'static, ReadyBacklog> {
        Box::pin(async { ReadyBacklog::default() })
    }
}

/// A task that is offered and polled.
fn pair(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let matching = runtime.block_on(async { Matching::start(Arc::new(Alone), Limits::default()) });
    matching.set_source(Arc::new(Alone));
    let namespace_id = Harness::default().namespace.id;
    let queue = QueueKey { namespace_id: namespace_id.clone(), task_type: TaskType::Activity, name: "q".into() };
    let mut number = 0;
    criterion.bench_function("matching, offer and poll", |bencher| {
        bencher.iter(|| {
            number += 1;
            let task = TaskRef {
                namespace_id: namespace_id.clone(),
                workflow_id: format!("w{number}"),
                run_id: namespace_id.clone(),
                task_type: TaskType::Activity as i32,
                scheduled_event_id: number,
                attempt: 1,
                ..Default::default()
            };
            matching.offer(vec![Task::ready(queue.clone(), task, false)]);
            let request = PollRequest {
                sticky: false,
                queue: queue.clone(),
                poller: Poller::default(),
                max_tasks_per_second: None,
                deadline: tokio::time::Instant::now() + Duration::from_secs(5),
            };
            match runtime.block_on(matching.poll(request)) {
                Ok(PollResult::Task(handed)) => handed.done(),
                other => panic!("{other:?} is no task"),
            }
        });
    });
    matching.stop();
}
