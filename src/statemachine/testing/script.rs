//! Scripts: a line is an operation, `verb key=value …`; what it answers is printed below it.
//!
//! ```text
//! start wf=w queue=q                       poll-workflow queue=q
//! complete start-timer=t:10s complete      fail-task   sticky=s:5s   force   inline
//! fail-task too-large                      complete bad-binary=sum
//! define 30    complete memo=k:1000 attributes=1-15:2000    complete continue-as-new=k:1000   (see properties.rs)
//! poll-activity queue=q                    complete-activity   fail-activity final   heartbeat   cancel-activity
//! complete start-child=c:ABANDON signal-external=w2:s cancel-external=c deliver [last]
//! signal wf=w name=s request=r             cancel wf=w   terminate wf=w   tick 10s   history w   ready q
//! update u                                 update-with-start u request=r conflict=2   outcome u
//! complete accept=u respond=u reject=u     complete mute-accept=u (without a command)
//! terminate wf=w call=x   again x   again  any operation can be named, and comes again later; or the last one does
//! reset 4 request=r run=1 exclude=signals then=signal:s  pause   unpause   options mask=priority priority=5
//! start callbacks=http://a,http://b conflict=2 attach-request attach-callbacks   callbacks w   settle 1 ok   settle 2 retry
//! ```

use std::collections::BTreeMap;

use proto::temporal::api::command::v1::{command::Attributes, *};
use proto::temporal::api::common::v1::{ActivityType, RetryPolicy, WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::{CommandType, ParentClosePolicy, WorkflowTaskFailedCause};
use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};
use proto::temporal::api::taskqueue::v1::{StickyExecutionAttributes, TaskQueue};
use proto::temporal::api::workflow::v1::OnConflictOptions;
use proto::temporal::api::workflowservice::v1::*;

use super::harness::Mode;
use super::{callbacks, changes, fold, namespaces, print, properties, updates, Harness};
use crate::op::{answer, op::Kind, Answer, TaskRef};
use crate::time::{duration, SECOND};
use crate::{op, Outcome, TaskType};

/// A script being run.
pub struct Script {
    pub(super) harness: Harness,
    workflow_task: Option<TaskRef>,
    activity_task: Option<TaskRef>,
    output: String,
    pub(super) last: namespaces::Last,
    /// Operations that may come again, by the name their line gives them.
    calls: BTreeMap<String, op::Proposal>,
}

/// A line's words after the verb: plain ones, and `key=value` pairs, in order.
pub(super) struct Words<'l> {
    pub(super) pairs: Vec<(&'l str, &'l str)>,
    by_key: BTreeMap<&'l str, &'l str>,
}

impl<'l> Words<'l> {
    fn new(line: &'l str) -> Self {
        let pairs: Vec<_> =
            line.split_whitespace().skip(1).map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        Self { by_key: pairs.iter().copied().collect(), pairs }
    }

    pub(super) fn get(&self, key: &str, default: &'l str) -> &'l str {
        self.by_key.get(key).copied().unwrap_or(default)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }
}

pub(super) fn seconds(text: &str) -> i64 {
    let number: f64 = text.trim_start_matches('+').trim_end_matches('s').parse().expect("a number of seconds");
    (number * SECOND as f64) as i64
}

/// Runs a script and returns it with its answers.
pub fn run(text: &str, mode: Mode) -> String {
    run_in(Harness::new(mode), text, |_| {})
}

/// The same on a machine that is given, which is shown after every line.
pub fn run_in(harness: Harness, text: &str, mut after_line: impl FnMut(&Harness)) -> String {
    let mut script = Script {
        harness,
        workflow_task: None,
        activity_task: None,
        last: Default::default(),
        calls: BTreeMap::new(),
        output: String::new(),
    };
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        script.output.push_str(line);
        script.output.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        script.step(line);
        fold::check(&script.harness.kv).unwrap_or_else(|wrong| panic!("{line}: {wrong}"));
        script.harness.end_of_line();
        after_line(&script.harness);
    }
    script.output
}

impl Script {
    fn step(&mut self, line: &str) {
        let words = Words::new(line);
        match line.split_whitespace().next().unwrap_or_default() {
            "start" => self.start(&words),
            "signal" => self.signal(&words),
            "signal-with-start" => self.signal_with_start(&words),
            "cancel" => self.cancel(&words),
            "terminate" => self.terminate(&words),
            "poll-workflow" => self.poll(TaskType::Workflow, &words),
            "poll-activity" => self.poll(TaskType::Activity, &words),
            "complete" => self.complete(&words),
            "fail-task" => self.fail_task(&words),
            "complete-activity" => self.complete_activity(&words),
            "fail-activity" => self.fail_activity(&words),
            "cancel-activity" => self.cancel_activity(),
            "heartbeat" => self.heartbeat(),
            "tick" => self.tick(&words),
            "update" => updates::admit(self, &words),
            "update-with-start" => updates::with_start(self, &words),
            "outcome" => updates::outcome(self, &words),
            "reset" => changes::reset(self, &words),
            "pause" => changes::pause(self, &words),
            "unpause" => changes::unpause(self, &words),
            "options" => changes::options(self, &words),
            "callbacks" => callbacks::show(self, &words),
            "settle" => callbacks::settle(self, &words),
            "define" => properties::define(self, &words),
            "history" => self.history(words.pairs.first().map(|pair| pair.0).unwrap_or("w")),
            "ready" => self.ready(&words),
            "deliver" => self.deliver(&words),
            "again" => self.again(&words),
            verb if namespaces::step(self, verb, &words) => {}
            verb => panic!("unknown verb {verb}"),
        }
        if words.has("call") {
            let proposal = self.harness.log.last().expect("an operation").clone();
            self.calls.insert(words.get("call", "").to_owned(), proposal);
        }
    }

    /// How much was printed so far: makes ids that no other line makes.
    pub(super) fn said(&self) -> usize {
        self.output.len()
    }

    pub(super) fn say(&mut self, text: &str) {
        self.output.push_str("  ");
        self.output.push_str(text);
        self.output.push('\n');
    }

    pub(super) fn propose(&mut self, kind: Kind) -> Answer {
        let outcome = self.harness.propose(kind);
        self.say_outcome(&outcome);
        outcome.answer
    }

    /// A call that was applied comes again, as it does when a node sends it to the next leader.
    fn again(&mut self, words: &Words<'_>) {
        let call = match words.pairs.first() {
            Some((name, _)) => self.calls[*name].clone(),
            None => self.harness.log.last().expect("an operation before").clone(),
        };
        let kind = call.op.clone().and_then(|op| op.kind).expect("an operation");
        let proposal = op::Proposal { op_id: call.op_id, ..self.harness.proposal(kind) };
        let outcome = self.harness.commit(&proposal);
        self.say_outcome(&outcome);
    }

    fn say_outcome(&mut self, outcome: &Outcome) {
        let now = self.harness.now;
        let effects = print::effects(&outcome.effects, now);
        let said = print::answer(&outcome.answer);
        self.say(&if effects.is_empty() { said } else { format!("{said}; {effects}") });
    }

    pub(super) fn execution(words: &Words<'_>) -> Option<WorkflowExecution> {
        Some(WorkflowExecution { workflow_id: words.get("wf", "w").into(), run_id: String::new() })
    }

    fn start(&mut self, words: &Words<'_>) {
        let request = Some(self.start_request(words));
        let namespace = Some(self.harness.namespace.clone());
        let answer = self.propose(Kind::StartWorkflow(op::StartWorkflow { namespace, request }));
        if let Some(answer::Kind::StartWorkflow(start)) = answer.kind {
            if let Some(eager) = start.eager_task {
                self.workflow_task = eager.task;
            }
        }
    }

    pub(super) fn start_request(&self, words: &Words<'_>) -> StartWorkflowExecutionRequest {
        let timeout = |key| words.has(key).then(|| duration(seconds(words.get(key, ""))));
        let retry = words.has("attempts").then(|| RetryPolicy {
            initial_interval: Some(duration(SECOND)),
            backoff_coefficient: 2.0,
            maximum_interval: Some(duration(100 * SECOND)),
            maximum_attempts: words.get("attempts", "").parse().expect("a number"),
            ..Default::default()
        });
        StartWorkflowExecutionRequest {
            workflow_id: words.get("wf", "w").into(),
            workflow_type: Some(WorkflowType { name: words.get("type", "T").into() }),
            task_queue: Some(TaskQueue { name: words.get("queue", "q").into(), ..Default::default() }),
            request_id: words.get("request", &format!("start-{}", self.output.len())).into(),
            workflow_run_timeout: timeout("run-timeout"),
            workflow_execution_timeout: timeout("execution-timeout"),
            workflow_task_timeout: timeout("task-timeout"),
            workflow_start_delay: timeout("delay"),
            cron_schedule: words.get("cron", "").replace('_', " "),
            retry_policy: retry,
            workflow_id_reuse_policy: words.get("reuse", "1").parse().expect("a number"),
            workflow_id_conflict_policy: words.get("conflict", "1").parse().expect("a number"),
            request_eager_execution: words.has("eager"),
            completion_callbacks: callbacks::sent(words),
            on_conflict_options: words.pairs.iter().any(|(key, _)| key.starts_with("attach-")).then(|| {
                OnConflictOptions {
                    attach_links: words.has("attach-links"),
                    attach_request_id: words.has("attach-request"),
                    attach_completion_callbacks: words.has("attach-callbacks"),
                }
            }),
            ..Default::default()
        }
    }

    fn signal(&mut self, words: &Words<'_>) {
        let request = SignalWorkflowExecutionRequest {
            workflow_execution: Self::execution(words),
            signal_name: words.get("name", "s").into(),
            request_id: words.get("request", &format!("signal-{}", self.output.len())).into(),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::SignalWorkflow(op::SignalWorkflow { namespace, request: Some(request) }));
    }

    fn signal_with_start(&mut self, words: &Words<'_>) {
        let request = SignalWithStartWorkflowExecutionRequest {
            workflow_id: words.get("wf", "w").into(),
            workflow_type: Some(WorkflowType { name: "T".into() }),
            task_queue: Some(TaskQueue { name: words.get("queue", "q").into(), ..Default::default() }),
            signal_name: words.get("name", "s").into(),
            request_id: words.get("request", &format!("both-{}", self.output.len())).into(),
            ..Default::default()
        };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::SignalWithStart(op::SignalWithStart { namespace, request: Some(request) }));
    }

    fn cancel(&mut self, words: &Words<'_>) {
        let request =
            RequestCancelWorkflowExecutionRequest { workflow_execution: Self::execution(words), ..Default::default() };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::RequestCancelWorkflow(op::RequestCancelWorkflow { namespace, request: Some(request) }));
    }

    fn terminate(&mut self, words: &Words<'_>) {
        let request =
            TerminateWorkflowExecutionRequest { workflow_execution: Self::execution(words), ..Default::default() };
        let namespace = Some(self.harness.namespace.clone());
        self.propose(Kind::TerminateWorkflow(op::TerminateWorkflow { namespace, request: Some(request) }));
    }

    fn poll(&mut self, task_type: TaskType, words: &Words<'_>) {
        let answer = self.harness.poll(task_type, words.get("queue", "q"), words.get("worker", "A"));
        let Some(answer) = answer else { return self.say("nothing") };
        self.say(&print::answer(&answer));
        match answer.kind {
            Some(answer::Kind::WorkflowTaskStarted(started)) => self.workflow_task = started.task,
            Some(answer::Kind::ActivityTaskStarted(started)) => self.activity_task = started.task,
            _ => {}
        }
    }

    fn ready(&mut self, words: &Words<'_>) {
        let queue = words.pairs.first().map(|pair| pair.0).unwrap_or("q");
        let found = [TaskType::Workflow, TaskType::Activity]
            .into_iter()
            .filter_map(|kind| self.harness.ready(kind, queue).map(|task| format!("{kind:?} attempt={}", task.attempt)))
            .collect::<Vec<_>>();
        self.say(&if found.is_empty() { "nothing".to_owned() } else { found.join(", ") });
    }

    fn complete(&mut self, words: &Words<'_>) {
        let sticky = words.by_key.get("sticky").and_then(|text| text.split_once(':'));
        #[expect(deprecated, reason = "older SDKs send checksums")]
        let request = RespondWorkflowTaskCompletedRequest {
            commands: words.pairs.iter().filter_map(|(key, value)| command(key, value)).collect(),
            messages: words.pairs.iter().filter_map(|(key, value)| updates::message(key, value)).collect(),
            identity: "A".into(),
            binary_checksum: words.get("bad-binary", "").into(),
            force_create_new_workflow_task: words.has("force"),
            return_new_workflow_task: words.has("inline"),
            sticky_attributes: sticky.map(|(queue, timeout)| StickyExecutionAttributes {
                worker_task_queue: Some(TaskQueue { name: queue.into(), ..Default::default() }),
                schedule_to_start_timeout: Some(duration(seconds(timeout))),
            }),
            ..Default::default()
        };
        let answer = self.propose(Kind::CompleteWorkflowTask(op::CompleteWorkflowTask {
            bad_binary: words.has("bad-binary"),
            other_namespaces: Vec::new(),
            namespace: Some(self.harness.namespace.clone()),
            task: self.workflow_task.clone(),
            request: Some(request),
        }));
        if let Some(answer::Kind::CompleteWorkflowTask(done)) = answer.kind {
            if let Some(task) = done.new_task {
                self.workflow_task = task.task;
            }
            if let Some(activity) = done.activities.into_iter().next() {
                self.activity_task = activity.task;
            }
        }
    }

    fn fail_task(&mut self, words: &Words<'_>) {
        let cause = match words.has("too-large") {
            true => WorkflowTaskFailedCause::GrpcMessageTooLarge,
            false => WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
        };
        let request = RespondWorkflowTaskFailedRequest {
            cause: cause as i32,
            identity: words.get("worker", "A").into(),
            ..Default::default()
        };
        self.propose(Kind::FailWorkflowTask(op::FailWorkflowTask {
            namespace: Some(self.harness.namespace.clone()),
            task: self.workflow_task.clone(),
            request: Some(request),
        }));
    }

    fn complete_activity(&mut self, words: &Words<'_>) {
        let mut task = self.activity_task.clone();
        if words.has("id") {
            let run = self.harness.run(words.get("wf", "w")).expect("a run");
            task = Some(TaskRef {
                namespace_id: run.row.namespace_id,
                workflow_id: run.row.workflow_id,
                run_id: run.row.run_id,
                task_type: TaskType::Activity as i32,
                activity_id: words.get("id", "").into(),
                ..Default::default()
            });
        }
        self.propose(Kind::CompleteActivity(op::CompleteActivity { task, identity: "A".into(), ..Default::default() }));
    }

    fn fail_activity(&mut self, words: &Words<'_>) {
        let failure = Failure {
            message: "broken".into(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                non_retryable: words.has("final"),
                ..Default::default()
            })),
            ..Default::default()
        };
        self.propose(Kind::FailActivity(op::FailActivity {
            task: self.activity_task.clone(),
            failure: Some(failure),
            identity: "A".into(),
            ..Default::default()
        }));
    }

    fn cancel_activity(&mut self) {
        let task = self.activity_task.clone();
        self.propose(Kind::CancelActivity(op::CancelActivity { task, identity: "A".into(), ..Default::default() }));
    }

    fn heartbeat(&mut self) {
        let task = self.activity_task.clone();
        self.propose(Kind::HeartbeatActivity(op::HeartbeatActivity {
            task,
            identity: "A".into(),
            ..Default::default()
        }));
    }

    fn tick(&mut self, words: &Words<'_>) {
        let by = words.pairs.first().map(|pair| pair.0).unwrap_or("0s");
        self.harness.now += seconds(by);
        let now = self.harness.now;
        let effects = self.harness.tick();
        let said = print::effects(&effects, now);
        self.say(if said.is_empty() { "nothing due" } else { &said });
    }

    /// Brings every message of the outbox, and those that come of it, to its workflow.
    fn deliver(&mut self, words: &Words<'_>) {
        let now = self.harness.now;
        let mut any = false;
        while let Some((op, outcome)) = self.harness.deliver(words.has("last")) {
            any = true;
            let effects = print::effects(&outcome.effects, now);
            let said = format!("{}: {}", print::message(&op), print::answer(&outcome.answer));
            self.say(&if effects.is_empty() { said } else { format!("{said}; {effects}") });
            if words.has("one") || matches!(outcome.answer.kind, Some(answer::Kind::Reject(_))) {
                break;
            }
        }
        if !any {
            self.say("nothing");
        }
    }

    fn history(&mut self, workflow_id: &str) {
        for event in self.harness.history(workflow_id) {
            self.say(&print::event(&event));
        }
    }
}

/// `start-timer=t:10s`, `schedule=a`, `complete` … as a command.
#[expect(clippy::too_many_lines, reason = "one arm for each kind, none of them long")]
fn command(key: &str, value: &str) -> Option<Command> {
    let (id, rest) = value.split_once(':').unwrap_or((value, ""));
    let (kind, attributes) = match key {
        "schedule" => {
            let mut attributes = ScheduleActivityTaskCommandAttributes {
                activity_id: id.into(),
                activity_type: Some(ActivityType { name: "Act".into() }),
                task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
                start_to_close_timeout: Some(duration(10 * SECOND)),
                ..Default::default()
            };
            for option in rest.split(',').filter(|option| !option.is_empty()) {
                match option.split_once('/').unwrap_or((option, "")) {
                    ("heartbeat", time) => attributes.heartbeat_timeout = Some(duration(seconds(time))),
                    ("to-close", time) => attributes.schedule_to_close_timeout = Some(duration(seconds(time))),
                    ("to-start", time) => attributes.schedule_to_start_timeout = Some(duration(seconds(time))),
                    ("attempts", number) => {
                        attributes.retry_policy = Some(RetryPolicy {
                            maximum_attempts: number.parse().expect("a number"),
                            ..Default::default()
                        });
                    }
                    ("eager", _) => attributes.request_eager_execution = true,
                    (other, _) => panic!("unknown option {other}"),
                }
            }
            (CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(attributes))
        }
        "cancel-activity" => (
            CommandType::RequestCancelActivityTask,
            Attributes::RequestCancelActivityTaskCommandAttributes(RequestCancelActivityTaskCommandAttributes {
                scheduled_event_id: id.parse().expect("an event id"),
            }),
        ),
        "start-timer" => (
            CommandType::StartTimer,
            Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
                timer_id: id.into(),
                start_to_fire_timeout: Some(duration(seconds(rest))),
            }),
        ),
        "cancel-timer" => (
            CommandType::CancelTimer,
            Attributes::CancelTimerCommandAttributes(CancelTimerCommandAttributes { timer_id: id.into() }),
        ),
        "marker" => (
            CommandType::RecordMarker,
            Attributes::RecordMarkerCommandAttributes(RecordMarkerCommandAttributes {
                marker_name: id.into(),
                ..Default::default()
            }),
        ),
        "complete" => (
            CommandType::CompleteWorkflowExecution,
            Attributes::CompleteWorkflowExecutionCommandAttributes(Default::default()),
        ),
        "fail" => (
            CommandType::FailWorkflowExecution,
            Attributes::FailWorkflowExecutionCommandAttributes(FailWorkflowExecutionCommandAttributes {
                failure: Some(Failure {
                    message: "failed".into(),
                    failure_info: Some(FailureInfo::ApplicationFailureInfo(Default::default())),
                    ..Default::default()
                }),
            }),
        ),
        "cancel" => (
            CommandType::CancelWorkflowExecution,
            Attributes::CancelWorkflowExecutionCommandAttributes(Default::default()),
        ),
        "continue-as-new" => (
            CommandType::ContinueAsNewWorkflowExecution,
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(properties::continue_as_new(id, rest)),
        ),
        "memo" => (
            CommandType::ModifyWorkflowProperties,
            Attributes::ModifyWorkflowPropertiesCommandAttributes(properties::modify(id, rest)),
        ),
        "attributes" => (
            CommandType::UpsertWorkflowSearchAttributes,
            Attributes::UpsertWorkflowSearchAttributesCommandAttributes(properties::upsert(id, rest)),
        ),
        "accept" | "respond" | "message" => (
            CommandType::ProtocolMessage,
            Attributes::ProtocolMessageCommandAttributes(ProtocolMessageCommandAttributes {
                message_id: format!("{value}/{key}"),
            }),
        ),
        "sticky" | "force" | "inline" | "reject" | "mute-accept" | "bad-binary" => return None,
        other => command_to_others(other, id, rest),
    };
    Some(Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() })
}

/// `start-child=c:ABANDON`, `signal-external=w2:s`, `cancel-external=w2`, `cancel-external=c:child`.
fn command_to_others(key: &str, id: &str, rest: &str) -> (CommandType, Attributes) {
    match key {
        "start-child" => (
            CommandType::StartChildWorkflowExecution,
            Attributes::StartChildWorkflowExecutionCommandAttributes(StartChildWorkflowExecutionCommandAttributes {
                workflow_id: id.into(),
                workflow_type: Some(WorkflowType { name: "C".into() }),
                task_queue: Some(TaskQueue { name: id.into(), ..Default::default() }),
                parent_close_policy: ParentClosePolicy::from_str_name(&format!("PARENT_CLOSE_POLICY_{rest}"))
                    .unwrap_or_default() as i32,
                ..Default::default()
            }),
        ),
        "signal-external" => (
            CommandType::SignalExternalWorkflowExecution,
            Attributes::SignalExternalWorkflowExecutionCommandAttributes(
                SignalExternalWorkflowExecutionCommandAttributes {
                    execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
                    signal_name: rest.into(),
                    ..Default::default()
                },
            ),
        ),
        "cancel-external" => (
            CommandType::RequestCancelExternalWorkflowExecution,
            Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(
                RequestCancelExternalWorkflowExecutionCommandAttributes {
                    workflow_id: id.into(),
                    child_workflow_only: rest == "child",
                    ..Default::default()
                },
            ),
        ),
        other => panic!("unknown command {other}"),
    }
}
