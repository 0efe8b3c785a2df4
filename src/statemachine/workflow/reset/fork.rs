//! The new run of a reset: the kept events and the state that is their fold.

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::failure::v1::{failure::FailureInfo, Failure, ResetWorkflowFailureInfo};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    HistoryEvent, WorkflowTaskFailedEventAttributes, WorkflowTaskStartedEventAttributes,
};

use crate::reject::Decided;
use crate::tables::{self, HistoryBatch, RunKey};
use crate::workflow::{close::SERVER_IDENTITY, start, Run};
use crate::{activity, state, timer, Context, Fault, Reject};

/// What stands for the request of a start that nobody asked for.
const NO_REQUEST: &str = "emptyUuid";

/// Copies the base run's events before `finish` to a new run and folds them. They must end within a workflow task.
pub fn copy(ctx: &mut Context<'_, '_>, base: &Run, finish: i64, run_id: String) -> Decided<Run> {
    let key = RunKey::new(&base.row.namespace_id, &base.row.workflow_id, &run_id)
        .ok_or_else(|| Fault::corrupt("reset op", "a run id that is no UUID"))?;
    let mut run = Run::new(key, blank(ctx, base, finish, run_id));
    for batch in tables::read_batches(ctx.txn, base.key, 1, finish, usize::MAX)? {
        let mut events = events_of(&batch)?;
        events.retain(|event| event.event_id < finish);
        for event in &events {
            run.replay(ctx, event)?;
        }
        tables::append_batch(ctx.txn, key, events);
    }
    for request_id in tables::signals_seen(ctx.txn, base.key)? {
        tables::put_signal_seen(ctx.txn, key, &request_id);
    }
    let own = WorkflowExecution { workflow_id: run.row.workflow_id.clone(), run_id: run.row.run_id.clone() };
    run.row.root.get_or_insert(own);
    if run.row.task.is_none() {
        let range = "[WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]";
        let text = format!("Can only reset workflow to event ID in range {range}: {finish}");
        return Err(Reject::invalid_argument(text).into());
    }
    Ok(run)
}

/// A batch that does not decode is the same on every replica: the reset is refused.
pub fn events_of(batch: &HistoryBatch) -> Decided<Vec<HistoryEvent>> {
    batch.events().map_err(|fault| Reject::failed_precondition(format!("the history cannot be read: {fault}")).into())
}

/// What the new run has from the base run beside events.
fn blank(ctx: &Context<'_, '_>, base: &Run, finish: i64, run_id: String) -> state::Run {
    let kept = |info: &state::RequestIdInfo| !info.buffered && info.event_id < finish;
    let request_ids = base.row.request_ids.iter().filter(|(_, info)| kept(info));
    state::Run {
        namespace_id: base.row.namespace_id.clone(),
        namespace: base.row.namespace.clone(),
        retention: base.row.retention,
        run_id,
        create_request_id: base.row.create_request_id.clone(),
        request_ids: request_ids.map(|(request_id, info)| (request_id.clone(), *info)).collect(),
        next_event_id: 1,
        kept_event_id: finish - 1,
        last_reset_time: ctx.now,
        ..Default::default()
    }
}

/// Ends the workflow task at which the kept events end. One that was not started is started first.
pub fn fail_task(ctx: &mut Context<'_, '_>, run: &mut Run, base: &Run, reason: &str) -> Decided<()> {
    let scheduled_event_id = run.row.task.as_ref().map(|task| task.scheduled_event_id).unwrap_or_default();
    if !run.task_started() {
        let started = WorkflowTaskStartedEventAttributes {
            scheduled_event_id,
            identity: SERVER_IDENTITY.into(),
            request_id: NO_REQUEST.into(),
            ..Default::default()
        };
        run.add(ctx, Attributes::WorkflowTaskStartedEventAttributes(started))?;
        run.cut_batch();
    }
    let started_event_id = run.row.task.as_ref().map(|task| task.started_event_id).unwrap_or_default();
    let failed = WorkflowTaskFailedEventAttributes {
        scheduled_event_id,
        started_event_id,
        cause: Cause::ResetWorkflow as i32,
        failure: Some(Failure {
            message: reason.into(),
            failure_info: Some(FailureInfo::ResetWorkflowFailureInfo(ResetWorkflowFailureInfo::default())),
            ..Default::default()
        }),
        identity: SERVER_IDENTITY.into(),
        base_run_id: base.row.run_id.clone(),
        new_run_id: run.row.run_id.clone(),
        ..Default::default()
    };
    run.add(ctx, Attributes::WorkflowTaskFailedEventAttributes(failed))?;
    Ok(())
}

/// Arms what is due by itself and makes pending activities ready.
pub fn arm(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    start::arm_run_timeout(ctx, run);
    timer::arm_all(ctx, run)?;
    activity::make_all_ready(ctx, run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reject::Stop;

    #[test]
    fn a_history_that_cannot_be_read_refuses_the_reset_and_stops_no_shard() {
        let batch = HistoryBatch { first_event_id: 1, bytes: vec![0xff; 9] };
        let Err(Stop::Reject(reject)) = events_of(&batch) else { panic!("it is refused") };
        assert!(reject.message().starts_with("the history cannot be read: "), "{}", reject.message());
    }
}
