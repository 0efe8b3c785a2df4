//! The golden family `activity`, played against the core: what Temporal 1.31 records for each is what is asserted.

mod attempts;
mod cancel;
mod control;
mod schedule;
mod timeouts;

use proto::temporal::api::activity::v1::ActivityOptions;
use proto::temporal::api::command::v1::{command::Attributes as Ask, *};
use proto::temporal::api::common::v1::*;
use proto::temporal::api::enums::v1::{CommandType, RetryState, TimeoutType};
use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::*;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::*;

use super::{start, texts};

use crate::op::{self, answer, op::Kind, TaskRef};
use crate::reject::code;
use crate::state::Activity;
use crate::testing::Harness;
use crate::time::{duration, nanos_of, MILLISECOND, SECOND};
use crate::{tables, Context, TaskType, Txn};

const TOO_BIG: usize = 2 << 20;

/// A workflow `w` on queue `w`, which schedules activities on queue `q`.
struct World {
    harness: Harness,
    task: Option<TaskRef>,
}

type Given<'f> = &'f dyn Fn(&mut ScheduleActivityTaskCommandAttributes);

fn schedule(id: &str, change: Given<'_>) -> Command {
    let mut attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: id.into(),
        activity_type: Some(ActivityType { name: "Act".into() }),
        task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
        start_to_close_timeout: Some(duration(10 * SECOND)),
        ..Default::default()
    };
    change(&mut attributes);
    Command {
        command_type: CommandType::ScheduleActivityTask as i32,
        attributes: Some(Ask::ScheduleActivityTaskCommandAttributes(attributes)),
        ..Default::default()
    }
}

fn request_cancel(scheduled_event_id: i64) -> Command {
    let attributes = RequestCancelActivityTaskCommandAttributes { scheduled_event_id };
    Command {
        command_type: CommandType::RequestCancelActivityTask as i32,
        attributes: Some(Ask::RequestCancelActivityTaskCommandAttributes(attributes)),
        ..Default::default()
    }
}

fn policy(initial: i64, attempts: i32) -> Option<RetryPolicy> {
    Some(RetryPolicy { initial_interval: Some(duration(initial)), maximum_attempts: attempts, ..Default::default() })
}

fn payloads(size: usize) -> Option<Payloads> {
    Some(Payloads { payloads: vec![Payload { data: vec![b'x'; size].into(), ..Default::default() }] })
}

fn application(message: &str) -> Option<Failure> {
    Some(Failure {
        message: message.into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo::default())),
        ..Default::default()
    })
}

fn refusal(kind: &answer::Kind) -> (i32, &str) {
    match kind {
        answer::Kind::Reject(reject) => (reject.code, &reject.message),
        other => panic!("no refusal: {other:?}"),
    }
}

fn assert_done(kind: answer::Kind) {
    assert!(!matches!(kind, answer::Kind::Reject(_)), "{kind:?}");
}

impl World {
    fn new(commands: Vec<Command>) -> Self {
        let mut world = Self { harness: Harness::default(), task: None };
        let started = world.start(None);
        assert_done(started);
        world.take_task();
        let answered = world.answer(commands);
        assert_done(answered);
        world
    }

    fn start(&mut self, priority: Option<Priority>) -> answer::Kind {
        let request = StartWorkflowExecutionRequest {
            workflow_id: "w".into(),
            workflow_type: Some(WorkflowType { name: "Golden".into() }),
            task_queue: Some(TaskQueue { name: "w".into(), ..Default::default() }),
            request_id: "start".into(),
            priority,
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::StartWorkflow(op::StartWorkflow { namespace, request: Some(request) }))
    }

    fn propose(&mut self, kind: Kind) -> answer::Kind {
        self.harness.propose(kind).answer.kind.expect("an answer")
    }

    fn tick(&mut self, by: i64) {
        self.harness.now += by;
        self.harness.tick();
    }

    fn take_task(&mut self) {
        let answer = self.harness.poll(TaskType::Workflow, "w", "worker").expect("a workflow task");
        let Some(answer::Kind::WorkflowTaskStarted(started)) = answer.kind else { panic!("{answer:?}") };
        self.task = started.task;
    }

    fn answer(&mut self, commands: Vec<Command>) -> answer::Kind {
        let request = RespondWorkflowTaskCompletedRequest { commands, identity: "worker".into(), ..Default::default() };
        self.propose(Kind::CompleteWorkflowTask(op::CompleteWorkflowTask {
            namespace: Some(self.harness.namespace.clone()),
            task: self.task.clone(),
            request: Some(request),
            ..Default::default()
        }))
    }

    fn signal(&mut self) {
        let request = SignalWorkflowExecutionRequest {
            workflow_execution: self.execution(),
            signal_name: "sig".into(),
            request_id: format!("signal-{}", self.events().len()),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        assert_done(self.propose(Kind::SignalWorkflow(op::SignalWorkflow { namespace, request: Some(request) })));
    }

    fn poll(&mut self) -> (Option<TaskRef>, PollActivityTaskQueueResponse) {
        self.poll_queue("q")
    }

    fn poll_queue(&mut self, queue: &str) -> (Option<TaskRef>, PollActivityTaskQueueResponse) {
        let answer = self.harness.poll(TaskType::Activity, queue, "worker").expect("an activity task");
        let Some(answer::Kind::ActivityTaskStarted(started)) = answer.kind else { panic!("{answer:?}") };
        (started.task, started.response.expect("a response"))
    }

    fn nothing_ready(&mut self) -> bool {
        self.harness.ready(TaskType::Activity, "q").is_none()
    }

    fn complete(&mut self, task: Option<TaskRef>) -> answer::Kind {
        self.propose(Kind::CompleteActivity(op::CompleteActivity {
            task,
            identity: "worker".into(),
            ..Default::default()
        }))
    }

    fn fail(&mut self, task: Option<TaskRef>, message: &str) -> answer::Kind {
        let failure = application(message);
        self.propose(Kind::FailActivity(op::FailActivity { task, failure, ..Default::default() }))
    }

    fn cancel(&mut self, task: Option<TaskRef>) -> answer::Kind {
        self.propose(Kind::CancelActivity(op::CancelActivity { task, ..Default::default() }))
    }

    fn heartbeat(&mut self, task: &Option<TaskRef>, details: Option<Payloads>) -> answer::Kind {
        let task = task.clone();
        self.propose(Kind::HeartbeatActivity(op::HeartbeatActivity { task, details, ..Default::default() }))
    }

    /// Names an activity by id.
    fn named(&self, activity_id: &str) -> Option<TaskRef> {
        Some(TaskRef {
            namespace_id: self.harness.namespace.id.clone(),
            workflow_id: "w".into(),
            task_type: TaskType::Activity as i32,
            activity_id: activity_id.into(),
            ..Default::default()
        })
    }

    fn execution(&self) -> Option<WorkflowExecution> {
        Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() })
    }

    fn pause(&mut self, id: &str) -> answer::Kind {
        let request = PauseActivityRequest {
            execution: self.execution(),
            identity: "ops".into(),
            reason: "maintenance".into(),
            activity: Some(pause_activity_request::Activity::Id(id.into())),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::PauseActivity(op::PauseActivity { namespace, request: Some(request) }))
    }

    fn unpause(&mut self, id: &str) -> answer::Kind {
        let request = UnpauseActivityRequest {
            execution: self.execution(),
            activity: Some(unpause_activity_request::Activity::Id(id.into())),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::UnpauseActivity(op::UnpauseActivity { namespace, request: Some(request) }))
    }

    fn reset(&mut self, reset_heartbeat: bool) -> answer::Kind {
        let request = ResetActivityRequest {
            execution: self.execution(),
            reset_heartbeat,
            activity: Some(reset_activity_request::Activity::Id("a".into())),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::ResetActivity(op::ResetActivity { namespace, request: Some(request) }))
    }

    fn update(&mut self, mask: &[&str], options: Option<ActivityOptions>, restore_original: bool) -> answer::Kind {
        let request = UpdateActivityOptionsRequest {
            execution: self.execution(),
            activity_options: options,
            update_mask: (!mask.is_empty())
                .then(|| prost_types::FieldMask { paths: mask.iter().map(|path| (*path).to_owned()).collect() }),
            restore_original,
            activity: Some(update_activity_options_request::Activity::Id("a".into())),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        let request = Some(request);
        self.propose(Kind::UpdateActivityOptions(op::UpdateActivityOptions { namespace, request }))
    }

    /// What the worker has that took the first activity along.
    fn taken_along(&self) -> Vec<op::ActivityTaskStarted> {
        let run = self.harness.run("w").expect("a run");
        let request_id = self.row().request_id;
        let mut txn = Txn::new(&self.harness.kv);
        let ctx = Context::new(&mut txn, self.harness.now, &op::Proposal::default());
        start::taken_along(&ctx, &run, &request_id).expect("no fault")
    }

    fn row(&self) -> Activity {
        let run = self.harness.run("w").expect("a run");
        tables::activities(&self.harness.kv, run.key).expect("no fault").remove(0)
    }

    fn events(&self) -> Vec<HistoryEvent> {
        self.harness.history("w")
    }

    /// Attributes of the events after the first task's completion that are about activities.
    fn activity_events(&self) -> Vec<Attributes> {
        use Attributes as A;
        let is_activity = |attributes: &Attributes| {
            matches!(
                attributes,
                A::ActivityTaskStartedEventAttributes(_)
                    | A::ActivityTaskCompletedEventAttributes(_)
                    | A::ActivityTaskFailedEventAttributes(_)
                    | A::ActivityTaskTimedOutEventAttributes(_)
                    | A::ActivityTaskCanceledEventAttributes(_)
            )
        };
        self.events().into_iter().filter_map(|event| event.attributes).filter(is_activity).collect()
    }

    fn timed_out(&self) -> ActivityTaskTimedOutEventAttributes {
        match self.activity_events().pop() {
            Some(Attributes::ActivityTaskTimedOutEventAttributes(timed_out)) => timed_out,
            other => panic!("{other:?}"),
        }
    }

    fn failed(&self) -> ActivityTaskFailedEventAttributes {
        match self.activity_events().pop() {
            Some(Attributes::ActivityTaskFailedEventAttributes(failed)) => failed,
            other => panic!("{other:?}"),
        }
    }

    fn started(&self) -> ActivityTaskStartedEventAttributes {
        let mut events = self.activity_events();
        events.pop();
        match events.pop() {
            Some(Attributes::ActivityTaskStartedEventAttributes(started)) => started,
            other => panic!("{other:?}"),
        }
    }

    fn deadlines(&self) -> usize {
        tables::DeadlineKey::due(&self.harness.kv, i64::MAX - 1, 100).expect("no fault").len()
    }
}
