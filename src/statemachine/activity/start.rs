//! Handing an activity's present attempt to a poller. No event: the start is written down with the closing event.

use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::ActivityTaskScheduledEventAttributes;
use proto::temporal::api::workflowservice::v1::PollActivityTaskQueueResponse;

use super::{lookup, options, transitions};
use crate::op::{self, answer, StartTask, TaskRef};
use crate::reject::Decided;
use crate::state::Activity;
use crate::tables::RunKey;
use crate::time::timestamp;
use crate::workflow::Run;
use crate::{tables, task_queue, Context, Fault, Kv, TaskType};

pub fn decide(ctx: &mut Context<'_, '_>, op: &StartTask) -> Decided<answer::Kind> {
    let wanted = op.task.as_ref().ok_or_else(|| Fault::corrupt("start-task op", "no task"))?;
    let run = Run::load_open(ctx, &wanted.namespace_id, &wanted.workflow_id, &wanted.run_id)?;
    let activity = tables::activity(ctx.txn, run.key, wanted.scheduled_event_id)?;
    let is_wanted = |activity: &Activity| activity.stamp == wanted.stamp && activity.attempt == wanted.attempt;
    let mut activity = activity.filter(is_wanted).ok_or_else(lookup::not_running)?;
    let poller = op.poller.clone().unwrap_or_default();
    let again = is_given(&activity, &poller.request_id);
    if !again {
        if !activity.queued {
            return Err(lookup::not_running());
        }
        transitions::begin(ctx, &run, &mut activity, &poller.identity, &poller.request_id);
    }
    let scheduled = scheduled_event(ctx.txn, run.key, activity.scheduled_event_id)?;
    Ok(answer::Kind::ActivityTaskStarted(answer(&run, &activity, &scheduled)))
}

/// The attempt was started for a poller that has gone: it waits again.
pub fn give_back(ctx: &mut Context<'_, '_>, given: &TaskRef) -> Decided<answer::Kind> {
    let run = Run::load_open(ctx, &given.namespace_id, &given.workflow_id, &given.run_id)?;
    let activity = tables::activity(ctx.txn, run.key, given.scheduled_event_id)?;
    let is_given = |activity: &Activity| {
        let same = activity.stamp == given.stamp && activity.attempt == given.attempt;
        same && transitions::is_started(activity) && activity.started_time == given.started_time
    };
    let mut activity = activity.filter(is_given).ok_or_else(lookup::not_running)?;
    transitions::take_back(ctx, &run, &mut activity);
    Ok(answer::Kind::Done(op::Done {}))
}

/// Whether the running attempt was handed out by this very request.
fn is_given(activity: &Activity, request_id: &str) -> bool {
    transitions::is_started(activity) && !request_id.is_empty() && activity.request_id == request_id
}

/// The tasks that a worker took along under this request id and still works on: for a repeated call's answer.
pub fn taken_along(ctx: &Context<'_, '_>, run: &Run, request_id: &str) -> Decided<Vec<op::ActivityTaskStarted>> {
    let mut tasks = Vec::new();
    for activity in tables::activities(ctx.txn, run.key)?.iter().filter(|activity| is_given(activity, request_id)) {
        let scheduled = scheduled_event(ctx.txn, run.key, activity.scheduled_event_id)?;
        let mut started = answer(run, activity, &scheduled);
        without_policy(&mut started);
        tasks.push(started);
    }
    Ok(tasks)
}

/// As in Temporal, only a polled task carries its retry policy.
pub(super) fn without_policy(started: &mut op::ActivityTaskStarted) {
    if let Some(response) = started.response.as_mut() {
        response.retry_policy = None;
    }
}

/// The attributes of the event that scheduled an activity.
fn scheduled_event(kv: &dyn Kv, run: RunKey, event_id: i64) -> Result<ActivityTaskScheduledEventAttributes, Fault> {
    match tables::event(kv, run, event_id)?.attributes {
        Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => Ok(scheduled),
        _ => Err(Fault::corrupt("history", format!("event {event_id} does not schedule an activity"))),
    }
}

/// What the worker gets of a started attempt. Its timeouts are those of the event, also after the options were
/// changed; its retry policy is the present one.
pub(super) fn answer(
    run: &Run,
    activity: &Activity,
    scheduled: &ActivityTaskScheduledEventAttributes,
) -> op::ActivityTaskStarted {
    let row = &run.row;
    let response = PollActivityTaskQueueResponse {
        workflow_namespace: row.namespace.clone(),
        workflow_type: Some(WorkflowType { name: row.workflow_type.clone() }),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: row.workflow_id.clone(),
            run_id: row.run_id.clone(),
        }),
        activity_type: scheduled.activity_type.clone(),
        activity_id: activity.activity_id.clone(),
        header: scheduled.header.clone(),
        input: scheduled.input.clone(),
        heartbeat_details: activity.heartbeat_details.clone(),
        scheduled_time: Some(timestamp(activity.scheduled_time)),
        current_attempt_scheduled_time: Some(timestamp(activity.attempt_scheduled_time)),
        started_time: Some(timestamp(activity.started_time)),
        attempt: activity.attempt,
        schedule_to_close_timeout: scheduled.schedule_to_close_timeout,
        start_to_close_timeout: scheduled.start_to_close_timeout,
        heartbeat_timeout: scheduled.heartbeat_timeout,
        retry_policy: activity.retry_policy.clone(),
        priority: options::merged_priority(activity.priority.as_ref(), row.priority.as_ref()),
        ..Default::default()
    };
    op::ActivityTaskStarted { task: Some(reference(run, activity)), response: Some(response) }
}

fn reference(run: &Run, activity: &Activity) -> TaskRef {
    let key = task_queue::ready_key_of_activity(run, activity);
    TaskRef {
        namespace_id: run.row.namespace_id.clone(),
        workflow_id: run.row.workflow_id.clone(),
        run_id: run.row.run_id.clone(),
        task_type: TaskType::Activity as i32,
        scheduled_event_id: activity.scheduled_event_id,
        stamp: activity.stamp,
        attempt: activity.attempt,
        started_time: activity.started_time,
        workflow_type: run.row.workflow_type.clone(),
        activity_type: activity.activity_type.clone(),
        ready_time: key.ready_time,
        priority: i32::from(key.priority),
        queue: key.queue.name,
        ..Default::default()
    }
}
