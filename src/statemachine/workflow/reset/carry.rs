//! Messages to other workflows over a reset: the old run takes back what was not delivered, the new run sends again what
//! it has asked for and not heard of. The request ids stay, so that a target that was reached before answers and does
//! nothing else.

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::history::v1::history_event::Attributes;

use crate::child::stored_event;
use crate::op::op::Kind;
use crate::op::{CancelExternal, NamespaceFacts, SignalExternal, StartChild};
use crate::reject::Decided;
use crate::state::{Child, External};
use crate::workflow::Run;
use crate::{child, external, outbox, tables, Context, Fault};

/// The old run's messages that are still in its outbox.
pub fn withdraw_messages(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    for child in tables::children(ctx.txn, run.key)?.into_iter().filter(|child| child.run_id.is_empty()) {
        outbox::withdraw(ctx, child.outbox_id);
    }
    for external in tables::externals(ctx.txn, run.key)? {
        outbox::withdraw(ctx, external.outbox_id);
    }
    Ok(())
}

/// Sends what the new run waits for.
pub fn send_again(ctx: &mut Context<'_, '_>, run: &mut Run, base: &Run) -> Decided<()> {
    for child in tables::children(ctx.txn, run.key)?.into_iter().filter(|child| child.run_id.is_empty()) {
        start_child(ctx, run, base, child)?;
    }
    for external in tables::externals(ctx.txn, run.key)? {
        to_external(ctx, run, base, external)?;
    }
    Ok(())
}

/// The facts of a target's namespace; its retention is taken to be that of the sender's.
fn facts(run: &Run, id: &str, name: &str) -> NamespaceFacts {
    let name = if name.is_empty() { run.row.namespace.clone() } else { name.to_owned() };
    NamespaceFacts { id: id.into(), name, retention: run.row.retention, ..Default::default() }
}

fn start_child(ctx: &mut Context<'_, '_>, run: &Run, base: &Run, mut child: Child) -> Decided<()> {
    let event = stored_event(ctx, run, child.initiated_event_id)?;
    let Some(Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(initiated)) = event.attributes else {
        return Err(Fault::corrupt("history", "a child's event is not its start").into());
    };
    let before = tables::child(ctx.txn, base.key, child.initiated_event_id)?.unwrap_or_default();
    child.request_id = match before.request_id {
        given if given.is_empty() => child::start::request_id(&base.row.run_id, child.initiated_event_id),
        given => given,
    };
    let own = WorkflowExecution { workflow_id: run.row.workflow_id.clone(), run_id: run.row.run_id.clone() };
    let message = StartChild {
        namespace: Some(facts(run, &initiated.namespace_id, &initiated.namespace)),
        parent: Some(external::sender(run, child.initiated_event_id)),
        root: Some(run.row.root.clone().unwrap_or(own)),
        initiated: Some(initiated),
        user_metadata: event.user_metadata,
        parent_priority: run.row.priority.clone(),
        request_id: child.request_id.clone(),
    };
    child.outbox_id = outbox::send(ctx, &child.namespace_id, &child.workflow_id, Kind::StartChild(message))?;
    tables::put_child(ctx.txn, run.key, &child);
    Ok(())
}

fn to_external(ctx: &mut Context<'_, '_>, run: &Run, base: &Run, mut external: External) -> Decided<()> {
    let before = tables::external(ctx.txn, base.key, external.initiated_event_id)?.unwrap_or_default();
    external.request_id = if before.request_id.is_empty() { ctx.new_id() } else { before.request_id };
    let sender = Some(external::sender(run, external.initiated_event_id));
    let request_id = external.request_id.clone();
    let event = stored_event(ctx, run, external.initiated_event_id)?;
    let (namespace_id, target, message) = match event.attributes {
        Some(Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(initiated)) => {
            let namespace = Some(facts(run, &initiated.namespace_id, &initiated.namespace));
            let namespace_id = initiated.namespace_id.clone();
            let target = initiated.workflow_execution.clone().unwrap_or_default().workflow_id;
            let message = SignalExternal { sender, namespace, initiated: Some(initiated), request_id };
            (namespace_id, target, Kind::SignalExternal(message))
        }
        Some(Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(initiated)) => {
            let namespace = Some(facts(run, &initiated.namespace_id, &initiated.namespace));
            let namespace_id = initiated.namespace_id.clone();
            let target = initiated.workflow_execution.clone().unwrap_or_default().workflow_id;
            let message = CancelExternal { sender, namespace, initiated: Some(initiated), request_id };
            (namespace_id, target, Kind::CancelExternal(message))
        }
        _ => return Err(Fault::corrupt("history", "an external row's event is none of its kind").into()),
    };
    external.outbox_id = outbox::send(ctx, &namespace_id, &target, message)?;
    tables::put_external(ctx.txn, run.key, &external);
    Ok(())
}
