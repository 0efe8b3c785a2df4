//! What the events of signals and cancel requests to other workflows change in their sender.

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::HistoryEvent;

use crate::state::External;
use crate::workflow::Run;
use crate::{tables, Fault, Txn};

pub fn apply(txn: &mut Txn<'_>, run: &mut Run, event: &HistoryEvent) -> Result<(), Fault> {
    use Attributes as A;
    let row = External { initiated_event_id: event.event_id, ..Default::default() };
    match &event.attributes {
        Some(A::SignalExternalWorkflowExecutionInitiatedEventAttributes(_)) => {
            tables::put_external(txn, run.key, &row);
            run.row.pending_signals += 1;
        }
        Some(A::ExternalWorkflowExecutionSignaledEventAttributes(a)) => {
            tables::delete_external(txn, run.key, a.initiated_event_id);
            run.row.pending_signals -= 1;
        }
        Some(A::SignalExternalWorkflowExecutionFailedEventAttributes(a)) => {
            tables::delete_external(txn, run.key, a.initiated_event_id);
            run.row.pending_signals -= 1;
        }
        Some(A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(_)) => {
            tables::put_external(txn, run.key, &row);
            run.row.pending_cancels += 1;
        }
        Some(A::ExternalWorkflowExecutionCancelRequestedEventAttributes(a)) => {
            tables::delete_external(txn, run.key, a.initiated_event_id);
            run.row.pending_cancels -= 1;
        }
        Some(A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a)) => {
            tables::delete_external(txn, run.key, a.initiated_event_id);
            run.row.pending_cancels -= 1;
        }
        _ => return Err(Fault::corrupt("event", format!("type {} is of no other workflow", event.event_type))),
    }
    Ok(())
}
