//! The command that asks to cancel an activity. One that no worker has ends at once, after all other events of the
//! task's commands; a running one hears of it with its next heartbeat.

use bytes::Bytes;
use proto::temporal::api::command::v1::RequestCancelActivityTaskCommandAttributes;
use proto::temporal::api::common::v1::{Payload, Payloads};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    ActivityTaskCancelRequestedEventAttributes, ActivityTaskCanceledEventAttributes,
};

use super::texts;
use super::transitions::{self, is_started};
use crate::reject::Decided;
use crate::workflow::commands::{missing_attributes, Refused};
use crate::workflow::run::Extras;
use crate::workflow::Run;
use crate::{tables, Context};

/// Returns whether an activity ended that had not started.
pub fn decide(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    attributes: Option<&RequestCancelActivityTaskCommandAttributes>,
    completed_event_id: i64,
    identity: &str,
) -> Result<bool, Refused> {
    let bad = |message: String| Refused::task(Cause::BadRequestCancelActivityAttributes, message);
    let attributes = attributes.ok_or_else(|| bad(missing_attributes("RequestCancelActivityTask")))?;
    let scheduled_event_id = attributes.scheduled_event_id;
    if scheduled_event_id <= 0 {
        return Err(bad("ScheduledEventId is not set on RequestCancelActivityTaskCommand.".into()));
    }
    let pending = tables::activity(ctx.txn, run.key, scheduled_event_id)?;
    let may_be_asked = match &pending {
        Some(activity) => !activity.cancel_requested,
        None => end_is_held_back(ctx, run, scheduled_event_id)?,
    };
    if !may_be_asked {
        return Err(bad(format!(
            "invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: {scheduled_event_id}"
        )));
    }
    let requested = ActivityTaskCancelRequestedEventAttributes {
        scheduled_event_id,
        workflow_task_completed_event_id: completed_event_id,
    };
    let requested_event_id = run.add(ctx, Attributes::ActivityTaskCancelRequestedEventAttributes(requested))?;
    let Some(mut activity) = pending.filter(|activity| !is_started(activity)) else { return Ok(false) };
    transitions::release(ctx, run, &mut activity);
    let canceled = ActivityTaskCanceledEventAttributes {
        details: Some(not_started_details()),
        latest_cancel_requested_event_id: requested_event_id,
        scheduled_event_id,
        identity: identity.into(),
        ..Default::default()
    };
    run.record(ctx, Attributes::ActivityTaskCanceledEventAttributes(canceled), Extras::default())?;
    Ok(true)
}

/// The activity ended while this task ran, so the worker could not know.
fn end_is_held_back(ctx: &Context<'_, '_>, run: &Run, scheduled_event_id: i64) -> Decided<bool> {
    use Attributes as A;
    if run.row.buffered_events == 0 {
        return Ok(false);
    }
    let held_back = tables::buffered(ctx.txn, run.key)?;
    Ok(held_back.iter().any(|(_, row)| match row.event.as_ref().and_then(|event| event.attributes.as_ref()) {
        Some(A::ActivityTaskCompletedEventAttributes(a)) => a.scheduled_event_id == scheduled_event_id,
        Some(A::ActivityTaskFailedEventAttributes(a)) => a.scheduled_event_id == scheduled_event_id,
        Some(A::ActivityTaskTimedOutEventAttributes(a)) => a.scheduled_event_id == scheduled_event_id,
        Some(A::ActivityTaskCanceledEventAttributes(a)) => a.scheduled_event_id == scheduled_event_id,
        _ => false,
    }))
}

fn not_started_details() -> Payloads {
    let payload = Payload {
        metadata: [("encoding".to_owned(), Bytes::from_static(b"json/plain"))].into(),
        data: Bytes::from_static(texts::NOT_STARTED_DETAILS.as_bytes()),
        ..Default::default()
    };
    Payloads { payloads: vec![payload] }
}
