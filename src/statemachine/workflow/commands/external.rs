//! Commands to other workflows. Their attributes are checked like Temporal's; carrying them out needs the outbox, which
//! a later issue brings, so a well-formed one fails the task and says why.

use proto::temporal::api::command::v1::command::Attributes;
use proto::temporal::api::command::v1::{
    RequestCancelExternalWorkflowExecutionCommandAttributes, SignalExternalWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;

use super::{missing_attributes, Refused, Scope};
use crate::tables::id_bytes;
use crate::workflow::retry;
use crate::Reject;

pub fn not_built(command: &str) -> Refused {
    Refused::task(Cause::FeatureDisabled, format!("{command} is not implemented by this server"))
}

/// Until namespaces can be crossed, any name but the workflow's own is unknown here.
fn check_namespace(named: &str, scope: &Scope<'_>) -> Result<(), Refused> {
    if named.is_empty() || named == scope.namespace.name {
        return Ok(());
    }
    Err(Reject::namespace_not_found(named).into())
}

fn is_bad_run_id(run_id: &str) -> bool {
    !run_id.is_empty() && id_bytes(run_id).is_none()
}

#[expect(deprecated, reason = "the namespace field is still sent")]
pub fn start_child(
    sent: Option<&StartChildWorkflowExecutionCommandAttributes>,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    const COMMAND: &str = "StartChildWorkflowExecution";
    let bad = |message: String| Refused::task(Cause::BadStartChildExecutionAttributes, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes(COMMAND)))?;
    check_namespace(&sent.namespace, scope)?;
    let namespace = &scope.namespace.name;
    let kind = sent.workflow_type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default();
    let id = sent.workflow_id.as_str();
    if id.is_empty() {
        return Err(bad(format!(
            "Required field WorkflowId is not set on {COMMAND}Command. WorkflowType={kind} Namespace={namespace}"
        )));
    }
    if kind.is_empty() {
        return Err(bad(format!(
            "Required field WorkflowType is not set on {COMMAND}Command. WorkflowId={id} Namespace={namespace}"
        )));
    }
    if !sent.cron_schedule.is_empty() && !retry::is_valid_cron(&sent.cron_schedule) {
        return Err(bad(format!(
            "invalid CronSchedule on {COMMAND}Command: invalid CronSchedule.. WorkflowId={id} WorkflowType={kind} \
             Namespace={namespace}"
        )));
    }
    let cancelled = scope.commands.iter().find_map(|command| match &command.attributes {
        Some(Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(cancel))
            if cancel.workflow_id == id && cancel.run_id.is_empty() =>
        {
            Some(cancel)
        }
        _ => None,
    });
    if let Some(cancel) = cancelled {
        return Err(Refused::task(
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes,
            format!(
                "Start and RequestCancel for child workflow is not allowed in same workflow task. WorkflowId={id} \
                 RunId= Namespace={}",
                cancel.namespace
            ),
        ));
    }
    Err(not_built(COMMAND))
}

#[expect(deprecated, reason = "the namespace field is still sent")]
pub fn signal(
    sent: Option<&SignalExternalWorkflowExecutionCommandAttributes>,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    const COMMAND: &str = "SignalExternalWorkflowExecution";
    let bad = |message: String| Refused::task(Cause::BadSignalWorkflowExecutionAttributes, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes(COMMAND)))?;
    check_namespace(&sent.namespace, scope)?;
    let execution = sent.execution.as_ref().ok_or_else(|| bad(format!("Execution is not set on {COMMAND}Command.")))?;
    let (id, run_id, namespace, name) = (&execution.workflow_id, &execution.run_id, &sent.namespace, &sent.signal_name);
    if id.is_empty() {
        return Err(bad(format!(
            "WorkflowId is not set on {COMMAND}Command. Namespace={namespace} RunId={run_id} SignalName={name}"
        )));
    }
    if is_bad_run_id(run_id) {
        return Err(bad(format!(
            "Invalid RunId set on {COMMAND}Command. WorkflowId={id} Namespace={namespace} RunId={run_id} \
             SignalName={name}"
        )));
    }
    if name.is_empty() {
        return Err(bad(format!(
            "SignalName is not set on {COMMAND}Command. WorkflowId={id} Namespace={namespace} RunId={run_id}"
        )));
    }
    Err(not_built(COMMAND))
}

#[expect(deprecated, reason = "the namespace field is still sent")]
pub fn cancel(
    sent: Option<&RequestCancelExternalWorkflowExecutionCommandAttributes>,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    const COMMAND: &str = "RequestCancelExternalWorkflowExecution";
    let bad = |message: String| Refused::task(Cause::BadRequestCancelExternalWorkflowExecutionAttributes, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes(COMMAND)))?;
    check_namespace(&sent.namespace, scope)?;
    let (id, run_id, namespace) = (&sent.workflow_id, &sent.run_id, &sent.namespace);
    if id.is_empty() {
        return Err(bad(format!("WorkflowId is not set on {COMMAND}Command. Namespace={namespace} RunId={run_id}")));
    }
    if is_bad_run_id(run_id) {
        return Err(bad(format!(
            "Invalid RunId set on {COMMAND}Command. WorkflowId={id} RunId={run_id} Namespace={namespace}"
        )));
    }
    Err(not_built(COMMAND))
}
