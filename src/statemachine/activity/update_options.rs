//! Changing the options of pending activities, or restoring those they were scheduled with.

use prost_types::FieldMask;
use proto::temporal::api::activity::v1::ActivityOptions;
use proto::temporal::api::common::v1::{Priority, RetryPolicy};
use proto::temporal::api::enums::v1::TaskQueueKind;
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflowservice::v1::{
    update_activity_options_request, UpdateActivityOptionsRequest, UpdateActivityOptionsResponse,
};

use super::control::{self, Target};
use super::options::{self, Timeouts};
use super::transitions::{self, is_started};
use super::{deadlines, retry, texts};
use crate::op::{answer, UpdateActivityOptions, UpdateActivityOptionsAnswer};
use crate::reject::Decided;
use crate::state::{self, Activity};
use crate::time::duration;
use crate::workflow::Run;
use crate::{tables, Context, Fault, Reject};

pub fn decide(ctx: &mut Context<'_, '_>, op: &UpdateActivityOptions) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("activity op", "no request"))?;
    let target = request.activity.as_ref().map(|activity| match activity {
        update_activity_options_request::Activity::Id(id) => Target::Id(id),
        update_activity_options_request::Activity::Type(name) => Target::Type(name),
        update_activity_options_request::Activity::MatchAll(_) => Target::All,
    });
    let mut run = control::run(ctx, op.namespace.as_ref(), request.execution.as_ref())?;
    let again = run.seen_before(&ctx.op_id);
    let mut activities = control::find(ctx, &run, target)?;
    if !again {
        let mask = change_asked(request)?;
        for activity in &mut activities {
            change(ctx, &mut run, activity, request, mask)?;
        }
        run.finish(ctx)?;
    }
    let changed = activities.last().map(|activity| answered_options(activity, request.restore_original));
    let response = UpdateActivityOptionsResponse { activity_options: changed };
    Ok(answer::Kind::UpdateActivityOptions(UpdateActivityOptionsAnswer { response: Some(response) }))
}

/// The mask of a change, `None` to restore the original options.
fn change_asked(request: &UpdateActivityOptionsRequest) -> Result<Option<&FieldMask>, Reject> {
    match (request.restore_original, &request.update_mask) {
        (true, Some(_)) => Err(Reject::invalid_argument(texts::MASK_AND_RESTORE)),
        (true, None) => Ok(None),
        (false, _) if request.activity_options.is_none() => Err(Reject::invalid_argument(texts::OPTIONS_MISSING)),
        (false, None) => Err(Reject::invalid_argument(texts::MASK_MISSING)),
        (false, Some(mask)) => Ok(Some(mask)),
    }
}

fn change(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    activity: &mut Activity,
    request: &UpdateActivityOptionsRequest,
    mask: Option<&FieldMask>,
) -> Decided<()> {
    let was_in_backoff = activity.retry_due != 0;
    transitions::release(ctx, run, activity);
    match mask {
        None => restore(activity),
        Some(mask) => {
            let given = request.activity_options.clone().unwrap_or_default();
            merge(activity, &given, mask, run.row.run_timeout).map_err(Reject::invalid_argument)?;
        }
    }
    if is_started(activity) || activity.pause.is_some() {
        deadlines::arm(ctx, run, activity);
        tables::put_activity(ctx.txn, run.key, activity);
        return Ok(());
    }
    let at = if was_in_backoff { next_start(activity) } else { activity.attempt_scheduled_time };
    transitions::reschedule(ctx, run, activity, at);
    Ok(())
}

/// The last attempt's end plus the policy's delay. A timed-out attempt's end is told by when the next was due.
fn next_start(activity: &Activity) -> i64 {
    let ended = activity.attempt_scheduled_time.saturating_sub(activity.current_retry_interval);
    let policy = activity.retry_policy.clone().unwrap_or_default();
    ended.saturating_add(retry::interval(&policy, activity.attempt))
}

/// Back to the options of the Scheduled event.
pub(super) fn restore(activity: &mut Activity) {
    if let Some(original) = activity.original_options.take() {
        activity.task_queue = original.task_queue;
        activity.schedule_to_close = original.schedule_to_close;
        activity.schedule_to_start = original.schedule_to_start;
        activity.start_to_close = original.start_to_close;
        activity.heartbeat = original.heartbeat;
        activity.retry_policy = original.retry_policy;
        activity.priority = original.priority;
    }
}

fn present(activity: &Activity) -> state::ActivityOptions {
    state::ActivityOptions {
        task_queue: activity.task_queue.clone(),
        schedule_to_close: activity.schedule_to_close,
        schedule_to_start: activity.schedule_to_start,
        start_to_close: activity.start_to_close,
        heartbeat: activity.heartbeat,
        retry_policy: activity.retry_policy.clone(),
        priority: activity.priority.clone(),
    }
}

/// Takes over what the mask names. Paths nobody knows are ignored, and the policy is not checked (SEMANTICS F).
fn merge(activity: &mut Activity, given: &ActivityOptions, mask: &FieldMask, run_timeout: i64) -> Result<(), String> {
    let original = activity.original_options.take().unwrap_or_else(|| present(activity));
    let mut queue = TaskQueue { name: activity.task_queue.clone(), ..Default::default() };
    let mut timeouts = [
        Some(duration(activity.schedule_to_close)),
        Some(duration(activity.schedule_to_start)),
        Some(duration(activity.start_to_close)),
        Some(duration(activity.heartbeat)),
    ];
    for path in &mask.paths {
        match snake_case(path).as_str() {
            "task_queue" | "task_queue.name" => {
                queue.name = given.task_queue.as_ref().ok_or(texts::QUEUE_MISSING)?.name.clone();
            }
            "schedule_to_close_timeout" => timeouts[0] = given.schedule_to_close_timeout,
            "schedule_to_start_timeout" => timeouts[1] = given.schedule_to_start_timeout,
            "start_to_close_timeout" => timeouts[2] = given.start_to_close_timeout,
            "heartbeat_timeout" => timeouts[3] = given.heartbeat_timeout,
            "priority" => activity.priority.clone_from(&given.priority),
            path => {
                if let Some(field) = path.strip_prefix("retry_policy") {
                    let from = given.retry_policy.as_ref().ok_or(texts::POLICY_MISSING)?;
                    merge_policy(activity.retry_policy.get_or_insert_default(), from, field);
                } else if let Some(field) = path.strip_prefix("priority.") {
                    let from = given.priority.as_ref().ok_or(texts::PRIORITY_MISSING)?;
                    merge_priority(activity.priority.get_or_insert_default(), from, field);
                }
            }
        }
    }
    activity.task_queue = options::queue(Some(&queue))?.name;
    options::check_priority(activity.priority.as_ref())?;
    let read = Timeouts::read(timeouts.each_ref().map(Option::as_ref))?;
    let filled = read.filled_in(run_timeout).map_err(|_| {
        format!(
            "a valid StartToClose or ScheduleToCloseTimeout is not set on ScheduleActivityTaskCommand. \
             ActivityId={} ActivityType={}",
            activity.activity_id, activity.activity_type
        )
    })?;
    activity.schedule_to_close = filled.schedule_to_close;
    activity.schedule_to_start = filled.schedule_to_start;
    activity.start_to_close = filled.start_to_close;
    activity.heartbeat = filled.heartbeat;
    activity.original_options = Some(original);
    Ok(())
}

fn merge_policy(policy: &mut RetryPolicy, from: &RetryPolicy, field: &str) {
    match field {
        "" => {
            let types = std::mem::take(&mut policy.non_retryable_error_types);
            *policy = RetryPolicy { non_retryable_error_types: types, ..from.clone() };
        }
        ".initial_interval" => policy.initial_interval = from.initial_interval,
        ".backoff_coefficient" => policy.backoff_coefficient = from.backoff_coefficient,
        ".maximum_interval" => policy.maximum_interval = from.maximum_interval,
        ".maximum_attempts" => policy.maximum_attempts = from.maximum_attempts,
        _ => {}
    }
}

fn merge_priority(priority: &mut Priority, from: &Priority, field: &str) {
    match field {
        "priority_key" => priority.priority_key = from.priority_key,
        "fairness_key" => priority.fairness_key.clone_from(&from.fairness_key),
        "fairness_weight" => priority.fairness_weight = from.fairness_weight,
        _ => {}
    }
}

/// Paths of a mask come in either case.
fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// All options, as the caller hears of them. The queue's kind is told only after a change.
fn answered_options(activity: &Activity, restored: bool) -> ActivityOptions {
    let kind = if restored { TaskQueueKind::Unspecified } else { TaskQueueKind::Normal };
    let retry_policy =
        activity.retry_policy.clone().map(|policy| RetryPolicy { non_retryable_error_types: Vec::new(), ..policy });
    ActivityOptions {
        task_queue: Some(TaskQueue { name: activity.task_queue.clone(), kind: kind as i32, ..Default::default() }),
        schedule_to_close_timeout: Some(duration(activity.schedule_to_close)),
        schedule_to_start_timeout: Some(duration(activity.schedule_to_start)),
        start_to_close_timeout: Some(duration(activity.start_to_close)),
        heartbeat_timeout: Some(duration(activity.heartbeat)),
        retry_policy,
        priority: activity.priority.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_be_in_either_case() {
        assert_eq!(snake_case("retryPolicy.initialInterval"), "retry_policy.initial_interval");
        assert_eq!(snake_case("start_to_close_timeout"), "start_to_close_timeout");
    }
}
