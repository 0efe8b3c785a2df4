//! A worker has done a workflow task: its commands become events, and the next task may follow at once (SEMANTICS B6).

use proto::temporal::api::enums::v1::{CommandType, TimeoutType, WorkflowTaskFailedCause as Cause};
use proto::temporal::api::failure::v1::{failure::FailureInfo, Failure, ServerFailureInfo};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::WorkflowTaskCompletedEventAttributes;
use proto::temporal::api::workflowservice::v1::RespondWorkflowTaskCompletedRequest;

use super::commands::{self, Carried, Refused, Scope};
use super::{close, task, Run};
use crate::activity::{self, EagerTarget};
use crate::op::{
    self, answer, ActivityTaskStarted, CompleteWorkflowTask, CompleteWorkflowTaskAnswer, NamespaceFacts,
    WorkflowTaskStarted,
};
use crate::reject::{code, Decided};
use crate::state::workflow_task::Type;
use crate::state::Sticky;
use crate::time::nanos_or_zero;
use crate::update::messages::{self, Messages};
use crate::{external, update, Context, Fault, Reject};

/// Events that a worker able to do so forgets again with a discarded task (Temporal:
/// history.discardSpeculativeWorkflowTaskMaximumEventsCount).
const DISCARDED_EVENTS_MAX: i64 = 10;

type Request = RespondWorkflowTaskCompletedRequest;

pub fn decide(ctx: &mut Context<'_, '_>, op: &CompleteWorkflowTask) -> Decided<answer::Kind> {
    let wanted = op.task.as_ref().ok_or_else(|| Fault::corrupt("task op", "no task"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("task op", "no request"))?;
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("task op", "no namespace"))?;
    let mut run = Run::load(ctx, &wanted.namespace_id, &wanted.workflow_id, &wanted.run_id)?;
    if run.seen_before(&ctx.op_id) {
        return again(ctx, &mut run);
    }
    if !run.is_open() || !task::is_running(&run, wanted) {
        return Err(Reject::workflow_task_not_found().into());
    }
    if run.row.pause.is_some() && request.force_create_new_workflow_task {
        let why = "Workflow is paused and force create new workflow task is not allowed.";
        return Err(Reject::failed_precondition(why).into());
    }
    commands::check_sequence(&request.commands)?;
    let before = run.clone();
    let mark = ctx.txn.mark();
    match complete(ctx, run, (namespace, op), request) {
        Ok(answer) => Ok(answer),
        Err(Refused::Stop(stop)) => Err(stop),
        Err(Refused::Task { cause, message }) => {
            ctx.txn.roll_back_to(mark);
            ctx.reserved.clear();
            refuse(ctx, before, request, cause, &message, false)
        }
        Err(Refused::Workflow { cause, message }) => {
            ctx.txn.roll_back_to(mark);
            ctx.reserved.clear();
            refuse(ctx, before, request, cause, &message, true)
        }
    }
}

/// The call came again: the answer it had, with the tasks it was given if they are still running.
fn again(ctx: &Context<'_, '_>, run: &mut Run) -> Decided<answer::Kind> {
    let before = run.recent_op(&ctx.op_id).cloned().unwrap_or_default();
    if before.refused_code != 0 {
        let (message, detail) = (before.refused_message, before.refused_detail);
        return Ok(answer::Kind::Reject(op::Reject { code: before.refused_code, message, detail }));
    }
    if !run.is_open() {
        return Ok(answer_of_closed());
    }
    let call_id = ctx.call_id();
    let given = run.row.task.as_ref().is_some_and(|task| task.request_id == call_id);
    Ok(answer::Kind::CompleteWorkflowTask(CompleteWorkflowTaskAnswer {
        new_task: task::started_answer(run).filter(|_| given).map(after_this_answer),
        activities: activity::start::taken_along(ctx, run, &call_id)?,
        reset_history_event_id: before.reset_history_event_id,
        closed: false,
    }))
}

/// A run that has closed gives its worker nothing to do.
fn answer_of_closed() -> answer::Kind {
    answer::Kind::CompleteWorkflowTask(CompleteWorkflowTaskAnswer { closed: true, ..Default::default() })
}

/// The call is refused and yet changes the run: should it come again, it is refused alike.
fn remember_refusal(ctx: &Context<'_, '_>, run: &mut Run, reject: &Reject) {
    if let Some(call) = run.recent_op(&ctx.op_id) {
        call.refused_code = reject.code();
        reject.message().clone_into(&mut call.refused_message);
        call.refused_detail.clone_from(&reject.0.detail);
    }
}

/// The worker has just seen everything before its answer: the history after that is enough.
fn after_this_answer(started: WorkflowTaskStarted) -> WorkflowTaskStarted {
    WorkflowTaskStarted { sticky: true, ..started }
}

fn complete(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    (namespace, op): (&NamespaceFacts, &CompleteWorkflowTask),
    request: &Request,
) -> Result<answer::Kind, Refused> {
    let task = run.row.task.clone().unwrap_or_default();
    let heartbeat = is_heartbeat(request);
    if heartbeat && ctx.now.saturating_sub(task.original_scheduled_time) > ctx.limits.task_heartbeat_timeout {
        return heartbeat_timeout(ctx, run);
    }
    refuse_bad_binary(op, request)?;
    task::disarm(ctx, &mut run);
    if comes_to_nothing(&run, request) {
        return discard(ctx, run, request);
    }
    if task.r#type() == Type::Transient {
        task::write_down(ctx, &mut run)?;
    }
    stick(&mut run, request);
    let completed_event_id = record_completion(ctx, &mut run, request)?;
    let closes = request
        .commands
        .last()
        .is_some_and(|command| commands::is_closing(CommandType::try_from(command.command_type).unwrap_or_default()));
    let mut carried = Carried { messages: Messages::new(&request.messages), ..Default::default() };
    let scope = Scope {
        namespace,
        other_namespaces: &op.other_namespaces,
        completed_event_id,
        identity: &request.identity,
        eager: eager_target(ctx, request),
        commands: &request.commands,
    };
    run.holds_back = true;
    for command in &request.commands {
        let kind = CommandType::try_from(command.command_type).unwrap_or_default();
        if commands::is_closing(kind) && run.row.buffered_events > 0 {
            return Err(Refused::Task { cause: Cause::UnhandledCommand, message: String::new() });
        }
        commands::carry_out(ctx, &mut run, command, &scope, &mut carried)?;
    }
    run.holds_back = false;
    run.row.close_attempted = false;
    if closes {
        external::withdraw_after(ctx, &run, completed_event_id)?;
        return finish_closed(ctx, run, carried);
    }
    carried.messages.carry_out_rest(ctx, &mut run)?;
    if !heartbeat {
        messages::reject_unprocessed(ctx, &mut run)?;
    }
    let original = if heartbeat { task.original_scheduled_time } else { 0 };
    if run.row.buffered_events > 0 || request.force_create_new_workflow_task || carried.needs_task {
        task::schedule(ctx, &mut run, original)?;
    } else if update::any_unsent(ctx, &run)? {
        // If the task led to events, the next one can as well be written: it will be.
        match run.row.next_event_id == completed_event_id + 1 {
            true => task::schedule_speculative(ctx, &mut run)?,
            false => task::schedule(ctx, &mut run, 0)?,
        }
    }
    go_on(ctx, run, request, carried.activities, 0)
}

/// Nothing that a program marked as bad has decided is taken.
#[expect(deprecated, reason = "older SDKs send checksums")]
fn refuse_bad_binary(op: &CompleteWorkflowTask, request: &Request) -> Result<(), Refused> {
    if op.bad_binary {
        let message = format!("binary {} is marked as bad deployment", request.binary_checksum);
        return Err(Refused::task(Cause::BadBinary, message));
    }
    Ok(())
}

/// A speculative task whose updates are all refused never was, unless it brought the worker events that were new.
fn comes_to_nothing(run: &Run, request: &Request) -> bool {
    if !task::is_speculative(run) || !request.commands.is_empty() || request.force_create_new_workflow_task {
        return false;
    }
    let scheduled_event_id = run.row.task.as_ref().map(|task| task.scheduled_event_id).unwrap_or_default();
    // All that follows the last task but its completion.
    let news = scheduled_event_id - run.row.previous_started_event_id - 2;
    let discards = request.capabilities.as_ref().is_some_and(|able| able.discard_speculative_workflow_task_with_events);
    messages::only_rejections(&request.messages) && (news == 0 || discards && news <= DISCARDED_EVENTS_MAX)
}

fn discard(ctx: &mut Context<'_, '_>, mut run: Run, request: &Request) -> Result<answer::Kind, Refused> {
    task::drop_speculative(ctx, &mut run);
    stick(&mut run, request);
    Messages::new(&request.messages).carry_out_rest(ctx, &mut run)?;
    messages::reject_unprocessed(ctx, &mut run)?;
    if update::any_unsent(ctx, &run)? {
        task::schedule_speculative(ctx, &mut run)?;
    }
    let rewind_to = run.row.previous_started_event_id;
    if let Some(call) = run.recent_op(&ctx.op_id) {
        call.reset_history_event_id = rewind_to;
    }
    go_on(ctx, run, request, Vec::new(), rewind_to)
}

/// Nothing but a request for a new task: the worker needs more time.
fn is_heartbeat(request: &Request) -> bool {
    request.force_create_new_workflow_task && request.commands.is_empty() && request.messages.is_empty()
}

/// A task kept alive for too long is lost like one that was never answered.
fn heartbeat_timeout(ctx: &mut Context<'_, '_>, mut run: Run) -> Result<answer::Kind, Refused> {
    let reject = Reject::not_found("workflow task heartbeat timeout");
    remember_refusal(ctx, &mut run, &reject);
    task::time_out(ctx, &mut run, TimeoutType::StartToClose)?;
    run.row.sticky = None;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)?;
    Ok(answer::Kind::Reject(*reject.0))
}

/// Sticky attributes name the worker's own queue; without them the run has none.
fn stick(run: &mut Run, request: &Request) {
    let attributes = request.sticky_attributes.as_ref();
    let queue = attributes.and_then(|a| a.worker_task_queue.as_ref()).filter(|queue| !queue.name.is_empty());
    run.row.sticky = queue.map(|queue| Sticky {
        queue: queue.name.clone(),
        schedule_to_start: nanos_or_zero(attributes.and_then(|a| a.schedule_to_start_timeout.as_ref())),
        identity: request.identity.clone(),
    });
}

#[expect(deprecated, reason = "SDKs still send checksums and version stamps")]
fn record_completion(ctx: &mut Context<'_, '_>, run: &mut Run, request: &Request) -> Decided<i64> {
    let task = run.row.task.clone().unwrap_or_default();
    let completed = WorkflowTaskCompletedEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        started_event_id: task.started_event_id,
        identity: request.identity.clone(),
        binary_checksum: request.binary_checksum.clone(),
        worker_version: request.worker_version_stamp.clone(),
        sdk_metadata: request.sdk_metadata.clone(),
        metering_metadata: request.metering_metadata,
        ..Default::default()
    };
    run.add(ctx, Attributes::WorkflowTaskCompletedEventAttributes(completed))
}

fn eager_target(ctx: &Context<'_, '_>, request: &Request) -> Option<EagerTarget> {
    ctx.limits.eager_activities.then(|| EagerTarget { identity: request.identity.clone(), request_id: ctx.call_id() })
}

fn finish_closed(ctx: &mut Context<'_, '_>, run: Run, carried: Carried) -> Result<answer::Kind, Refused> {
    match carried.successor {
        Some((new_run_id, start)) => close::finish_with_successor(ctx, run, new_run_id, start)?,
        None => close::finish(ctx, run)?,
    }
    Ok(answer_of_closed())
}

fn go_on(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    request: &Request,
    activities: Vec<ActivityTaskStarted>,
    reset_history_event_id: i64,
) -> Result<answer::Kind, Refused> {
    let inline = request.return_new_workflow_task && run.row.task.is_some();
    if inline {
        let request_id = ctx.call_id();
        task::start(ctx, &mut run, &request_id, &request.identity)?;
    }
    close::enforce_history_limits(ctx, &mut run)?;
    if !run.is_open() {
        run.finish(ctx)?;
        return Ok(answer_of_closed());
    }
    let new_task = task::started_answer(&run).filter(|_| inline).map(after_this_answer);
    run.finish(ctx)?;
    Ok(answer::Kind::CompleteWorkflowTask(CompleteWorkflowTaskAnswer {
        new_task,
        activities,
        reset_history_event_id,
        closed: false,
    }))
}

/// The task fails because of its commands. After a failed attempt nothing more is written: the task times out.
fn refuse(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    request: &Request,
    cause: Cause,
    message: &str,
    terminates: bool,
) -> Decided<answer::Kind> {
    let text = refusal_text(cause, message);
    let reject = Reject::new(code::INVALID_ARGUMENT, text.as_str());
    remember_refusal(ctx, &mut run, &reject);
    let rejected = answer::Kind::Reject(*reject.0);
    let repeated = run.row.task.as_ref().is_some_and(|task| task.attempt > 1);
    if repeated && !terminates && cause != Cause::UnhandledCommand {
        return Ok(rejected);
    }
    let failure = Failure {
        message: text.clone(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo::default())),
        ..Default::default()
    };
    #[expect(deprecated, reason = "older SDKs send checksums")]
    let checksum = request.binary_checksum.as_str();
    if cause == Cause::BadUpdateWorkflowExecutionMessage {
        update::abort_sent(ctx, &mut run)?;
    }
    task::fail(ctx, &mut run, cause, Some(failure), &request.identity, checksum)?;
    if terminates {
        close::terminate_by_server(ctx, &mut run, &text)?;
        close::finish(ctx, run)?;
        return Ok(rejected);
    }
    run.row.close_attempted = cause == Cause::UnhandledCommand;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)?;
    Ok(rejected)
}

/// `BadStartTimerAttributes: TimerId is not set …`; an unhandled command is its name alone.
fn refusal_text(cause: Cause, message: &str) -> String {
    let name = commands::pascal_case(cause.as_str_name().trim_start_matches("WORKFLOW_TASK_FAILED_CAUSE_"));
    if message.is_empty() {
        name
    } else {
        format!("{name}: {message}")
    }
}
