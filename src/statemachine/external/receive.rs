//! At the target: a signal or a cancel request of another workflow arrives.

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::{
    CancelExternalWorkflowExecutionFailedCause as CancelCause,
    SignalExternalWorkflowExecutionFailedCause as SignalCause,
};
use proto::temporal::api::history::v1::{
    WorkflowExecutionCancelRequestedEventAttributes, WorkflowExecutionSignaledEventAttributes,
};

use crate::op::op::Kind;
use crate::op::{CancelExternal, NamespaceFacts, ReportExternal, Sender, SignalExternal};
use crate::reject::Decided;
use crate::workflow::run::{self, Extras};
use crate::workflow::{close::SERVER_IDENTITY, request_cancel, signal as signals, task, Run};
use crate::{outbox, Context, Fault};

fn report(ctx: &mut Context<'_, '_>, sender: &Sender, failed_cause: i32) -> Decided<()> {
    let report = ReportExternal { sender: Some(sender.clone()), failed_cause };
    outbox::send(ctx, &sender.namespace_id, &sender.workflow_id, Kind::ReportExternal(report))?;
    Ok(())
}

fn as_execution(sender: &Sender) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: sender.workflow_id.clone(), run_id: sender.run_id.clone() })
}

/// The run a message is for, if its sender may reach it: not itself, and nobody but its own child if it says so.
fn target(
    ctx: &Context<'_, '_>,
    namespace: &NamespaceFacts,
    execution: &WorkflowExecution,
    sender: &Sender,
    child_only: bool,
) -> Decided<Option<Run>> {
    if namespace.id == sender.namespace_id && execution.workflow_id == sender.workflow_id {
        return Ok(None);
    }
    let found = run::find(ctx.txn, &namespace.id, &execution.workflow_id, &execution.run_id)?;
    Ok(found.filter(|run| {
        let parent = run.row.parent.as_ref();
        !child_only || parent.is_some_and(|p| p.workflow_id == sender.workflow_id && p.run_id == sender.run_id)
    }))
}

pub fn signal(ctx: &mut Context<'_, '_>, message: &SignalExternal) -> Decided<()> {
    let namespace = message.namespace.as_ref().ok_or_else(|| Fault::corrupt("signal", "no namespace"))?;
    let sender = message.sender.as_ref().ok_or_else(|| Fault::corrupt("signal", "no sender"))?;
    let initiated = message.initiated.clone().unwrap_or_default();
    let execution = initiated.workflow_execution.unwrap_or_default();
    let found = target(ctx, namespace, &execution, sender, initiated.child_workflow_only)?;
    let Some(mut run) = found.filter(Run::is_open) else {
        return report(ctx, sender, SignalCause::ExternalWorkflowExecutionNotFound as i32);
    };
    if signals::is_repeated(ctx, &run, &message.request_id)? {
        return report(ctx, sender, 0);
    }
    if run.row.signals >= ctx.limits.signals {
        return report(ctx, sender, SignalCause::SignalCountLimitExceeded as i32);
    }
    let signaled = WorkflowExecutionSignaledEventAttributes {
        signal_name: initiated.signal_name,
        input: initiated.input,
        identity: SERVER_IDENTITY.into(),
        header: initiated.header,
        external_workflow_execution: as_execution(sender),
        request_id: message.request_id.clone(),
        ..Default::default()
    };
    signals::receive(ctx, &mut run, signaled, Extras::default())?;
    if run.row.first_task_deadline == 0 {
        task::schedule(ctx, &mut run, 0)?;
    }
    run.finish(ctx)?;
    report(ctx, sender, 0)
}

/// A closed target, or one that was asked before, counts as success.
pub fn cancel(ctx: &mut Context<'_, '_>, message: &CancelExternal) -> Decided<()> {
    let namespace = message.namespace.as_ref().ok_or_else(|| Fault::corrupt("cancel", "no namespace"))?;
    let sender = message.sender.as_ref().ok_or_else(|| Fault::corrupt("cancel", "no sender"))?;
    let initiated = message.initiated.clone().unwrap_or_default();
    let execution = initiated.workflow_execution.unwrap_or_default();
    let found = target(ctx, namespace, &execution, sender, initiated.child_workflow_only)?;
    let Some(run) = found else {
        return report(ctx, sender, CancelCause::ExternalWorkflowExecutionNotFound as i32);
    };
    if run.is_open() && !run.row.cancel_requested {
        let requested = WorkflowExecutionCancelRequestedEventAttributes {
            cause: initiated.reason,
            external_initiated_event_id: sender.initiated_event_id,
            external_workflow_execution: as_execution(sender),
            identity: SERVER_IDENTITY.into(),
        };
        request_cancel::receive(ctx, run, requested, &message.request_id, Extras::default())?;
    }
    report(ctx, sender, 0)
}
