//! Ends: what a closing run tells its parent and its children, and how a child takes it (SEMANTICS B13).

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::ParentClosePolicy;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    WorkflowExecutionCancelRequestedEventAttributes, WorkflowExecutionTerminatedEventAttributes,
};

use super::start::reference;
use crate::op::op::Kind;
use crate::op::{ChildRef, EndChild, ReportChildClose, Sender};
use crate::reject::Decided;
use crate::workflow::run::{self, Extras};
use crate::workflow::{close, request_cancel, Run};
use crate::{external, outbox, tables, Context};

const REASON: &str = "by parent close policy";

/// The last run of a chain has closed: its parent hears how.
pub fn tell_parent(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    use Attributes as A;
    let Some(parent) = run.row.parent.clone() else { return Ok(()) };
    let closing = run.new_events().filter_map(|event| event.attributes.as_ref()).filter(|a| is_closing(a)).last();
    let mut report = ReportChildClose { child: Some(reference(run)), status: run.row.status, ..Default::default() };
    match closing {
        Some(A::WorkflowExecutionCompletedEventAttributes(a)) => report.result.clone_from(&a.result),
        Some(A::WorkflowExecutionFailedEventAttributes(a)) => {
            report.failure.clone_from(&a.failure);
            report.retry_state = a.retry_state;
        }
        Some(A::WorkflowExecutionTimedOutEventAttributes(a)) => report.retry_state = a.retry_state,
        Some(A::WorkflowExecutionCanceledEventAttributes(a)) => report.result.clone_from(&a.details),
        _ => {}
    }
    report.parent = Some(Sender {
        namespace_id: parent.namespace_id.clone(),
        namespace: parent.namespace,
        workflow_id: parent.workflow_id.clone(),
        run_id: parent.run_id,
        initiated_event_id: parent.initiated_event_id,
    });
    outbox::send(ctx, &parent.namespace_id, &parent.workflow_id, Kind::ReportChildClose(report))?;
    Ok(())
}

fn is_closing(attributes: &Attributes) -> bool {
    use Attributes as A;
    matches!(
        attributes,
        A::WorkflowExecutionCompletedEventAttributes(_)
            | A::WorkflowExecutionFailedEventAttributes(_)
            | A::WorkflowExecutionTimedOutEventAttributes(_)
            | A::WorkflowExecutionCanceledEventAttributes(_)
            | A::WorkflowExecutionTerminatedEventAttributes(_)
    )
}

/// A run has closed, whether or not another follows it: its children get what their policies say. Those that were only
/// asked for are not started any more.
pub fn apply_policies(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    if run.row.pending_children == 0 {
        return Ok(());
    }
    for child in tables::children(ctx.txn, run.key)? {
        if child.run_id.is_empty() {
            outbox::withdraw(ctx, child.outbox_id);
            continue;
        }
        let cancel = match child.parent_close_policy() {
            ParentClosePolicy::Abandon => continue,
            ParentClosePolicy::RequestCancel => true,
            ParentClosePolicy::Terminate | ParentClosePolicy::Unspecified => false,
        };
        let end = EndChild {
            child: Some(ChildRef {
                namespace_id: child.namespace_id.clone(),
                workflow_id: child.workflow_id.clone(),
                run_id: child.run_id.clone(),
                first_run_id: child.run_id,
            }),
            parent: Some(external::sender(run, child.initiated_event_id)),
            cancel,
        };
        outbox::send(ctx, &child.namespace_id, &child.workflow_id, Kind::EndChild(end))?;
    }
    Ok(())
}

/// The parent has closed: whichever run of the child's chain is open ends, or is asked to.
pub fn decide(ctx: &mut Context<'_, '_>, message: &EndChild) -> Decided<()> {
    let child = message.child.clone().unwrap_or_default();
    let Some(mut run) = run::find(ctx.txn, &child.namespace_id, &child.workflow_id, "")? else { return Ok(()) };
    if !run.is_open() || run.row.first_run_id != child.first_run_id {
        return Ok(());
    }
    if message.cancel {
        let parent = message.parent.clone().unwrap_or_default();
        let requested = WorkflowExecutionCancelRequestedEventAttributes {
            external_workflow_execution: Some(WorkflowExecution {
                workflow_id: parent.workflow_id,
                run_id: parent.run_id,
            }),
            identity: close::SERVER_IDENTITY.into(),
            ..Default::default()
        };
        return request_cancel::receive(ctx, run, requested, "", Extras::default());
    }
    let terminated = WorkflowExecutionTerminatedEventAttributes {
        reason: REASON.into(),
        identity: close::SERVER_IDENTITY.into(),
        ..Default::default()
    };
    close::terminate(ctx, &mut run, terminated, Extras::default())?;
    close::finish(ctx, run)
}
