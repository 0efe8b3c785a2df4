//! Events held back while a workflow task runs, and the order in which they enter the history (SEMANTICS B5, F).

use std::collections::BTreeMap;

use prost::Message;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::HistoryEvent;

use super::{events, Run};
use crate::reject::Decided;
use crate::{state, tables, Context};

/// Holds an event back. Its state change has been made.
pub fn put(ctx: &mut Context<'_, '_>, run: &mut Run, event: HistoryEvent) {
    run.row.buffered_events += 1;
    run.row.buffered_bytes += event.encoded_len() as i64;
    let number = run.next_stamp();
    tables::put_buffered(ctx.txn, run.key, number, &state::BufferedEvent { event: Some(event) });
}

/// More is held back than a run may hold.
pub fn is_over_limit(ctx: &Context<'_, '_>, run: &Run) -> bool {
    run.row.buffered_events > ctx.limits.buffered_events || run.row.buffered_bytes > ctx.limits.buffered_bytes
}

/// Releases what was held back into the history: in order of arrival, ends of activities and children last, and closing events
/// linked to the Started events released with them. Returns whether there was anything.
pub fn flush(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<bool> {
    if run.row.buffered_events == 0 {
        return Ok(false);
    }
    let mut first = Vec::new();
    let mut last = Vec::new();
    for (number, row) in tables::buffered(ctx.txn, run.key)? {
        tables::delete_buffered(ctx.txn, run.key, number);
        let Some(event) = row.event else { continue };
        match &event.attributes {
            Some(attributes) if events::moves_to_the_end(attributes) => last.push(event),
            _ => first.push(event),
        }
    }
    run.row.buffered_events = 0;
    run.row.buffered_bytes = 0;
    let mut started = BTreeMap::new();
    for mut event in first.into_iter().chain(last) {
        event.event_id = run.row.next_event_id;
        link(&mut event, &mut started);
        place_request_id(run, &event);
        place_child_start(ctx, run, &event)?;
        run.push(event);
    }
    Ok(true)
}

/// A held-back event that attached a request id has its place now.
fn place_request_id(run: &mut Run, event: &HistoryEvent) {
    let Some(Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(updated)) = &event.attributes else { return };
    if let Some(info) = run.row.request_ids.get_mut(&updated.attached_request_id) {
        info.event_id = event.event_id;
        info.buffered = false;
    }
}

/// A held-back start of a child has its place now.
fn place_child_start(ctx: &mut Context<'_, '_>, run: &Run, event: &HistoryEvent) -> Decided<()> {
    let Some(Attributes::ChildWorkflowExecutionStartedEventAttributes(started)) = &event.attributes else {
        return Ok(());
    };
    if let Some(mut child) = tables::child(ctx.txn, run.key, started.initiated_event_id)? {
        child.started_event_id = event.event_id;
        tables::put_child(ctx.txn, run.key, &child);
    }
    Ok(())
}

/// Fills in the Started event of an activity or a child that both started and ended while held back.
fn link(event: &mut HistoryEvent, started: &mut BTreeMap<i64, i64>) {
    use Attributes as A;
    let id = event.event_id;
    let fill = |scheduled: i64, target: &mut i64| {
        if let (0, Some(found)) = (*target, started.get(&scheduled)) {
            *target = *found;
        }
    };
    match &mut event.attributes {
        Some(A::ActivityTaskStartedEventAttributes(a)) => {
            started.insert(a.scheduled_event_id, id);
        }
        Some(A::ActivityTaskCompletedEventAttributes(a)) => fill(a.scheduled_event_id, &mut a.started_event_id),
        Some(A::ActivityTaskFailedEventAttributes(a)) => fill(a.scheduled_event_id, &mut a.started_event_id),
        Some(A::ActivityTaskTimedOutEventAttributes(a)) => fill(a.scheduled_event_id, &mut a.started_event_id),
        Some(A::ActivityTaskCanceledEventAttributes(a)) => fill(a.scheduled_event_id, &mut a.started_event_id),
        Some(A::ChildWorkflowExecutionStartedEventAttributes(a)) => {
            started.insert(a.initiated_event_id, id);
        }
        Some(A::ChildWorkflowExecutionCompletedEventAttributes(a)) => {
            fill(a.initiated_event_id, &mut a.started_event_id)
        }
        Some(A::ChildWorkflowExecutionFailedEventAttributes(a)) => fill(a.initiated_event_id, &mut a.started_event_id),
        Some(A::ChildWorkflowExecutionCanceledEventAttributes(a)) => {
            fill(a.initiated_event_id, &mut a.started_event_id)
        }
        Some(A::ChildWorkflowExecutionTimedOutEventAttributes(a)) => {
            fill(a.initiated_event_id, &mut a.started_event_id)
        }
        Some(A::ChildWorkflowExecutionTerminatedEventAttributes(a)) => {
            fill(a.initiated_event_id, &mut a.started_event_id)
        }
        _ => {}
    }
}

/// Takes a held-back TimerFired of this timer out again: cancelling it wins. Returns its started event id.
pub fn take_timer_fired(ctx: &mut Context<'_, '_>, run: &mut Run, timer_id: &str) -> Decided<Option<i64>> {
    for (number, row) in tables::buffered(ctx.txn, run.key)? {
        let Some(event) = row.event else { continue };
        if let Some(Attributes::TimerFiredEventAttributes(fired)) = &event.attributes {
            if fired.timer_id == timer_id {
                tables::delete_buffered(ctx.txn, run.key, number);
                run.row.buffered_events -= 1;
                run.row.buffered_bytes -= event.encoded_len() as i64;
                return Ok(Some(fired.started_event_id));
            }
        }
    }
    Ok(None)
}
