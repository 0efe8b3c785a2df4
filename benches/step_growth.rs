//! What one more step of a workflow costs when much has gathered in it: 50,000 events, 2,000 pending activities, 10,000
//! signals, 2,000 updates. Measured on the core's `apply` over a store in memory; printed as ratios to a small workflow.
//!
//! ```text
//! cargo bench -p statemachine --features testing --bench step_growth
//! ```

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use prost::{Message as _, Name};
use proto::temporal::api::command::v1::{command, Command, RecordMarkerCommandAttributes};
use proto::temporal::api::command::v1::{ProtocolMessageCommandAttributes, ScheduleActivityTaskCommandAttributes};
use proto::temporal::api::common::v1::{ActivityType, WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::CommandType;
use proto::temporal::api::protocol::v1::Message;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::update::v1::{outcome, Acceptance, Input, Meta, Outcome, Request, Response};
use proto::temporal::api::workflowservice::v1::{
    RespondWorkflowTaskCompletedRequest, SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
};
use statemachine::op::{self, answer, op::Kind, Poller, TaskRef};
use statemachine::tables::ReadyKey;
use statemachine::testing::harness::apply_to;
use statemachine::testing::Harness;
use statemachine::time::{duration, MINUTE, SECOND};
use statemachine::{apply, Effect, Outcome as Applied, QueueKey, TaskType, Txn};

/// What a step may cost in a full workflow, in parts of what it costs in a small one.
const RATIO_MAX: f64 = 1.5;

fn main() {
    let small = Workflow::small();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    let mut least = BTreeMap::new();
    let shapes = [
        ("small", small),
        ("50,000 events", Workflow::with_events(50_000)),
        ("2,000 pending activities", Workflow::with_activities(1_990)),
        ("10,000 signals", Workflow::with_signals(9_990)),
        ("2,000 updates", Workflow::with_updates(1_990)),
    ];
    for (name, mut workflow) in shapes {
        least.insert((name, "task"), measure(&mut criterion, &format!("{name}/task"), || workflow.task_step()));
        let step = format!("{name}/activity");
        least.insert((name, "activity"), measure(&mut criterion, &step, || workflow.activity_step()));
        least.insert((name, "update"), measure(&mut criterion, &format!("{name}/update"), || workflow.update_step()));
    }
    criterion.final_summary();
    let mut over = false;
    for ((name, step), time) in &least {
        let ratio = time / least[&("small", *step)];
        over |= ratio > RATIO_MAX;
        println!("{name:>26} {step:>9}: {:>7.1} us, {ratio:.2} times a small workflow's", time / 1e3);
    }
    assert!(!over, "a step costs more than {RATIO_MAX} times that of a small workflow");
}

/// The least of criterion's samples of a step's time, in nanoseconds: what else the machine does can only add to it.
fn measure(criterion: &mut Criterion, name: &str, mut step: impl FnMut() -> Applied) -> f64 {
    let mut samples = Vec::new();
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            #[expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
            let began = Instant::now();
            for _ in 0..iterations {
                black_box(step());
            }
            let took = began.elapsed();
            samples.push(took.as_nanos() as f64 / iterations as f64);
            took
        });
    });
    samples.into_iter().fold(f64::INFINITY, f64::min)
}

/// A workflow that waits for nothing, in the state that a step begins with.
struct Workflow {
    harness: Harness,
    signals: u64,
}

impl Workflow {
    /// One activity is pending; no workflow task is.
    fn small() -> Self {
        let mut workflow = Self { harness: Harness::default(), signals: 0 };
        workflow.commit(Kind::StartWorkflow(op::StartWorkflow {
            namespace: Some(workflow.harness.namespace.clone()),
            request: Some(StartWorkflowExecutionRequest {
                workflow_id: "w".into(),
                workflow_type: Some(WorkflowType { name: "T".into() }),
                task_queue: Some(queue()),
                request_id: "start".into(),
                workflow_task_timeout: Some(duration(MINUTE)),
                ..Default::default()
            }),
        }));
        workflow.answer(vec![schedule(0)], Vec::new());
        workflow
    }

    fn with_events(events: i64) -> Self {
        let mut workflow = Self::small();
        while workflow.harness.run("w").expect("a run").row.next_event_id + 110 < events {
            let signal = workflow.signal();
            workflow.commit(signal);
            workflow.answer(vec![marker(); 100], Vec::new());
        }
        workflow
    }

    fn with_activities(count: usize) -> Self {
        let mut workflow = Self::small();
        // In as few tasks as possible: that is the hardest case, as their events then stand side by side.
        for first in (1..count).step_by(1_000) {
            let signal = workflow.signal();
            workflow.commit(signal);
            workflow.answer((first..(first + 1_000).min(count)).map(schedule).collect(), Vec::new());
        }
        workflow
    }

    fn with_signals(count: usize) -> Self {
        let mut workflow = Self::small();
        for _ in 0..count - 1 {
            let signal = workflow.signal();
            workflow.commit(signal);
        }
        workflow.answer(Vec::new(), Vec::new());
        workflow
    }

    fn with_updates(count: usize) -> Self {
        let mut workflow = Self::small();
        for number in 0..count {
            let id = format!("update-{number}");
            let admit = workflow.update(&id);
            workflow.commit(admit);
            workflow.answer(vec![message_command(&id, "accept"), message_command(&id, "respond")], messages(&id));
        }
        workflow
    }

    /// The first ready task, alone: matching keeps the others.
    fn ready(&self, task_type: TaskType) -> TaskRef {
        let namespace_id = self.harness.namespace.id.clone();
        let queue = QueueKey { namespace_id, task_type, name: "q".into() };
        let mut page = ReadyKey::page(&self.harness.kv, &queue, 1).expect("no fault");
        let (key, row) = page.pop().expect("a task is ready");
        key.to_task(&row)
    }

    fn commit(&mut self, kind: Kind) -> Applied {
        let proposal = self.harness.proposal(kind);
        let applied = apply_to(&mut self.harness.kv, &proposal).expect("no fault");
        assert!(!matches!(applied.answer.kind, Some(answer::Kind::Reject(_))), "{:?}", applied.answer);
        applied
    }

    fn signal(&mut self) -> Kind {
        self.signals += 1;
        Kind::SignalWorkflow(op::SignalWorkflow {
            namespace: Some(self.harness.namespace.clone()),
            request: Some(SignalWorkflowExecutionRequest {
                workflow_execution: execution(),
                signal_name: "s".into(),
                request_id: format!("signal-{}", self.signals),
                ..Default::default()
            }),
        })
    }

    fn update(&self, id: &str) -> Kind {
        let meta = Meta { update_id: id.into(), identity: "caller".into() };
        let input = Input { name: "change".into(), ..Default::default() };
        Kind::AdmitUpdate(op::AdmitUpdate {
            namespace: Some(self.harness.namespace.clone()),
            request: Some(UpdateWorkflowExecutionRequest {
                workflow_execution: execution(),
                request: Some(Request { meta: Some(meta), input: Some(input), ..Default::default() }),
                ..Default::default()
            }),
        })
    }

    /// Takes the waiting workflow task and completes it.
    fn answer(&mut self, commands: Vec<Command>, messages: Vec<Message>) {
        let task = self.ready(TaskType::Workflow);
        let started = self.commit(start(task));
        let complete = self.completion(started, commands, messages);
        self.commit(complete);
    }

    fn completion(&self, started: Applied, commands: Vec<Command>, messages: Vec<Message>) -> Kind {
        let Some(answer::Kind::WorkflowTaskStarted(started)) = started.answer.kind else {
            panic!("{:?} is no workflow task", started.answer)
        };
        Kind::CompleteWorkflowTask(op::CompleteWorkflowTask {
            namespace: Some(self.harness.namespace.clone()),
            task: started.task,
            request: Some(RespondWorkflowTaskCompletedRequest {
                commands,
                messages,
                identity: "A".into(),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    /// A signal, and the workflow task that answers it with a marker; nothing is kept.
    fn task_step(&mut self) -> Applied {
        let signal = self.signal();
        self.task_after(signal, vec![marker()], Vec::new())
    }

    /// An update that its workflow task accepts and completes; nothing is kept.
    fn update_step(&mut self) -> Applied {
        let admit = self.update("next");
        let commands = vec![message_command("next", "accept"), message_command("next", "respond")];
        self.task_after(admit, commands, messages("next"))
    }

    fn task_after(&mut self, cause: Kind, commands: Vec<Command>, messages: Vec<Message>) -> Applied {
        let store = std::mem::take(&mut self.harness.kv);
        let mut rows = Txn::new(&store);
        let caused = apply(&mut rows, &self.harness.proposal(cause)).expect("no fault");
        let ready = caused.effects.into_iter().find_map(|effect| match effect {
            Effect::TaskReady { task, .. } => Some(*task),
            _ => None,
        });
        let begin = start(ready.expect("a workflow task"));
        let started = apply(&mut rows, &self.harness.proposal(begin)).expect("no fault");
        let complete = self.completion(started, commands, messages);
        let done = apply(&mut rows, &self.harness.proposal(complete)).expect("no fault");
        assert!(matches!(done.answer.kind, Some(answer::Kind::CompleteWorkflowTask(_))), "{:?}", done.answer);
        drop(rows);
        self.harness.kv = store;
        done
    }

    /// An activity that a worker takes and completes; nothing is kept.
    fn activity_step(&mut self) -> Applied {
        let task = self.ready(TaskType::Activity);
        let store = std::mem::take(&mut self.harness.kv);
        let mut rows = Txn::new(&store);
        let started = apply(&mut rows, &self.harness.proposal(start(task))).expect("no fault");
        let Some(answer::Kind::ActivityTaskStarted(started)) = started.answer.kind else {
            panic!("{:?} is no activity task", started.answer)
        };
        let complete = op::CompleteActivity { task: started.task, identity: "A".into(), ..Default::default() };
        let complete = self.harness.proposal(Kind::CompleteActivity(complete));
        let done = apply(&mut rows, &complete).expect("no fault");
        drop(rows);
        self.harness.kv = store;
        done
    }
}

fn queue() -> TaskQueue {
    TaskQueue { name: "q".into(), ..Default::default() }
}

fn execution() -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() })
}

fn start(task: TaskRef) -> Kind {
    let poller = Poller { identity: "A".into(), request_id: "poll".into(), ..Default::default() };
    Kind::StartTask(op::StartTask { task: Some(task), poller: Some(poller) })
}

fn as_command(kind: CommandType, attributes: command::Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

fn marker() -> Command {
    let attributes = RecordMarkerCommandAttributes { marker_name: "m".into(), ..Default::default() };
    as_command(CommandType::RecordMarker, command::Attributes::RecordMarkerCommandAttributes(attributes))
}

fn schedule(number: usize) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: format!("activity-{number}"),
        activity_type: Some(ActivityType { name: "Act".into() }),
        task_queue: Some(queue()),
        start_to_close_timeout: Some(duration(10 * SECOND)),
        ..Default::default()
    };
    let attributes = command::Attributes::ScheduleActivityTaskCommandAttributes(attributes);
    as_command(CommandType::ScheduleActivityTask, attributes)
}

fn message_command(id: &str, what: &str) -> Command {
    let attributes = ProtocolMessageCommandAttributes { message_id: format!("{id}/{what}") };
    as_command(CommandType::ProtocolMessage, command::Attributes::ProtocolMessageCommandAttributes(attributes))
}

fn messages(id: &str) -> Vec<Message> {
    let message = |what: &str, name: String, value: Vec<u8>| Message {
        id: format!("{id}/{what}"),
        protocol_instance_id: id.into(),
        body: Some(prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value }),
        ..Default::default()
    };
    let acceptance = Acceptance { accepted_request_message_id: format!("{id}/request"), ..Default::default() };
    let outcome = Outcome { value: Some(outcome::Value::Success(Default::default())) };
    let response = Response { meta: None, outcome: Some(outcome) };
    vec![
        message("accept", Acceptance::full_name(), acceptance.encode_to_vec()),
        message("respond", Response::full_name(), response.encode_to_vec()),
    ]
}
