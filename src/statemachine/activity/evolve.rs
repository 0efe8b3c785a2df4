//! What the six activity events change. A row of a pending activity also holds what has no event: attempts, starts,
//! heartbeats, pauses, options, stamps.

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{ActivityTaskScheduledEventAttributes, HistoryEvent};

use super::retry;
use crate::state::Activity;
use crate::time::{nanos_of_timestamp, nanos_or_zero};
use crate::workflow::Run;
use crate::{tables, Fault, Txn};

pub fn apply(txn: &mut Txn<'_>, run: &mut Run, event: &HistoryEvent) -> Result<(), Fault> {
    use Attributes as A;
    match &event.attributes {
        Some(A::ActivityTaskScheduledEventAttributes(a)) => {
            let time = event.event_time.as_ref().map(nanos_of_timestamp).unwrap_or_default();
            let activity = scheduled(event.event_id, a, time, run.next_stamp());
            tables::put_activity(txn, run.key, &activity);
            tables::put_activity_id(txn, run.key, &activity.activity_id, activity.scheduled_event_id);
            run.row.pending_activities += 1;
        }
        // Written together with the closing event, which removes the row.
        Some(A::ActivityTaskStartedEventAttributes(_)) => {}
        Some(A::ActivityTaskCancelRequestedEventAttributes(a)) => {
            if let Some(mut activity) = tables::activity(txn, run.key, a.scheduled_event_id)? {
                activity.cancel_requested = true;
                activity.cancel_event_id = event.event_id;
                tables::put_activity(txn, run.key, &activity);
            }
        }
        Some(A::ActivityTaskCompletedEventAttributes(a)) => closed(txn, run, a.scheduled_event_id)?,
        Some(A::ActivityTaskFailedEventAttributes(a)) => closed(txn, run, a.scheduled_event_id)?,
        Some(A::ActivityTaskTimedOutEventAttributes(a)) => closed(txn, run, a.scheduled_event_id)?,
        Some(A::ActivityTaskCanceledEventAttributes(a)) => closed(txn, run, a.scheduled_event_id)?,
        _ => return Err(Fault::corrupt("event", format!("type {} is not an activity's", event.event_type))),
    }
    Ok(())
}

#[expect(deprecated, reason = "use_workflow_build_id is still part of the event")]
fn scheduled(event_id: i64, a: &ActivityTaskScheduledEventAttributes, time: i64, stamp: u64) -> Activity {
    let queue = a.task_queue.clone().unwrap_or_default();
    Activity {
        scheduled_event_id: event_id,
        activity_id: a.activity_id.clone(),
        activity_type: a.activity_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default(),
        task_queue: queue.name,
        task_queue_kind: queue.kind,
        task_queue_normal_name: queue.normal_name,
        scheduled_time: time,
        attempt_scheduled_time: time,
        attempt: 1,
        schedule_to_close: nanos_or_zero(a.schedule_to_close_timeout.as_ref()),
        schedule_to_start: nanos_or_zero(a.schedule_to_start_timeout.as_ref()),
        start_to_close: nanos_or_zero(a.start_to_close_timeout.as_ref()),
        heartbeat: nanos_or_zero(a.heartbeat_timeout.as_ref()),
        current_retry_interval: a.retry_policy.as_ref().map(|policy| retry::interval(policy, 1)).unwrap_or_default(),
        has_retry_policy: a.retry_policy.is_some(),
        retry_policy: a.retry_policy.clone(),
        priority: a.priority.clone(),
        workflow_task_completed_event_id: a.workflow_task_completed_event_id,
        use_workflow_build_id: a.use_workflow_build_id,
        stamp,
        ..Default::default()
    }
}

fn closed(txn: &mut Txn<'_>, run: &mut Run, scheduled_event_id: i64) -> Result<(), Fault> {
    let Some(activity) = tables::activity(txn, run.key, scheduled_event_id)? else {
        return Err(Fault::corrupt("activity event", format!("activity {scheduled_event_id} is not pending")));
    };
    tables::delete_activity(txn, run.key, &activity)?;
    run.row.pending_activities -= 1;
    Ok(())
}
