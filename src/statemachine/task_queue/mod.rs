//! Tasks that are ready: a row in the shard of their workflow, and a hint to the leader. Nothing else is durable.

use proto::temporal::api::common::v1::Priority;

use crate::activity::options::merged_priority;
use crate::op::ReservationAnswer;
use crate::reject::Decided;
use crate::state::{Activity, ReadyTask, WorkflowTask};
use crate::tables::ReadyKey;
use crate::workflow::{task, Run};
use crate::{Context, Effect, QueueKey, TaskType};

/// The level a task has unless told otherwise; 1 goes first, 5 last.
const PRIORITY_DEFAULT: u8 = 3;
const PRIORITY_LAST: i32 = 5;

/// The level of a priority message.
pub fn priority_number(priority: Option<&Priority>) -> u8 {
    match priority.map(|priority| priority.priority_key).unwrap_or_default() {
        key if key <= 0 => PRIORITY_DEFAULT,
        key => key.min(PRIORITY_LAST) as u8,
    }
}

/// The fairness key of a priority message.
fn lane(priority: Option<&Priority>) -> String {
    priority.map(|priority| priority.fairness_key.clone()).unwrap_or_default()
}

/// An activity inherits from its workflow, field by field.
fn activity_priority(run: &Run, activity: &Activity) -> Option<Priority> {
    merged_priority(activity.priority.as_ref(), run.row.priority.as_ref())
}

/// The ready row of a workflow task.
pub fn ready_key_of_workflow_task(run: &Run, task: &WorkflowTask) -> ReadyKey {
    ReadyKey {
        queue: QueueKey {
            namespace_id: run.row.namespace_id.clone(),
            task_type: TaskType::Workflow,
            name: task.queue.clone(),
        },
        priority: run.task_priority(),
        lane: if task.sticky { String::new() } else { lane(run.row.priority.as_ref()) },
        ready_time: task.scheduled_time,
        run: run.key,
        scheduled_event_id: task.scheduled_event_id,
    }
}

/// Makes a scheduled workflow task available, if there is one that is not yet: to a parked poller that came with the
/// proposal, or to all.
pub fn queue_workflow_task(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    let waits = |task: &&WorkflowTask| task.started_event_id == 0 && !task.queued;
    if run.row.pause.is_some() {
        return Ok(());
    }
    let Some(mut task) = run.row.task.as_ref().filter(waits).cloned() else { return Ok(()) };
    let key = ready_key_of_workflow_task(run, &task);
    if let Some(held) = ctx.take_reservation(&key.queue) {
        let poller = held.poller.unwrap_or_default();
        task::start(ctx, run, &poller.request_id, &poller.identity)?;
        let workflow_task = task::started_answer(run);
        ctx.reserved.push(ReservationAnswer { id: held.id, workflow_task, ..Default::default() });
        return Ok(());
    }
    task.queued = true;
    run.row.task = Some(task.clone());
    let row = ReadyTask {
        workflow_id: run.row.workflow_id.clone(),
        stamp: task.stamp,
        attempt: task.attempt,
        ready_time: task.scheduled_time,
        scheduled_event_id: task.scheduled_event_id,
        normal_queue: if task.sticky { run.row.task_queue.clone() } else { String::new() },
        priority: run.row.priority.clone(),
        expires: 0,
        workflow_type: run.row.workflow_type.clone(),
        namespace: run.row.namespace.clone(),
    };
    put(ctx, key, &row);
    Ok(())
}

/// The ready row of an activity's present attempt.
pub fn ready_key_of_activity(run: &Run, activity: &Activity) -> ReadyKey {
    ReadyKey {
        queue: QueueKey {
            namespace_id: run.row.namespace_id.clone(),
            task_type: TaskType::Activity,
            name: activity.task_queue.clone(),
        },
        priority: priority_number(activity_priority(run, activity).as_ref()),
        lane: lane(activity_priority(run, activity).as_ref()),
        ready_time: activity.attempt_scheduled_time,
        run: run.key,
        scheduled_event_id: activity.scheduled_event_id,
    }
}

/// Makes the present attempt of an activity available and marks its row so, unless the workflow is paused; the caller
/// stores the row.
pub fn queue_activity(ctx: &mut Context<'_, '_>, run: &Run, activity: &mut Activity) {
    if activity.queued || run.row.pause.is_some() {
        return;
    }
    activity.queued = true;
    let row = ReadyTask {
        workflow_id: run.row.workflow_id.clone(),
        stamp: activity.stamp,
        attempt: activity.attempt,
        ready_time: activity.attempt_scheduled_time,
        scheduled_event_id: activity.scheduled_event_id,
        normal_queue: String::new(),
        priority: activity_priority(run, activity),
        expires: 0,
        workflow_type: run.row.workflow_type.clone(),
        namespace: run.row.namespace.clone(),
    };
    put(ctx, ready_key_of_activity(run, activity), &row);
}

fn put(ctx: &mut Context<'_, '_>, key: ReadyKey, row: &ReadyTask) {
    // Planted: an activity that is ready is known to the leader alone.
    let only_told = cfg!(feature = "bug-dropped-effect") && key.queue.task_type == TaskType::Activity;
    if !only_told {
        key.put(ctx.txn, row);
    }
    let task = Box::new(key.to_task(row));
    ctx.txn.effect(Effect::TaskReady {
        queue: key.queue,
        task,
        sticky: !row.normal_queue.is_empty(),
        priority: row.priority.clone(),
    });
}
