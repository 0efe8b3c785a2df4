//! The commands that signal another workflow or ask it to cancel. `control` is deprecated and still echoed.

use prost::Message;
use proto::temporal::api::command::v1::{
    command, RequestCancelExternalWorkflowExecutionCommandAttributes as CancelCommand,
    SignalExternalWorkflowExecutionCommandAttributes as SignalCommand,
};
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    RequestCancelExternalWorkflowExecutionInitiatedEventAttributes as CancelInitiated,
    SignalExternalWorkflowExecutionInitiatedEventAttributes as SignalInitiated,
};

use super::{sender, target_namespace};
use crate::op::op::Kind;
use crate::op::{CancelExternal, NamespaceFacts, SignalExternal};
use crate::state::External;
use crate::tables::{self, id_bytes};
use crate::workflow::commands::{missing_attributes, Refused, Scope, ID_LENGTH_MAX};
use crate::workflow::run::Extras;
use crate::workflow::Run;
use crate::{outbox, Context};

const SIGNAL: &str = "SignalExternalWorkflowExecution";
const CANCEL: &str = "RequestCancelExternalWorkflowExecution";

#[expect(deprecated, reason = "namespace and control are still sent")]
pub fn signal(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&SignalCommand>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    let cause = Cause::BadSignalWorkflowExecutionAttributes;
    let bad = |message: String| Refused::task(cause, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes(SIGNAL)))?;
    let namespace = target_namespace(ctx, &sent.namespace, scope, cause)?;
    check_signal(sent).map_err(bad)?;
    if sent.input.as_ref().map(Message::encoded_len).unwrap_or_default() > ctx.limits.blob_size {
        let message = "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit.".into();
        return Err(Refused::Workflow { cause, message });
    }
    let (pending, limit) = (run.row.pending_signals, ctx.limits.pending_signals);
    if pending >= limit {
        let what = "pending signals to external workflows";
        let message = format!("the number of {what}, {pending}, has reached the per-workflow limit of {limit}");
        return Err(Refused::task(Cause::PendingSignalsLimitExceeded, message));
    }
    let initiated = SignalInitiated {
        workflow_task_completed_event_id: scope.completed_event_id,
        namespace: sent.namespace.clone(),
        namespace_id: namespace.id.clone(),
        workflow_execution: sent.execution.clone(),
        signal_name: sent.signal_name.clone(),
        input: sent.input.clone(),
        control: sent.control.clone(),
        child_workflow_only: sent.child_workflow_only,
        header: sent.header.clone(),
    };
    let target = sent.execution.clone().unwrap_or_default().workflow_id;
    let attributes = Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(initiated.clone());
    let event_id = run.add_with(ctx, attributes, extras)?;
    let request_id = ctx.new_id();
    let message = SignalExternal {
        sender: Some(sender(run, event_id)),
        namespace: Some(without_attributes(namespace)),
        initiated: Some(initiated),
        request_id: request_id.clone(),
    };
    let outbox_id = outbox::send(ctx, &namespace.id, &target, Kind::SignalExternal(message))?;
    tables::put_external(ctx.txn, run.key, &External { initiated_event_id: event_id, outbox_id, request_id });
    Ok(())
}

fn without_attributes(namespace: &NamespaceFacts) -> NamespaceFacts {
    NamespaceFacts { search_attributes: Default::default(), ..namespace.clone() }
}

#[expect(deprecated, reason = "the namespace field is still sent")]
fn check_signal(sent: &SignalCommand) -> Result<(), String> {
    let execution = sent.execution.as_ref().ok_or_else(|| format!("Execution is not set on {SIGNAL}Command."))?;
    let (id, run_id, namespace, name) = (&execution.workflow_id, &execution.run_id, &sent.namespace, &sent.signal_name);
    if id.is_empty() {
        return Err(format!(
            "WorkflowId is not set on {SIGNAL}Command. Namespace={namespace} RunId={run_id} SignalName={name}"
        ));
    }
    if id.len() > ID_LENGTH_MAX {
        return Err(format!(
            "WorkflowId on {SIGNAL}Command exceeds length limit. WorkflowId={id} Length={} Limit={ID_LENGTH_MAX} \
             Namespace={namespace} RunId={run_id} SignalName={name}",
            id.len()
        ));
    }
    if is_bad_run_id(run_id) {
        return Err(format!(
            "Invalid RunId set on {SIGNAL}Command. WorkflowId={id} Namespace={namespace} RunId={run_id} SignalName={name}"
        ));
    }
    if name.is_empty() {
        return Err(format!(
            "SignalName is not set on {SIGNAL}Command. WorkflowId={id} Namespace={namespace} RunId={run_id}"
        ));
    }
    Ok(())
}

fn is_bad_run_id(run_id: &str) -> bool {
    !run_id.is_empty() && id_bytes(run_id).is_none()
}

#[expect(deprecated, reason = "namespace and control are still sent")]
pub fn cancel(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&CancelCommand>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    let cause = Cause::BadRequestCancelExternalWorkflowExecutionAttributes;
    let bad = |message: String| Refused::task(cause, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes(CANCEL)))?;
    let namespace = target_namespace(ctx, &sent.namespace, scope, cause)?;
    check_cancel(sent, scope).map_err(bad)?;
    let (pending, limit) = (run.row.pending_cancels, ctx.limits.pending_cancels);
    if pending >= limit {
        let what = "pending requests to cancel external workflows";
        let message = format!("the number of {what}, {pending}, has reached the per-workflow limit of {limit}");
        return Err(Refused::task(Cause::PendingRequestCancelLimitExceeded, message));
    }
    let initiated = CancelInitiated {
        workflow_task_completed_event_id: scope.completed_event_id,
        namespace: sent.namespace.clone(),
        namespace_id: namespace.id.clone(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: sent.workflow_id.clone(),
            run_id: sent.run_id.clone(),
        }),
        control: sent.control.clone(),
        child_workflow_only: sent.child_workflow_only,
        reason: sent.reason.clone(),
    };
    let attributes = Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(initiated.clone());
    let event_id = run.add_with(ctx, attributes, extras)?;
    let request_id = ctx.new_id();
    let message = CancelExternal {
        sender: Some(sender(run, event_id)),
        namespace: Some(without_attributes(namespace)),
        initiated: Some(initiated),
        request_id: request_id.clone(),
    };
    let outbox_id = outbox::send(ctx, &namespace.id, &sent.workflow_id, Kind::CancelExternal(message))?;
    tables::put_external(ctx.txn, run.key, &External { initiated_event_id: event_id, outbox_id, request_id });
    Ok(())
}

#[expect(deprecated, reason = "the namespace field is still sent")]
fn check_cancel(sent: &CancelCommand, scope: &Scope<'_>) -> Result<(), String> {
    let (id, run_id, namespace) = (&sent.workflow_id, &sent.run_id, &sent.namespace);
    if id.is_empty() {
        return Err(format!("WorkflowId is not set on {CANCEL}Command. Namespace={namespace} RunId={run_id}"));
    }
    if id.len() > ID_LENGTH_MAX {
        return Err(format!(
            "WorkflowId on {CANCEL}Command exceeds length limit. WorkflowId={id} Length={} Limit={ID_LENGTH_MAX} \
             RunId={run_id} Namespace={namespace}",
            id.len()
        ));
    }
    let which = format!("WorkflowId={id} RunId={run_id} Namespace={namespace}");
    if is_bad_run_id(run_id) {
        return Err(format!("Invalid RunId set on {CANCEL}Command. {which}"));
    }
    if was_just_started(sent, scope) {
        return Err(format!(
            "Start and RequestCancel for child workflow is not allowed in same workflow task. {which}"
        ));
    }
    Ok(())
}

/// An earlier command of this task starts the workflow that this one wants cancelled.
fn was_just_started(sent: &CancelCommand, scope: &Scope<'_>) -> bool {
    use command::Attributes as A;
    let earlier = scope.commands.iter().filter_map(|command| command.attributes.as_ref()).take_while(|attributes| {
        !matches!(attributes,
            A::RequestCancelExternalWorkflowExecutionCommandAttributes(cancel) if std::ptr::eq(cancel, sent))
    });
    earlier.into_iter().any(|attributes| {
        matches!(attributes,
            A::StartChildWorkflowExecutionCommandAttributes(start) if start.workflow_id == sent.workflow_id)
    })
}
