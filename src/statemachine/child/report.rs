//! At the parent: what became of a child.

use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::WorkflowExecutionStatus as Status;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    ChildWorkflowExecutionCanceledEventAttributes, ChildWorkflowExecutionCompletedEventAttributes,
    ChildWorkflowExecutionFailedEventAttributes, ChildWorkflowExecutionStartedEventAttributes,
    ChildWorkflowExecutionTerminatedEventAttributes, ChildWorkflowExecutionTimedOutEventAttributes,
    StartChildWorkflowExecutionFailedEventAttributes, StartChildWorkflowExecutionInitiatedEventAttributes as Initiated,
};

use super::stored_attributes;
use crate::op::op::Kind;
use crate::op::{ChildRef, EndChild, ReportChildClose, ReportChildStart, ScheduleFirstTask, Sender};
use crate::reject::Decided;
use crate::state::Child;
use crate::workflow::run::{self, Extras};
use crate::workflow::{close as closing, task, Run};
use crate::{outbox, tables, Context, Fault};

/// The child exists, or could not be started.
pub fn start(ctx: &mut Context<'_, '_>, message: &ReportChildStart) -> Decided<()> {
    let parent = message.parent.clone().unwrap_or_default();
    let reference = message.child.clone().unwrap_or_default();
    let Some((mut run, child)) = pending(ctx, &parent)? else { return disown(ctx, parent, reference) };
    if !child.run_id.is_empty() {
        return Ok(());
    }
    outbox::withdraw(ctx, child.outbox_id);
    if message.failed_cause == 0 {
        record_start(ctx, &mut run, &child, &reference.run_id)?;
        let (namespace_id, workflow_id) = (reference.namespace_id.clone(), reference.workflow_id.clone());
        let go = Kind::ScheduleFirstTask(ScheduleFirstTask { child: Some(reference) });
        outbox::send(ctx, &namespace_id, &workflow_id, go)?;
    } else {
        record_failed_start(ctx, &mut run, &child, message.failed_cause)?;
    }
    wake(ctx, run)
}

/// The open parent, which a reset may have replaced, and its pending child that a message is about.
fn pending(ctx: &Context<'_, '_>, parent: &Sender) -> Decided<Option<(Run, Child)>> {
    let (namespace_id, workflow_id, event_id) = (&parent.namespace_id, &parent.workflow_id, parent.initiated_event_id);
    let found = run::answering(ctx.txn, namespace_id, workflow_id, &parent.run_id, event_id)?;
    let Some(run) = found else { return Ok(None) };
    let child = tables::child(ctx.txn, run.key, parent.initiated_event_id)?;
    Ok(child.map(|child| (run, child)))
}

/// A child that nobody waits for was created while its parent closed: it never runs.
fn disown(ctx: &mut Context<'_, '_>, parent: Sender, child: ChildRef) -> Decided<()> {
    if child.run_id.is_empty() {
        return Ok(());
    }
    let (namespace_id, workflow_id) = (child.namespace_id.clone(), child.workflow_id.clone());
    let end = EndChild { child: Some(child), parent: Some(parent), cancel: false };
    outbox::send(ctx, &namespace_id, &workflow_id, Kind::EndChild(end))?;
    Ok(())
}

fn wake(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    closing::enforce_buffer_limits(ctx, &mut run)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}

fn initiated(ctx: &Context<'_, '_>, run: &Run, child: &Child) -> Decided<Initiated> {
    match stored_attributes(ctx, run, child.initiated_event_id)? {
        Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(initiated) => Ok(initiated),
        _ => Err(Fault::corrupt("history", "a child's event is not its start").into()),
    }
}

fn record_start(ctx: &mut Context<'_, '_>, run: &mut Run, child: &Child, run_id: &str) -> Decided<()> {
    let initiated = initiated(ctx, run, child)?;
    let started = ChildWorkflowExecutionStartedEventAttributes {
        namespace: initiated.namespace,
        namespace_id: initiated.namespace_id,
        initiated_event_id: child.initiated_event_id,
        workflow_execution: Some(WorkflowExecution { workflow_id: initiated.workflow_id, run_id: run_id.into() }),
        workflow_type: initiated.workflow_type,
        header: initiated.header,
    };
    run.record(ctx, Attributes::ChildWorkflowExecutionStartedEventAttributes(started), Extras::default())?;
    Ok(())
}

#[expect(deprecated, reason = "control is still echoed")]
fn record_failed_start(ctx: &mut Context<'_, '_>, run: &mut Run, child: &Child, cause: i32) -> Decided<()> {
    let initiated = initiated(ctx, run, child)?;
    let failed = StartChildWorkflowExecutionFailedEventAttributes {
        namespace: initiated.namespace,
        namespace_id: initiated.namespace_id,
        workflow_id: initiated.workflow_id,
        workflow_type: initiated.workflow_type,
        cause,
        control: initiated.control,
        initiated_event_id: child.initiated_event_id,
        ..Default::default()
    };
    run.record(ctx, Attributes::StartChildWorkflowExecutionFailedEventAttributes(failed), Extras::default())?;
    Ok(())
}

/// The child's chain has ended.
pub fn close(ctx: &mut Context<'_, '_>, message: &ReportChildClose) -> Decided<()> {
    let parent = message.parent.clone().unwrap_or_default();
    let Some((mut run, mut child)) = pending(ctx, &parent)? else { return Ok(()) };
    let reference = message.child.clone().unwrap_or_default();
    if child.run_id.is_empty() {
        // The end has overtaken the start.
        outbox::withdraw(ctx, child.outbox_id);
        record_start(ctx, &mut run, &child, &reference.first_run_id)?;
        child = tables::child(ctx.txn, run.key, child.initiated_event_id)?.unwrap_or(child);
    } else if child.run_id != reference.first_run_id {
        return Ok(());
    }
    let namespace = initiated(ctx, &run, &child)?.namespace;
    let ended = event(&child, namespace, reference, message);
    run.record(ctx, ended, Extras::default())?;
    wake(ctx, run)
}

/// The event that names the child's last run.
fn event(child: &Child, namespace: String, last: ChildRef, message: &ReportChildClose) -> Attributes {
    let namespace_id = child.namespace_id.clone();
    let workflow_execution = Some(WorkflowExecution { workflow_id: last.workflow_id, run_id: last.run_id });
    let workflow_type = Some(WorkflowType { name: child.workflow_type.clone() });
    let (initiated_event_id, started_event_id) = (child.initiated_event_id, child.started_event_id);
    macro_rules! event {
        ($variant:ident { $($field:ident: $value:expr),* }) => {
            Attributes::$variant($variant {
                namespace,
                namespace_id,
                workflow_execution,
                workflow_type,
                initiated_event_id,
                started_event_id,
                $($field: $value),*
            })
        };
    }
    match message.status() {
        Status::Completed => event!(ChildWorkflowExecutionCompletedEventAttributes { result: message.result.clone() }),
        Status::Failed => event!(ChildWorkflowExecutionFailedEventAttributes {
            failure: message.failure.clone(),
            retry_state: message.retry_state
        }),
        Status::Canceled => event!(ChildWorkflowExecutionCanceledEventAttributes { details: message.result.clone() }),
        Status::TimedOut => {
            event!(ChildWorkflowExecutionTimedOutEventAttributes { retry_state: message.retry_state })
        }
        _ => event!(ChildWorkflowExecutionTerminatedEventAttributes {}),
    }
}
