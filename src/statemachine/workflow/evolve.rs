//! The only writer of workflow state: what each event changes. Folding a run's history through [`apply`] gives its
//! stored state again, but for what has no event: attempt counters of failing tasks, heartbeats, stamps, deadlines and
//! ready rows, the sticky queue, and events held back.

use proto::temporal::api::common::v1::Payload;
use proto::temporal::api::enums::v1::{
    TaskQueueKind, WorkflowExecutionStatus as Status, WorkflowTaskFailedCause as Cause,
};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    HistoryEvent, WorkflowExecutionPausedEventAttributes, WorkflowExecutionStartedEventAttributes,
    WorkflowTaskScheduledEventAttributes,
};

use super::{options, task, versions, Run};
use crate::state::{Parent, PauseInfo, Timer, WorkflowTask};
use crate::time::{nanos_of_timestamp, nanos_or_zero};
use crate::{activity, callback, child, external, tables, update, Fault, Txn};

#[expect(clippy::too_many_lines, reason = "one arm for each kind, none of them long")]
pub fn apply(txn: &mut Txn<'_>, run: &mut Run, event: &HistoryEvent) -> Result<(), Fault> {
    use Attributes as A;
    let time = event.event_time.as_ref().map(nanos_of_timestamp).unwrap_or_default();
    let Some(attributes) = &event.attributes else { return Err(Fault::corrupt("event", "no attributes")) };
    match attributes {
        A::WorkflowExecutionStartedEventAttributes(a) => {
            started(run, event, a, time);
            callback::attach(txn, run, &a.completion_callbacks, "", time);
        }
        A::WorkflowExecutionCompletedEventAttributes(a) => {
            run.row.successor_run_id.clone_from(&a.new_execution_run_id);
            closed(run, Status::Completed, time);
        }
        A::WorkflowExecutionFailedEventAttributes(a) => {
            run.row.successor_run_id.clone_from(&a.new_execution_run_id);
            closed(run, Status::Failed, time);
        }
        A::WorkflowExecutionTimedOutEventAttributes(a) => {
            run.row.successor_run_id.clone_from(&a.new_execution_run_id);
            closed(run, Status::TimedOut, time);
        }
        A::WorkflowExecutionCanceledEventAttributes(_) => closed(run, Status::Canceled, time),
        A::WorkflowExecutionTerminatedEventAttributes(_) => closed(run, Status::Terminated, time),
        A::WorkflowExecutionContinuedAsNewEventAttributes(a) => {
            run.row.successor_run_id.clone_from(&a.new_execution_run_id);
            closed(run, Status::ContinuedAsNew, time);
        }
        A::WorkflowTaskScheduledEventAttributes(a) => run.row.task = Some(scheduled_task(event.event_id, a, time)),
        A::WorkflowTaskStartedEventAttributes(a) => {
            if let Some(task) = run.row.task.as_mut() {
                task.started_event_id = event.event_id;
                task.started_time = time;
                task.request_id.clone_from(&a.request_id);
                task.identity.clone_from(&a.identity);
            }
        }
        A::WorkflowTaskCompletedEventAttributes(a) => {
            run.row.task = None;
            run.row.task_attempt = 1;
            run.row.problem_tasks = 0;
            run.row.previous_started_event_id = a.started_event_id;
            versions::completed(run, event.event_id, a, time);
        }
        A::WorkflowTaskFailedEventAttributes(a) => {
            task::forget(run, true);
            if a.cause() == Cause::ResetWorkflow {
                began_anew(txn, run, time)?;
            }
        }
        A::WorkflowTaskTimedOutEventAttributes(a) => task::forget(run, a.started_event_id != 0),
        A::WorkflowExecutionSignaledEventAttributes(_) => run.row.signals += 1,
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => run.row.cancel_requested = true,
        A::WorkflowExecutionOptionsUpdatedEventAttributes(a) => {
            options::evolve(run, a);
            callback::attach(txn, run, &a.attached_completion_callbacks, &a.attached_request_id, time);
        }
        A::WorkflowExecutionPausedEventAttributes(a) => paused(run, a, time),
        A::WorkflowExecutionUnpausedEventAttributes(_) => unpaused(run),
        A::UpsertWorkflowSearchAttributesEventAttributes(a) => {
            let fields = a.search_attributes.as_ref().map(|sent| &sent.indexed_fields);
            let stored = run.row.search_attributes.get_or_insert_default();
            merge(&mut stored.indexed_fields, fields.into_iter().flatten());
            run.visible_changed = true;
        }
        A::WorkflowPropertiesModifiedEventAttributes(a) => {
            let fields = a.upserted_memo.as_ref().map(|sent| &sent.fields);
            let stored = run.row.memo.get_or_insert_default();
            merge(&mut stored.fields, fields.into_iter().flatten());
            run.visible_changed = true;
        }
        A::TimerStartedEventAttributes(a) => {
            let due = time.saturating_add(nanos_or_zero(a.start_to_fire_timeout.as_ref()));
            let timer = Timer { timer_id: a.timer_id.clone(), started_event_id: event.event_id, due, stamp: 0 };
            tables::put_timer(txn, run.key, &timer);
            run.row.pending_timers += 1;
        }
        A::TimerFiredEventAttributes(a) => forget_timer(txn, run, &a.timer_id, a.started_event_id)?,
        A::TimerCanceledEventAttributes(a) => forget_timer(txn, run, &a.timer_id, a.started_event_id)?,
        A::MarkerRecordedEventAttributes(_) => {}
        A::ActivityTaskScheduledEventAttributes(_)
        | A::ActivityTaskStartedEventAttributes(_)
        | A::ActivityTaskCompletedEventAttributes(_)
        | A::ActivityTaskFailedEventAttributes(_)
        | A::ActivityTaskTimedOutEventAttributes(_)
        | A::ActivityTaskCancelRequestedEventAttributes(_)
        | A::ActivityTaskCanceledEventAttributes(_) => activity::evolve::apply(txn, run, event)?,
        A::StartChildWorkflowExecutionInitiatedEventAttributes(_)
        | A::StartChildWorkflowExecutionFailedEventAttributes(_)
        | A::ChildWorkflowExecutionStartedEventAttributes(_)
        | A::ChildWorkflowExecutionCompletedEventAttributes(_)
        | A::ChildWorkflowExecutionFailedEventAttributes(_)
        | A::ChildWorkflowExecutionCanceledEventAttributes(_)
        | A::ChildWorkflowExecutionTimedOutEventAttributes(_)
        | A::ChildWorkflowExecutionTerminatedEventAttributes(_) => child::evolve::apply(txn, run, event)?,
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(_)
        | A::SignalExternalWorkflowExecutionFailedEventAttributes(_)
        | A::ExternalWorkflowExecutionSignaledEventAttributes(_)
        | A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(_)
        | A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(_)
        | A::ExternalWorkflowExecutionCancelRequestedEventAttributes(_) => external::evolve::apply(txn, run, event)?,
        A::WorkflowExecutionUpdateAdmittedEventAttributes(a) => update::evolve::admitted(txn, run, event.event_id, a),
        A::WorkflowExecutionUpdateAcceptedEventAttributes(a) => update::evolve::accepted(txn, run, event.event_id, a)?,
        A::WorkflowExecutionUpdateCompletedEventAttributes(a) => {
            update::evolve::completed(txn, run, event.event_id, a)?;
        }
        _ => return Err(Fault::corrupt("event", format!("type {} has no meaning yet", event.event_type))),
    }
    Ok(())
}

fn started(run: &mut Run, event: &HistoryEvent, a: &WorkflowExecutionStartedEventAttributes, time: i64) {
    let row = &mut run.row;
    row.workflow_id.clone_from(&a.workflow_id);
    row.workflow_type = a.workflow_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default();
    row.task_queue = a.task_queue.as_ref().map(|queue| queue.name.clone()).unwrap_or_default();
    row.status = Status::Running as i32;
    row.start_time = time;
    row.original_start_time = time;
    row.execution_time = time.saturating_add(nanos_or_zero(a.first_workflow_task_backoff.as_ref()));
    row.execution_timeout = nanos_or_zero(a.workflow_execution_timeout.as_ref());
    row.run_timeout = nanos_or_zero(a.workflow_run_timeout.as_ref());
    row.run_timeout_given = a.workflow_run_timeout.is_some();
    row.task_timeout = nanos_or_zero(a.workflow_task_timeout.as_ref());
    row.execution_deadline = a.workflow_execution_expiration_time.as_ref().map(nanos_of_timestamp).unwrap_or_default();
    row.first_run_id.clone_from(&a.first_execution_run_id);
    row.original_run_id.clone_from(&a.original_execution_run_id);
    row.parent = a.parent_workflow_execution.as_ref().map(|parent| Parent {
        namespace_id: a.parent_workflow_namespace_id.clone(),
        namespace: a.parent_workflow_namespace.clone(),
        workflow_id: parent.workflow_id.clone(),
        run_id: parent.run_id.clone(),
        initiated_event_id: a.parent_initiated_event_id,
    });
    row.root.clone_from(&a.root_workflow_execution);
    row.retry_policy.clone_from(&a.retry_policy);
    row.attempt = a.attempt;
    row.cron_schedule.clone_from(&a.cron_schedule);
    row.memo = Some(a.memo.clone().unwrap_or_default());
    let mut attributes = a.search_attributes.clone().unwrap_or_default();
    // As Temporal has it: a JSON null stays, other ways to say "none" do not.
    attributes.indexed_fields.retain(|_, value| !is_null(value) || value.data.as_ref() == b"null");
    row.search_attributes = Some(attributes);
    row.reset_points.clone_from(&a.prev_auto_reset_points);
    row.priority.clone_from(&a.priority);
    row.user_metadata.clone_from(&event.user_metadata);
    row.task_attempt = 1;
    run.visible_changed = true;
    run.current_changed = true;
}

fn scheduled_task(event_id: i64, a: &WorkflowTaskScheduledEventAttributes, time: i64) -> WorkflowTask {
    let queue = a.task_queue.clone().unwrap_or_default();
    WorkflowTask {
        scheduled_event_id: event_id,
        attempt: a.attempt,
        scheduled_time: time,
        original_scheduled_time: time,
        start_to_close: nanos_or_zero(a.start_to_close_timeout.as_ref()),
        sticky: queue.kind == TaskQueueKind::Sticky as i32,
        queue: queue.name,
        ..Default::default()
    }
}

fn closed(run: &mut Run, status: Status, time: i64) {
    run.row.status = status as i32;
    run.row.close_time = time;
    run.row.task = None;
    run.row.pause = None;
    run.visible_changed = true;
    run.current_changed = true;
}

/// A reset ends the events that the run took over: it starts now, and so do its timeouts and its pending activities.
fn began_anew(txn: &mut Txn<'_>, run: &mut Run, time: i64) -> Result<(), Fault> {
    let row = &mut run.row;
    row.task_attempt = 1;
    row.problem_tasks = 0;
    row.start_time = time;
    row.execution_time = time;
    if row.execution_timeout != 0 {
        row.execution_deadline = time.saturating_add(row.execution_timeout);
    }
    for mut activity in tables::activities(txn, run.key)? {
        activity.scheduled_time = time;
        activity.attempt_scheduled_time = time;
        tables::put_activity(txn, run.key, &activity);
    }
    Ok(())
}

/// The search attribute by which lists find what is paused.
const PAUSE_INFO: &str = "TemporalPauseInfo";

fn paused(run: &mut Run, a: &WorkflowExecutionPausedEventAttributes, time: i64) {
    run.row.status = Status::Paused as i32;
    run.row.pause = Some(PauseInfo {
        identity: a.identity.clone(),
        reason: a.reason.clone(),
        time,
        request_id: a.request_id.clone(),
    });
    let told = [format!("Workflow:{}", run.row.workflow_id), format!("Reason:{}", a.reason)];
    let fields = &mut run.row.search_attributes.get_or_insert_default().indexed_fields;
    fields.insert(PAUSE_INFO.into(), versions::keyword_list_payload(&told));
    run.visible_changed = true;
    run.current_changed = true;
}

fn unpaused(run: &mut Run) {
    run.row.status = Status::Running as i32;
    run.row.pause = None;
    run.row.search_attributes.get_or_insert_default().indexed_fields.remove(PAUSE_INFO);
    run.visible_changed = true;
    run.current_changed = true;
}

/// A timer has ended. One that was started again under its id while the end was held back stays.
fn forget_timer(txn: &mut Txn<'_>, run: &mut Run, timer_id: &str, started_event_id: i64) -> Result<(), Fault> {
    if tables::timer(txn, run.key, timer_id)?.is_some_and(|timer| timer.started_event_id == started_event_id) {
        tables::delete_timer(txn, run.key, timer_id);
    }
    run.row.pending_timers -= 1;
    Ok(())
}

/// Merges key by key; a null payload deletes the key.
pub(crate) fn merge<'p>(
    stored: &mut std::collections::BTreeMap<String, Payload>,
    sent: impl IntoIterator<Item = (&'p String, &'p Payload)>,
) {
    for (name, value) in sent {
        if is_null(value) {
            stored.remove(name);
        } else {
            stored.insert(name.clone(), value.clone());
        }
    }
}

/// A payload that means "delete this key": encoding binary/null, or the JSON values null and [].
pub fn is_null(payload: &Payload) -> bool {
    let encoding = payload.metadata.get("encoding").map(|encoding| encoding.as_ref()).unwrap_or_default();
    encoding == b"binary/null" || (encoding == b"json/plain" && matches!(payload.data.as_ref(), b"null" | b"[]"))
}
