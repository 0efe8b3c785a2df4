//! The workflow-task machine (SEMANTICS B4; Temporal: workflow_task_state_machine.go).
//!
//! ```text
//!   none ──schedule──► scheduled ──start──► started ──► completed | failed | timed out ──► none
//! ```
//!
//! A task after a failure (attempt > 1) is transient: its Scheduled and Started events are written only when it
//! completes, unless new events came meanwhile, which make it a normal first attempt again.
//!
//! A task that only takes updates to a worker is speculative: its events are written as soon as any other event is, and
//! never if the worker refuses all of the updates.

use proto::temporal::api::enums::v1::{TaskQueueKind, TimeoutType, WorkflowTaskFailedCause as Cause};
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    HistoryEvent, WorkflowTaskFailedEventAttributes, WorkflowTaskScheduledEventAttributes,
    WorkflowTaskStartedEventAttributes, WorkflowTaskTimedOutEventAttributes,
};
use proto::temporal::api::taskqueue::v1::TaskQueue;

use super::run::Extras;
use super::{buffer, events, Run};
use crate::reject::Decided;
use crate::state::{workflow_task::Type, WorkflowTask};
use crate::tables::{DeadlineKey, DeadlineKind};
use crate::time::{duration, timestamp, MINUTE, SECOND};
use crate::{op, task_queue, update, Context};

/// Attempts after which the time a worker gets is stretched, in place of a delay.
const UNSTRETCHED_ATTEMPTS: i32 = 3;

/// Schedules a task if none is outstanding. `original`: scheduled time of the first of a row of heartbeats, or 0.
pub fn schedule(ctx: &mut Context<'_, '_>, run: &mut Run, original: i64) -> Decided<()> {
    if run.row.task.is_some() || !run.is_open() || run.row.first_task_withheld {
        return Ok(());
    }
    if run.row.pause.is_some() {
        // Nothing is held back any more once the task that was running has ended.
        buffer::flush(ctx, run)?;
        return Ok(());
    }
    disarm_first_task(ctx, run);
    if buffer::flush(ctx, run)? {
        run.row.task_attempt = 1;
    }
    let kind = if run.row.task_attempt <= 1 { Type::Normal } else { Type::Transient };
    schedule_attempt(ctx, run, original, kind)
}

/// Schedules a task for updates alone, if none is outstanding that takes them along.
pub fn schedule_speculative(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.row.task_attempt > 1 || run.row.buffered_events > 0 {
        return schedule(ctx, run, 0);
    }
    if run.row.task.is_some() || !run.is_open() || run.row.pause.is_some() || run.row.first_task_withheld {
        return Ok(());
    }
    schedule_attempt(ctx, run, 0, Type::Speculative)
}

/// Schedules a task whose Scheduled event is written now even if it is not the first attempt.
pub fn schedule_written(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.row.task.is_some() || !run.is_open() {
        return Ok(());
    }
    buffer::flush(ctx, run)?;
    schedule_attempt(ctx, run, 0, Type::Normal)
}

fn schedule_attempt(ctx: &mut Context<'_, '_>, run: &mut Run, original: i64, kind: Type) -> Decided<()> {
    let attempt = run.row.task_attempt.max(1);
    let start_to_close = stretched(ctx, run.row.task_timeout, attempt);
    if kind == Type::Normal {
        let scheduled = scheduled_attributes(run, attempt, start_to_close);
        run.add(ctx, Attributes::WorkflowTaskScheduledEventAttributes(scheduled))?;
    } else {
        let queue = waiting_queue(run);
        run.row.task = Some(WorkflowTask {
            r#type: kind as i32,
            scheduled_event_id: run.row.next_event_id,
            attempt,
            scheduled_time: ctx.now,
            start_to_close,
            sticky: queue.kind == TaskQueueKind::Sticky as i32,
            queue: queue.name,
            ..Default::default()
        });
    }
    let stamp = run.next_stamp();
    let schedule_to_start = run.row.sticky.as_ref().map(|sticky| sticky.schedule_to_start).unwrap_or_default();
    let Some(task) = run.row.task.as_mut() else { return Ok(()) };
    task.stamp = stamp;
    task.original_scheduled_time = if original == 0 { ctx.now } else { original };
    if task.sticky && schedule_to_start > 0 {
        task.deadline = ctx.now.saturating_add(schedule_to_start);
        deadline(run.key, task, DeadlineKind::TaskScheduleToStart).put(ctx.txn, "");
    }
    Ok(())
}

/// The queue a task of this run waits on now.
fn waiting_queue(run: &Run) -> TaskQueue {
    match &run.row.sticky {
        Some(sticky) => TaskQueue {
            name: sticky.queue.clone(),
            kind: TaskQueueKind::Sticky as i32,
            normal_name: run.row.task_queue.clone(),
        },
        None => normal_queue(&run.row.task_queue),
    }
}

pub fn normal_queue(name: &str) -> TaskQueue {
    TaskQueue { name: name.into(), kind: TaskQueueKind::Normal as i32, normal_name: String::new() }
}

fn scheduled_attributes(run: &Run, attempt: i32, start_to_close: i64) -> WorkflowTaskScheduledEventAttributes {
    WorkflowTaskScheduledEventAttributes {
        task_queue: Some(waiting_queue(run)),
        start_to_close_timeout: Some(duration(start_to_close)),
        attempt,
    }
}

/// From the fourth attempt on the worker gets more time: 5 s, doubled each attempt up to 10 minutes, with jitter.
fn stretched(ctx: &mut Context<'_, '_>, timeout: i64, attempt: i32) -> i64 {
    if attempt <= UNSTRETCHED_ATTEMPTS {
        return timeout;
    }
    let doublings = (attempt - UNSTRETCHED_ATTEMPTS - 1).min(10);
    let extra = ((5 * SECOND) << doublings).min(10 * MINUTE);
    timeout + extra - ctx.jitter(extra as u64 / 5) as i64
}

fn deadline(key: crate::tables::RunKey, task: &WorkflowTask, kind: DeadlineKind) -> DeadlineKey {
    DeadlineKey { due: task.deadline, kind, run: key, entity: task.scheduled_event_id, stamp: task.stamp }
}

/// Removes the task's deadline and ready rows.
pub fn disarm(ctx: &mut Context<'_, '_>, run: &mut Run) {
    let Some(mut task) = run.row.task.take() else { return };
    if task.deadline != 0 {
        let kind = match task.started_event_id {
            0 => DeadlineKind::TaskScheduleToStart,
            _ => DeadlineKind::TaskStartToClose,
        };
        deadline(run.key, &task, kind).delete(ctx.txn);
        task.deadline = 0;
    }
    if task.queued {
        task_queue::ready_key_of_workflow_task(run, &task).delete(ctx.txn);
        task.queued = false;
    }
    run.row.task = Some(task);
}

/// Keeps a waiting task from being handed out, without a trace in the history.
pub fn withhold(ctx: &mut Context<'_, '_>, run: &mut Run) {
    if !run.task_started() {
        disarm(ctx, run);
    }
}

/// A task that was withheld waits for a worker again: the end of the operation makes it ready.
pub fn hand_out(ctx: &mut Context<'_, '_>, run: &mut Run) {
    let after = run.row.sticky.as_ref().map(|sticky| sticky.schedule_to_start).unwrap_or_default();
    let paused = run.row.pause.is_some();
    let Some(task) = run.row.task.as_mut() else { return };
    if !paused && task.started_event_id == 0 && task.sticky && task.deadline == 0 && after > 0 {
        task.deadline = ctx.now.saturating_add(after);
        deadline(run.key, task, DeadlineKind::TaskScheduleToStart).put(ctx.txn, "");
    }
}

/// Forgets the wait before the first task (start delay, cron, backoff).
pub fn disarm_first_task(ctx: &mut Context<'_, '_>, run: &mut Run) {
    if run.row.first_task_deadline != 0 {
        first_task_deadline(run).delete(ctx.txn);
        run.row.first_task_deadline = 0;
    }
}

pub fn first_task_deadline(run: &Run) -> DeadlineKey {
    DeadlineKey { due: run.row.first_task_deadline, kind: DeadlineKind::FirstTask, run: run.key, entity: 0, stamp: 0 }
}

/// Hands the scheduled task to a worker. The caller has checked that there is one that is not started.
pub fn start(ctx: &mut Context<'_, '_>, run: &mut Run, request_id: &str, identity: &str) -> Decided<()> {
    disarm(ctx, run);
    let Some(task) = run.row.task.clone() else { return Ok(()) };
    if !task.sticky {
        // A worker on the normal queue gets the whole history; it becomes the one to stick to when it says so.
        run.row.sticky = None;
    }
    let overtaken = task.r#type() == Type::Transient && task.scheduled_event_id != run.row.next_event_id;
    if overtaken {
        run.row.task_attempt = 1;
        let scheduled = scheduled_attributes(run, 1, run.row.task_timeout);
        run.add(ctx, Attributes::WorkflowTaskScheduledEventAttributes(scheduled))?;
        if let Some(renewed) = run.row.task.as_mut() {
            renewed.stamp = task.stamp;
            renewed.original_scheduled_time = task.original_scheduled_time;
        }
    }
    let suggestion = suggest_continue_as_new(ctx, run);
    let history_size = run.row.history_size;
    let Some(task) = run.row.task.as_mut() else { return Ok(()) };
    task.history_size_bytes = history_size;
    task.suggest_continue_as_new = !suggestion.is_empty();
    task.suggest_reasons = suggestion;
    task.request_id = request_id.into();
    task.identity = identity.into();
    task.started_time = ctx.now;
    if task.r#type() == Type::Normal {
        let started = started_attributes(task);
        run.add(ctx, Attributes::WorkflowTaskStartedEventAttributes(started))?;
        run.cut_batch();
    } else {
        task.started_event_id = task.scheduled_event_id + 1;
    }
    run.row.last_started_identity = identity.into();
    let Some(task) = run.row.task.as_mut() else { return Ok(()) };
    task.deadline = ctx.now.saturating_add(task.start_to_close);
    let deadline = deadline(run.key, task, DeadlineKind::TaskStartToClose);
    deadline.put(ctx.txn, "");
    update::send(ctx, run)
}

fn started_attributes(task: &WorkflowTask) -> WorkflowTaskStartedEventAttributes {
    WorkflowTaskStartedEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        identity: task.identity.clone(),
        request_id: task.request_id.clone(),
        history_size_bytes: task.history_size_bytes,
        suggest_continue_as_new: task.suggest_continue_as_new,
        suggest_continue_as_new_reasons: task.suggest_reasons.clone(),
        ..Default::default()
    }
}

/// Why the workflow should soon continue as new; empty: no reason.
fn suggest_continue_as_new(ctx: &Context<'_, '_>, run: &Run) -> Vec<i32> {
    use proto::temporal::api::enums::v1::SuggestContinueAsNewReason as Reason;
    let mut reasons = Vec::new();
    if run.row.history_size >= ctx.limits.suggest_bytes {
        reasons.push(Reason::HistorySizeTooLarge as i32);
    }
    if run.row.next_event_id > ctx.limits.suggest_events {
        reasons.push(Reason::TooManyHistoryEvents as i32);
    }
    if run.row.updates.saturating_mul(10) >= ctx.limits.updates_total.saturating_mul(9) {
        reasons.push(Reason::TooManyUpdates as i32);
    }
    reasons
}

/// The events that a transient or speculative task has but for their being written: Scheduled, and Started if a worker
/// has it. They are shown to workers, and stored when the task comes to something.
pub fn unwritten_events(run: &crate::state::Run, task: &WorkflowTask) -> Vec<HistoryEvent> {
    if task.r#type() == Type::Normal {
        return Vec::new();
    }
    let kind = if task.sticky { TaskQueueKind::Sticky } else { TaskQueueKind::Normal };
    let normal_name = if task.sticky { run.task_queue.clone() } else { String::new() };
    let scheduled = WorkflowTaskScheduledEventAttributes {
        task_queue: Some(TaskQueue { name: task.queue.clone(), kind: kind as i32, normal_name }),
        start_to_close_timeout: Some(duration(task.start_to_close)),
        attempt: task.attempt,
    };
    let event = |event_id, time, attributes: Attributes| HistoryEvent {
        event_id,
        event_time: Some(timestamp(time)),
        event_type: events::event_type(&attributes) as i32,
        attributes: Some(attributes),
        ..Default::default()
    };
    let scheduled = Attributes::WorkflowTaskScheduledEventAttributes(scheduled);
    let mut events = vec![event(task.scheduled_event_id, task.scheduled_time, scheduled)];
    if task.started_event_id != 0 {
        let started = Attributes::WorkflowTaskStartedEventAttributes(started_attributes(task));
        events.push(event(task.started_event_id, task.started_time, started));
    }
    events
}

/// Writes down the events that the task has not had so far; it is a normal one from now on.
pub fn write_down(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    let Some(task) = run.row.task.as_mut() else { return Ok(()) };
    let unwritten = task.clone();
    task.r#type = Type::Normal as i32;
    for event in unwritten_events(&run.row, &unwritten) {
        let (Some(attributes), Some(time)) = (event.attributes, event.event_time) else { continue };
        run.add_at(ctx, attributes, Extras::default(), crate::time::nanos_of_timestamp(&time))?;
    }
    if let Some(written) = run.row.task.as_mut() {
        let (scheduled_event_id, started_event_id) = (written.scheduled_event_id, written.started_event_id);
        *written = WorkflowTask { r#type: Type::Normal as i32, scheduled_event_id, started_event_id, ..unwritten };
    }
    Ok(())
}

/// Whether the task exists for updates alone and has no events yet.
pub fn is_speculative(run: &Run) -> bool {
    run.row.task.as_ref().is_some_and(|task| task.r#type() == Type::Speculative)
}

/// Forgets a speculative task as if it had never been.
pub fn drop_speculative(ctx: &mut Context<'_, '_>, run: &mut Run) {
    disarm(ctx, run);
    if is_speculative(run) {
        run.row.task = None;
    }
}

/// Ends the started task as failed. Only the first failure in a row is an event.
pub fn fail(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    cause: Cause,
    failure: Option<Failure>,
    identity: &str,
    binary_checksum: &str,
) -> Decided<()> {
    disarm(ctx, run);
    update::take_back(ctx, run)?;
    let Some(task) = run.row.task.clone() else { return Ok(()) };
    if task.r#type() == Type::Transient {
        forget(run, true);
        return Ok(());
    }
    #[expect(deprecated, reason = "the field is still part of the event")]
    let failed = WorkflowTaskFailedEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        started_event_id: task.started_event_id,
        cause: cause as i32,
        failure,
        identity: identity.into(),
        binary_checksum: binary_checksum.into(),
        ..Default::default()
    };
    run.add(ctx, Attributes::WorkflowTaskFailedEventAttributes(failed))?;
    Ok(())
}

/// Ends the task as timed out. Only the first in a row is an event.
pub fn time_out(ctx: &mut Context<'_, '_>, run: &mut Run, kind: TimeoutType) -> Decided<()> {
    disarm(ctx, run);
    update::take_back(ctx, run)?;
    let Some(task) = run.row.task.clone() else { return Ok(()) };
    if task.r#type() == Type::Transient {
        forget(run, kind == TimeoutType::StartToClose);
        return Ok(());
    }
    let timed_out = WorkflowTaskTimedOutEventAttributes {
        scheduled_event_id: task.scheduled_event_id,
        started_event_id: task.started_event_id,
        timeout_type: kind as i32,
    };
    run.add(ctx, Attributes::WorkflowTaskTimedOutEventAttributes(timed_out))?;
    Ok(())
}

/// What remains of a task that ended badly: the number of the next attempt. A sticky worker's failure is forgiven once:
/// the next attempt goes to the normal queue as the first.
pub fn forget(run: &mut Run, counts: bool) {
    let attempt = run.row.task.take().map_or(1, |task| task.attempt);
    run.row.problem_tasks += 1;
    let was_sticky = run.row.sticky.take().is_some();
    run.row.task_attempt = if counts && !was_sticky { attempt + 1 } else { 1 };
}

/// What a poller gets of the started task, but for the history.
pub fn started_answer(run: &Run) -> Option<op::WorkflowTaskStarted> {
    let task = run.row.task.as_ref().filter(|task| task.started_event_id != 0)?;
    Some(op::WorkflowTaskStarted {
        task: Some(op::TaskRef {
            namespace_id: run.row.namespace_id.clone(),
            workflow_id: run.row.workflow_id.clone(),
            run_id: run.row.run_id.clone(),
            task_type: crate::TaskType::Workflow as i32,
            scheduled_event_id: task.scheduled_event_id,
            stamp: task.stamp,
            attempt: task.attempt,
            started_event_id: task.started_event_id,
            started_time: task.started_time,
            workflow_type: run.row.workflow_type.clone(),
            ..Default::default()
        }),
        namespace: run.row.namespace.clone(),
        workflow_type: run.row.workflow_type.clone(),
        previous_started_event_id: run.row.previous_started_event_id,
        next_event_id: run.row.next_event_id,
        scheduled_time: task.scheduled_time,
        started_time: task.started_time,
        attempt: task.attempt,
        task_queue: run.row.task_queue.clone(),
        sticky: task.sticky && run.row.sticky.is_some(),
        transient: unwritten_events(&run.row, task),
    })
}

/// Whether a token's reference names the task that is running now.
pub fn is_running(run: &Run, task: &op::TaskRef) -> bool {
    run.row.task.as_ref().is_some_and(|running| {
        running.started_event_id != 0
            && running.stamp == task.stamp
            && running.scheduled_event_id == task.scheduled_event_id
            && running.started_event_id == task.started_event_id
            && running.attempt == task.attempt
            && running.started_time == task.started_time
    })
}
