//! What the events of children change in their parent.

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::HistoryEvent;

use crate::state::Child;
use crate::workflow::Run;
use crate::{tables, Fault, Txn};

pub fn apply(txn: &mut Txn<'_>, run: &mut Run, event: &HistoryEvent) -> Result<(), Fault> {
    use Attributes as A;
    match &event.attributes {
        Some(A::StartChildWorkflowExecutionInitiatedEventAttributes(a)) => {
            let child = Child {
                initiated_event_id: event.event_id,
                namespace_id: a.namespace_id.clone(),
                workflow_id: a.workflow_id.clone(),
                workflow_type: a.workflow_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default(),
                parent_close_policy: a.parent_close_policy,
                ..Default::default()
            };
            tables::put_child(txn, run.key, &child);
            run.row.pending_children += 1;
        }
        Some(A::ChildWorkflowExecutionStartedEventAttributes(a)) => {
            let Some(mut child) = tables::child(txn, run.key, a.initiated_event_id)? else {
                return Err(Fault::corrupt("child event", format!("child {} is not pending", a.initiated_event_id)));
            };
            child.run_id = a.workflow_execution.as_ref().map(|run| run.run_id.clone()).unwrap_or_default();
            child.started_event_id = event.event_id;
            child.outbox_id = 0;
            tables::put_child(txn, run.key, &child);
        }
        Some(A::StartChildWorkflowExecutionFailedEventAttributes(a)) => forget(txn, run, a.initiated_event_id),
        Some(A::ChildWorkflowExecutionCompletedEventAttributes(a)) => forget(txn, run, a.initiated_event_id),
        Some(A::ChildWorkflowExecutionFailedEventAttributes(a)) => forget(txn, run, a.initiated_event_id),
        Some(A::ChildWorkflowExecutionCanceledEventAttributes(a)) => forget(txn, run, a.initiated_event_id),
        Some(A::ChildWorkflowExecutionTimedOutEventAttributes(a)) => forget(txn, run, a.initiated_event_id),
        Some(A::ChildWorkflowExecutionTerminatedEventAttributes(a)) => forget(txn, run, a.initiated_event_id),
        _ => return Err(Fault::corrupt("event", format!("type {} is not a child's", event.event_type))),
    }
    Ok(())
}

fn forget(txn: &mut Txn<'_>, run: &mut Run, initiated_event_id: i64) {
    tables::delete_child(txn, run.key, initiated_event_id);
    run.row.pending_children -= 1;
}
