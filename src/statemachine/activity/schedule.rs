//! The command that schedules an activity.

use prost::Message;
use proto::temporal::api::command::v1::ScheduleActivityTaskCommandAttributes;
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::ActivityTaskScheduledEventAttributes;

use super::options::{self, Timeouts};
use super::{retry, start, texts, transitions, EagerTarget};
use crate::op::ReservationAnswer;
use crate::state::Activity;
use crate::time::duration;
use crate::workflow::commands::{missing_attributes, Refused};
use crate::workflow::run::Extras;
use crate::workflow::Run;
use crate::{op, tables, task_queue, Context, Fault};

/// Returns the activity's first task if it is to be taken along by the worker that answers the workflow task.
pub fn decide(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    attributes: Option<&ScheduleActivityTaskCommandAttributes>,
    extras: Extras,
    completed_event_id: i64,
    eager: Option<&EagerTarget>,
) -> Result<Option<op::ActivityTaskStarted>, Refused> {
    let bad = |message: String| Refused::task(Cause::BadScheduleActivityAttributes, message);
    let attributes = attributes.ok_or_else(|| bad(missing_attributes("ScheduleActivityTask")))?;
    let scheduled = event(attributes, run.row.run_timeout, completed_event_id).map_err(bad)?;
    check_limits(ctx, run, attributes)?;
    let scheduled_event_id =
        run.add_with(ctx, Attributes::ActivityTaskScheduledEventAttributes(scheduled.clone()), extras)?;
    let Some(mut activity) = tables::activity(ctx.txn, run.key, scheduled_event_id)? else {
        return Err(Fault::corrupt("activity row", "missing right after its event").into());
    };
    let takes_along = attributes.request_eager_execution && ctx.limits.eager_activities && run.row.pause.is_none();
    match eager.filter(|_| takes_along) {
        Some(worker) => {
            transitions::begin(ctx, run, &mut activity, &worker.identity, &worker.request_id);
            let mut started = start::answer(run, &activity, &scheduled);
            start::without_policy(&mut started);
            Ok(Some(started))
        }
        None => {
            offer(ctx, run, &mut activity, &scheduled);
            Ok(None)
        }
    }
}

/// Starts the activity for a parked poller that came with the proposal, or makes it ready for all.
fn offer(
    ctx: &mut Context<'_, '_>,
    run: &Run,
    activity: &mut Activity,
    scheduled: &ActivityTaskScheduledEventAttributes,
) {
    let queue = task_queue::ready_key_of_activity(run, activity).queue;
    let held = if run.row.pause.is_some() { None } else { ctx.take_reservation(&queue) };
    let Some(held) = held else { return transitions::make_ready(ctx, run, activity) };
    let poller = held.poller.unwrap_or_default();
    transitions::begin(ctx, run, activity, &poller.identity, &poller.request_id);
    let started = start::answer(run, activity, scheduled);
    ctx.reserved.push(ReservationAnswer { id: held.id, activity_task: Some(started), ..Default::default() });
}

/// The Scheduled event, with everything left out filled in, or what is wrong with the command.
#[expect(deprecated, reason = "use_workflow_build_id is still part of the event")]
fn event(
    command: &ScheduleActivityTaskCommandAttributes,
    run_timeout: i64,
    completed_event_id: i64,
) -> Result<ActivityTaskScheduledEventAttributes, String> {
    let queue = options::queue(command.task_queue.as_ref())?;
    let type_name = command.activity_type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default();
    options::check_name("activityId", &command.activity_id)?;
    options::check_name("activityType", type_name)?;
    let mut retry_policy = command.retry_policy.clone().unwrap_or_default();
    retry::fill_in(&mut retry_policy);
    retry::validate(&retry_policy)?;
    options::check_priority(command.priority.as_ref()).map_err(|why| format!("invalid priorities: {why}"))?;
    let given = Timeouts::read([
        command.schedule_to_close_timeout.as_ref(),
        command.schedule_to_start_timeout.as_ref(),
        command.start_to_close_timeout.as_ref(),
        command.heartbeat_timeout.as_ref(),
    ])?;
    let timeouts = given.filled_in(run_timeout).map_err(|_| {
        format!(
            "a valid StartToClose or ScheduleToCloseTimeout is not set on ScheduleActivityTaskCommand. \
             ActivityId={} ActivityType={type_name}",
            command.activity_id
        )
    })?;
    Ok(ActivityTaskScheduledEventAttributes {
        activity_id: command.activity_id.clone(),
        activity_type: command.activity_type.clone(),
        task_queue: Some(queue),
        header: command.header.clone(),
        input: command.input.clone(),
        schedule_to_close_timeout: Some(duration(timeouts.schedule_to_close)),
        schedule_to_start_timeout: Some(duration(timeouts.schedule_to_start)),
        start_to_close_timeout: Some(duration(timeouts.start_to_close)),
        heartbeat_timeout: Some(duration(timeouts.heartbeat)),
        workflow_task_completed_event_id: completed_event_id,
        retry_policy: Some(retry_policy),
        use_workflow_build_id: command.use_workflow_build_id,
        priority: command.priority.clone(),
    })
}

fn check_limits(
    ctx: &Context<'_, '_>,
    run: &Run,
    command: &ScheduleActivityTaskCommandAttributes,
) -> Result<(), Refused> {
    if command.input.as_ref().map(Message::encoded_len).unwrap_or_default() > ctx.limits.blob_size {
        let cause = Cause::BadScheduleActivityAttributes;
        return Err(Refused::Workflow { cause, message: texts::INPUT_TOO_LARGE.into() });
    }
    let (pending, limit) = (run.row.pending_activities, ctx.limits.pending_activities);
    if pending >= limit {
        let message =
            format!("the number of pending activities, {pending}, has reached the per-workflow limit of {limit}");
        return Err(Refused::task(Cause::PendingActivitiesLimitExceeded, message));
    }
    let id = &command.activity_id;
    if tables::activity_by_id(ctx.txn, run.key, id)?.is_some() {
        let message =
            format!("invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: {id}");
        return Err(Refused::task(Cause::ScheduleActivityDuplicateId, message));
    }
    Ok(())
}
