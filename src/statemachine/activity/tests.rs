//! The golden family `activity`, played against the core: what Temporal 1.31 records for each is what is asserted.

use proto::temporal::api::activity::v1::ActivityOptions;
use proto::temporal::api::command::v1::{command::Attributes as Ask, *};
use proto::temporal::api::common::v1::*;
use proto::temporal::api::enums::v1::{CommandType, RetryState, TimeoutType};
use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::*;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::*;

use super::texts;
use crate::op::{self, answer, op::Kind, TaskRef};
use crate::reject::code;
use crate::state::Activity;
use crate::testing::Harness;
use crate::time::{duration, nanos_of, MILLISECOND, SECOND};
use crate::{tables, TaskType};

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
        }))
    }

    fn signal(&mut self) {
        let request = SignalWorkflowExecutionRequest {
            workflow_execution: self.execution(),
            signal_name: "sig".into(),
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

    fn nothing_ready(&self) -> bool {
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

#[test]
fn bad_schedule_attributes_fail_the_task() {
    let name = |length| Some(TaskQueue { name: "q".repeat(length), ..Default::default() });
    let cases: Vec<(Given<'_>, &str)> = vec![
        (
            &|a| a.start_to_close_timeout = None,
            "a valid StartToClose or ScheduleToCloseTimeout is not set on ScheduleActivityTaskCommand. ActivityId=a ActivityType=Act",
        ),
        (&|a| a.start_to_close_timeout = Some(duration(-SECOND)), "invalid StartToCloseTimeout: negative duration"),
        (&|a| a.activity_id.clear(), "activityId is not set"),
        (&|a| a.activity_id = "i".repeat(1001), "activityId exceeds length limit. Length=1001 Limit=1000"),
        (&|a| a.activity_type = None, "activityType is not set"),
        (&|a| a.task_queue = None, "taskQueue is not set"),
        (&|a| a.task_queue = name(0), "missing task queue name"),
        (&|a| a.task_queue = name(1001), "taskQueue length exceeds limit"),
        (
            &|a| a.task_queue = Some(TaskQueue { name: "/_sys/mine".into(), ..Default::default() }),
            "task queue name cannot start with reserved prefix /_sys/",
        ),
        (&|a| a.retry_policy = policy(-SECOND, 0), "invalid InitialInterval set on retry policy: negative duration"),
        (
            &|a| a.priority = Some(Priority { priority_key: -1, ..Default::default() }),
            "invalid priorities: priority key can't be negative",
        ),
    ];
    for (change, text) in cases {
        let mut world = World { harness: Harness::default(), task: None };
        world.start(None);
        world.take_task();
        let answered = world.answer(vec![schedule("a", change)]);
        let expected = format!("BadScheduleActivityAttributes: {text}");
        assert_eq!(refusal(&answered), (code::INVALID_ARGUMENT, expected.as_str()));
    }
}

#[test]
fn pending_activities_have_unique_ids_and_a_limit() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    world.signal();
    world.take_task();
    let twice = world.answer(vec![schedule("a", &|_| {})]);
    let text = "ScheduleActivityDuplicateId: invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: a";
    assert_eq!(refusal(&twice), (code::INVALID_ARGUMENT, text));

    let mut world = World { harness: Harness::default(), task: None };
    world.start(None);
    world.take_task();
    let answered = world.answer((0..2001).map(|n| schedule(&format!("a{n}"), &|_| {})).collect());
    let text = "PendingActivitiesLimitExceeded: the number of pending activities, 2000, has reached the per-workflow limit of 2000";
    assert_eq!(refusal(&answered), (code::INVALID_ARGUMENT, text));
    assert!(world.nothing_ready());
}

#[test]
fn oversized_input_ends_the_workflow() {
    let mut world = World { harness: Harness::default(), task: None };
    world.start(None);
    world.take_task();
    let answered = world.answer(vec![schedule("a", &|a| a.input = payloads(TOO_BIG))]);
    let text = "BadScheduleActivityAttributes: ScheduleActivityTaskCommandAttributes.Input exceeds size limit.";
    assert_eq!(refusal(&answered), (code::INVALID_ARGUMENT, text));
    assert!(!world.harness.run("w").expect("a run").is_open());
}

#[test]
fn a_task_carries_what_was_scheduled() {
    let mut world = World { harness: Harness::default(), task: None };
    world.start(Some(Priority { priority_key: 4, fairness_key: "tenant".into(), fairness_weight: 2.0 }));
    world.take_task();
    world.answer(vec![schedule("a", &|a| {
        a.input = payloads(3);
        a.priority = Some(Priority { priority_key: 2, ..Default::default() });
        a.retry_policy = policy(2 * SECOND, 4);
        a.schedule_to_close_timeout = Some(duration(50 * SECOND));
    })]);
    let (_, response) = world.poll();
    assert_eq!(response.input, payloads(3));
    assert_eq!(
        response.priority,
        Some(Priority { priority_key: 2, fairness_key: "tenant".into(), fairness_weight: 2.0 })
    );
    assert_eq!(response.schedule_to_close_timeout, Some(duration(50 * SECOND)));
    assert_eq!(response.heartbeat_timeout, Some(duration(0)));
    assert_eq!(response.retry_policy.expect("filled in").maximum_interval, Some(duration(200 * SECOND)));
    assert_eq!(world.row().priority.expect("its own").fairness_key, "");
}

#[test]
fn an_eager_task_comes_with_the_answer() {
    let mut world = World { harness: Harness::default(), task: None };
    world.start(None);
    world.take_task();
    let answered = world.answer(vec![schedule("a", &|a| {
        a.request_eager_execution = true;
        a.input = payloads(3);
    })]);
    let answer::Kind::CompleteWorkflowTask(done) = answered else { panic!("{answered:?}") };
    let eager = done.activities.into_iter().next().expect("a task");
    let response = eager.response.expect("a response");
    assert_eq!((response.input, response.retry_policy), (payloads(3), None));
    assert!(world.nothing_ready());
    assert_done(world.fail(eager.task, "first"));
    world.tick(SECOND);
    let (second, response) = world.poll();
    assert!(response.attempt == 2 && response.retry_policy.is_some());
    assert_done(world.complete(second));
}

#[test]
fn retries_leave_one_started_event_with_the_last_failure() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(500 * MILLISECOND, 2))]);
    let (first, _) = world.poll();
    assert_done(world.fail(first.clone(), "first"));
    assert_eq!(refusal(&world.complete(first.clone())), (code::NOT_FOUND, texts::NOT_RUNNING));
    let row = world.row();
    assert_eq!((row.attempt, row.current_retry_interval), (2, 500 * MILLISECOND));
    assert_eq!(row.last_attempt_complete_time, world.harness.now);
    world.tick(499 * MILLISECOND);
    assert!(world.nothing_ready());
    world.tick(MILLISECOND);
    let (second, _) = world.poll();
    assert_eq!(refusal(&world.heartbeat(&first, None)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.cancel(first)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_done(world.fail(second.clone(), "second"));
    let (started, failed) = (world.started(), world.failed());
    assert_eq!((started.attempt, started.last_failure), (2, application("first")));
    assert_eq!((failed.retry_state(), failed.failure), (RetryState::MaximumAttemptsReached, application("second")));
    assert_eq!(refusal(&world.complete(second)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(world.deadlines(), 0);
}

#[test]
fn next_retry_delay_replaces_the_policys_delay_once() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.retry_policy = Some(RetryPolicy {
            initial_interval: Some(duration(100 * MILLISECOND)),
            maximum_interval: Some(duration(200 * MILLISECOND)),
            ..Default::default()
        });
    })]);
    let (first, _) = world.poll();
    let info = ApplicationFailureInfo { next_retry_delay: Some(duration(500 * SECOND)), ..Default::default() };
    let failure = Failure { failure_info: Some(FailureInfo::ApplicationFailureInfo(info)), ..Default::default() };
    world.propose(Kind::FailActivity(op::FailActivity { task: first, failure: Some(failure), ..Default::default() }));
    assert_eq!(world.row().current_retry_interval, 500 * SECOND);
    world.tick(500 * SECOND);
    let (second, _) = world.poll();
    world.fail(second, "no delay given");
    assert_eq!(world.row().current_retry_interval, 200 * MILLISECOND);
}

#[test]
fn schedule_to_close_ends_retries_early() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.schedule_to_close_timeout = Some(duration(20 * SECOND));
        a.retry_policy = policy(30 * SECOND, 0);
    })]);
    let (first, _) = world.poll();
    assert_done(world.fail(first, "no time left"));
    assert_eq!(world.failed().retry_state(), RetryState::Timeout);
}

#[test]
fn schedule_to_start_times_out_without_a_start() {
    let mut world = World::new(vec![schedule("a", &|a| a.schedule_to_start_timeout = Some(duration(SECOND)))]);
    world.tick(SECOND);
    let timed_out = world.timed_out();
    assert_eq!((timed_out.retry_state(), timed_out.started_event_id), (RetryState::Timeout, 0));
    let failure = timed_out.failure.expect("a failure");
    assert_eq!((failure.message.as_str(), failure.source.as_str()), ("activity ScheduleToStart timeout", "Server"));
    assert!(world.nothing_ready());
}

#[test]
fn start_to_close_is_retried_and_its_failures_nest() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.start_to_close_timeout = Some(duration(2 * SECOND));
        a.retry_policy = policy(500 * MILLISECOND, 2);
    })]);
    let (first, _) = world.poll();
    assert_done(world.heartbeat(&first, payloads(4)));
    world.tick(2 * SECOND);
    assert_eq!(world.row().last_attempt_complete_time, 0);
    world.tick(500 * MILLISECOND);
    let (_, response) = world.poll();
    assert_eq!((response.attempt, response.heartbeat_details), (2, payloads(4)));
    world.tick(2 * SECOND);
    let timed_out = world.timed_out();
    assert_eq!(timed_out.retry_state(), RetryState::MaximumAttemptsReached);
    let failure = timed_out.failure.expect("a failure");
    let Some(FailureInfo::TimeoutFailureInfo(info)) = &failure.failure_info else { panic!("{failure:?}") };
    assert_eq!((info.timeout_type(), &info.last_heartbeat_details), (TimeoutType::StartToClose, &payloads(4)));
    let cause = failure.cause.expect("the first timeout");
    assert_eq!(cause.message, "activity StartToClose timeout");
    assert_eq!(world.started().last_failure, Some(*cause));
}

#[test]
fn schedule_to_close_ends_a_running_attempt() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.start_to_close_timeout = None;
        a.schedule_to_close_timeout = Some(duration(5 * SECOND));
        a.retry_policy = policy(500 * MILLISECOND, 0);
    })]);
    let (first, _) = world.poll();
    world.fail(first, "first");
    world.tick(500 * MILLISECOND);
    world.poll();
    world.tick(4500 * MILLISECOND);
    let timed_out = world.timed_out();
    let failure = timed_out.failure.clone().expect("a failure");
    assert_eq!((failure.message.as_str(), timed_out.retry_state()), (texts::NO_TIME_LEFT, RetryState::Timeout));
    assert_eq!(failure.cause.map(|cause| *cause), application("first"));
}

#[test]
fn heartbeats_keep_an_attempt_alive_and_write_no_deadline() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.heartbeat_timeout = Some(duration(5 * SECOND));
        a.retry_policy = policy(SECOND, 1);
        a.start_to_close_timeout = Some(duration(60 * SECOND));
    })]);
    let (task, _) = world.poll();
    for _ in 0..4 {
        world.tick(4 * SECOND);
        assert_done(world.heartbeat(&task, payloads(1)));
        assert_eq!(world.deadlines(), 1);
    }
    assert_done(world.heartbeat(&task, None));
    assert_eq!(world.row().heartbeat_details, None);
    world.tick(5 * SECOND);
    let failure = world.timed_out().failure.expect("a failure");
    assert_eq!(failure.message, "activity Heartbeat timeout");
}

#[test]
fn oversized_payloads_fail_the_activity() {
    let finished = |check: &dyn Fn(&mut World, Option<TaskRef>)| {
        let mut world = World::new(vec![schedule("a", &|_| {})]);
        let (task, _) = world.poll();
        check(&mut world, task);
        let failed = world.failed();
        assert_eq!(failed.retry_state(), RetryState::NonRetryableFailure);
        failed.failure.expect("a failure").message
    };
    let completed = finished(&|world, task| {
        let op = op::CompleteActivity { task, result: payloads(TOO_BIG), ..Default::default() };
        assert_done(world.propose(Kind::CompleteActivity(op)));
    });
    assert_eq!(completed, texts::RESULT_TOO_LARGE);
    let beaten = finished(&|world, task| match world.heartbeat(&task, payloads(TOO_BIG)) {
        answer::Kind::Heartbeat(beat) => assert!(beat.cancel_requested),
        other => panic!("{other:?}"),
    });
    assert_eq!(beaten, texts::HEARTBEAT_TOO_LARGE);
    let cancelled = finished(&|world, task| {
        let op = op::CancelActivity { task, details: payloads(TOO_BIG), ..Default::default() };
        assert_done(world.propose(Kind::CancelActivity(op)));
    });
    assert_eq!(cancelled, texts::CANCEL_DETAILS_TOO_LARGE);
    let failed = finished(&|world, task| match world.fail(task, &"m".repeat(TOO_BIG + 1)) {
        answer::Kind::FailActivity(answer) => assert_eq!(answer.failures[0].message, texts::FAILURE_TOO_LARGE),
        other => panic!("{other:?}"),
    });
    assert_eq!(failed, texts::FAILURE_TOO_LARGE);
}

#[test]
fn by_id_an_unstarted_activity_can_only_be_completed() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let named = world.named("a");
    assert_eq!(refusal(&world.heartbeat(&named, None)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.fail(named.clone(), "no")), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.cancel(named.clone())), (code::NOT_FOUND, texts::NOT_RUNNING));
    let unknown = world.named("b");
    assert_eq!(refusal(&world.complete(unknown)), (code::NOT_FOUND, texts::unknown_id("b").as_str()));
    assert_done(world.complete(named.clone()));
    assert!(world.nothing_ready());
    let started = world.started();
    assert_eq!((started.identity.as_str(), started.request_id.as_str()), ("worker", ""));
    assert_eq!(refusal(&world.complete(named)), (code::NOT_FOUND, texts::unknown_id("a").as_str()));
}

#[test]
fn a_closed_run_keeps_its_activities_for_describe_only() {
    let mut world = World::new(vec![schedule("a", &|_| {}), schedule("b", &|_| {})]);
    let (task, _) = world.poll();
    let request = TerminateWorkflowExecutionRequest { workflow_execution: world.execution(), ..Default::default() };
    let namespace = Some(world.harness.namespace.clone());
    assert_done(world.propose(Kind::TerminateWorkflow(op::TerminateWorkflow { namespace, request: Some(request) })));
    let completed = "workflow execution already completed";
    assert_eq!(refusal(&world.complete(task)), (code::NOT_FOUND, completed));
    let named = world.named("a");
    assert_eq!(refusal(&world.complete(named)), (code::NOT_FOUND, completed));
    assert_eq!(refusal(&world.pause("a")), (code::NOT_FOUND, completed));
    assert!(world.nothing_ready() && world.row().started_time != 0);
    assert_eq!(world.deadlines(), 1, "only the retention is due");
}

#[test]
fn a_cancel_request_ends_retries_and_is_made_once() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let (task, _) = world.poll();
    assert_eq!(refusal(&world.cancel(task.clone())), (code::INVALID_ARGUMENT, texts::CANCEL_NOT_REQUESTED));
    world.signal();
    world.take_task();
    assert_done(world.answer(vec![request_cancel(5)]));
    world.signal();
    world.take_task();
    let text = "BadRequestCancelActivityAttributes: invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: 5";
    assert_eq!(refusal(&world.answer(vec![request_cancel(5)])), (code::INVALID_ARGUMENT, text));
    assert_done(world.fail(task, "boom"));
    world.take_task();
    assert_eq!(world.failed().retry_state(), RetryState::CancelRequested);
}

#[test]
fn an_activity_whose_end_is_held_back_may_still_be_asked_to_cancel() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let (task, _) = world.poll();
    world.signal();
    world.take_task();
    assert_done(world.complete(task));
    assert_done(world.answer(vec![request_cancel(5)]));
    let kinds: Vec<_> = world.events().into_iter().skip(8).map(|event| event.attributes).collect();
    assert!(matches!(kinds[1], Some(Attributes::ActivityTaskCancelRequestedEventAttributes(_))), "{kinds:?}");
    assert!(matches!(kinds[3], Some(Attributes::ActivityTaskCompletedEventAttributes(_))), "{kinds:?}");
}

#[test]
fn an_unstarted_activity_is_cancelled_after_all_other_events() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    world.signal();
    world.take_task();
    assert_done(world.answer(vec![request_cancel(5), schedule("b", &|_| {})]));
    let events = world.events();
    let Some(Attributes::ActivityTaskCanceledEventAttributes(canceled)) = &events[11].attributes else {
        panic!("{:?}", events[11])
    };
    assert_eq!((canceled.latest_cancel_requested_event_id, canceled.started_event_id), (10, 0));
    let details = canceled.details.clone().expect("details");
    assert_eq!(details.payloads[0].data.as_ref(), b"\"ACTIVITY_ID_NOT_STARTED\"");
    assert_eq!(canceled.identity, "worker");
}

#[test]
fn a_paused_activity_waits_and_its_timeouts_stand_still() {
    let mut world = World::new(vec![schedule("a", &|a| a.schedule_to_close_timeout = Some(duration(5 * SECOND)))]);
    assert_done(world.pause("a"));
    assert_done(world.pause("a"));
    assert!(world.nothing_ready());
    assert_eq!(world.row().pause.expect("paused").reason, "maintenance");
    world.tick(6 * SECOND);
    assert!(world.activity_events().is_empty());
    assert_done(world.unpause("a"));
    assert!(!world.nothing_ready());
    world.tick(0);
    assert_eq!(world.timed_out().retry_state(), RetryState::Timeout);
    assert_eq!(refusal(&world.unpause("a")), (code::NOT_FOUND, texts::NOT_PENDING));
}

#[test]
fn a_running_activity_stays_paused_after_it_fails() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(500 * MILLISECOND, 0))]);
    let (task, _) = world.poll();
    assert_done(world.pause("a"));
    match world.heartbeat(&task, payloads(2)) {
        answer::Kind::Heartbeat(beat) => assert!(beat.paused && !beat.cancel_requested),
        other => panic!("{other:?}"),
    }
    assert_done(world.fail(task, "stopped"));
    let row = world.row();
    assert_eq!((row.attempt, row.current_retry_interval, row.started_time), (2, SECOND, 0));
    assert_eq!(row.last_failure, application("stopped"));
    world.tick(10 * SECOND);
    assert!(world.nothing_ready());
    assert_done(world.unpause("a"));
    let (second, response) = world.poll();
    assert_eq!((response.attempt, response.heartbeat_details), (2, payloads(2)));
    assert_done(world.complete(second));
    assert_eq!(world.started().last_failure, None);
}

#[test]
fn a_reset_in_backoff_starts_over_at_once() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(100 * SECOND, 0))]);
    let (task, _) = world.poll();
    assert_done(world.heartbeat(&task, payloads(2)));
    assert_done(world.fail(task, "first"));
    assert_done(world.reset(false));
    let row = world.row();
    assert_eq!((row.attempt, row.last_failure.clone(), row.current_retry_interval), (1, None, 100 * SECOND));
    assert_eq!(row.heartbeat_details, payloads(2));
    assert_eq!(world.poll().1.attempt, 1);
}

#[test]
fn a_reset_first_attempt_goes_on_and_hears_of_it() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(3 * SECOND, 0))]);
    let (task, _) = world.poll();
    assert_done(world.heartbeat(&task, payloads(2)));
    assert_done(world.reset(true));
    match world.heartbeat(&task, payloads(3)) {
        answer::Kind::Heartbeat(beat) => assert!(beat.reset),
        other => panic!("{other:?}"),
    }
    assert_done(world.fail(task, "stopped"));
    let row = world.row();
    assert_eq!((row.attempt, row.heartbeat_details, row.last_heartbeat_time), (2, None, 0));
    world.tick(3 * SECOND);
    let (second, _) = world.poll();
    match world.heartbeat(&second, None) {
        answer::Kind::Heartbeat(beat) => assert!(!beat.reset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reset_later_attempt_is_cut_off_until_it_times_out() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(SECOND, 0))]);
    let (first, _) = world.poll();
    assert_done(world.fail(first.clone(), "first"));
    world.tick(SECOND);
    let (second, _) = world.poll();
    assert_done(world.reset(false));
    assert_eq!(refusal(&world.complete(second)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.complete(first)), (code::NOT_FOUND, texts::NOT_RUNNING));
    world.tick(10 * SECOND);
    assert_eq!(world.row().attempt, 2);
}

#[test]
fn options_change_by_mask_and_can_be_restored() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.schedule_to_close_timeout = Some(duration(600 * SECOND));
        a.start_to_close_timeout = Some(duration(60 * SECOND));
        a.retry_policy = policy(100 * SECOND, 9);
    })]);
    let (first, _) = world.poll();
    assert_done(world.fail(first, "first"));
    let given = ActivityOptions {
        start_to_close_timeout: Some(duration(30 * SECOND)),
        heartbeat_timeout: Some(duration(5 * SECOND)),
        task_queue: Some(TaskQueue { name: "other".into(), ..Default::default() }),
        retry_policy: policy(2 * SECOND, 2),
        ..Default::default()
    };
    let mask = ["start_to_close_timeout", "retryPolicy.initialInterval", "task_queue.name"];
    let answered = world.update(&mask, Some(given), false);
    let answer::Kind::UpdateActivityOptions(answer) = answered else { panic!("{answered:?}") };
    let options = answer.response.and_then(|response| response.activity_options).expect("options");
    assert_eq!(options.start_to_close_timeout.as_ref().map(nanos_of), Some(30 * SECOND));
    assert_eq!(options.heartbeat_timeout.as_ref().map(nanos_of), Some(0));
    let changed = options.retry_policy.expect("a policy");
    assert_eq!((changed.initial_interval, changed.maximum_attempts), (Some(duration(2 * SECOND)), 9));
    let row = world.row();
    assert_eq!((row.current_retry_interval, row.last_failure), (4 * SECOND, None));
    world.tick(4 * SECOND);
    let (second, response) = world.poll_queue("other");
    assert_eq!(response.start_to_close_timeout, Some(duration(60 * SECOND)), "the event's, as in Temporal");
    assert_done(world.fail(second, "second"));
    let answered = world.update(&[], None, true);
    assert_done(answered);
    let row = world.row();
    assert_eq!((row.task_queue.as_str(), row.current_retry_interval), ("q", 400 * SECOND));
    assert_eq!(row.retry_due, world.harness.now + 400 * SECOND);
}

#[test]
fn bad_option_changes_say_what_is_missing() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let timeout = |by| Some(ActivityOptions { start_to_close_timeout: Some(duration(by)), ..Default::default() });
    let priority = Some(ActivityOptions {
        priority: Some(Priority { priority_key: -1, ..Default::default() }),
        ..Default::default()
    });
    let path = "start_to_close_timeout";
    let cases: [(&[&str], _, bool, &str); 6] = [
        (&[path], None, false, texts::OPTIONS_MISSING),
        (&[], timeout(SECOND), false, texts::MASK_MISSING),
        (&[path], timeout(SECOND), true, texts::MASK_AND_RESTORE),
        (&[path], timeout(-SECOND), false, "invalid StartToCloseTimeout: negative duration"),
        (&["task_queue.name"], timeout(SECOND), false, texts::QUEUE_MISSING),
        (&["priority.priority_key"], priority, false, "priority key can't be negative"),
    ];
    for (mask, options, restore, text) in cases {
        assert_eq!(refusal(&world.update(mask, options, restore)), (code::INVALID_ARGUMENT, text));
    }
    assert_done(world.update(&["start_delay"], timeout(SECOND), false));
    assert_eq!(world.row().start_to_close, 10 * SECOND);
    assert!(!world.nothing_ready());
}
