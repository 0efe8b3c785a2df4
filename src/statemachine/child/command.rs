//! The command that starts a child (Temporal: command_attr_validator.go, validateStartChildExecutionAttributes).

use prost::Message;
use proto::temporal::api::command::v1::StartChildWorkflowExecutionCommandAttributes as Command;
use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::{ParentClosePolicy, WorkflowIdReusePolicy, WorkflowTaskFailedCause as Cause};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::StartChildWorkflowExecutionInitiatedEventAttributes as Initiated;

use crate::activity::options::check_priority;
use crate::activity::retry as policy;
use crate::op::op::Kind;
use crate::op::{NamespaceFacts, StartChild};
use crate::time::{duration, nanos_or_zero, TIMEOUT_MAX};
use crate::visibility::attributes;
use crate::workflow::commands::{missing_attributes, properties, Refused, Scope, ID_LENGTH_MAX};
use crate::workflow::run::Extras;
use crate::workflow::{retry, start, task, Run};
use crate::{external, outbox, tables, Context, Fault};

const COMMAND: &str = "StartChildWorkflowExecutionCommand";

pub fn decide(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&Command>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<(), Refused> {
    let sent = sent.ok_or_else(|| bad(missing_attributes("StartChildWorkflowExecution")))?;
    #[expect(deprecated, reason = "the namespace field is still sent")]
    let namespace = external::target_namespace(ctx, &sent.namespace, scope, Cause::BadStartChildExecutionAttributes)?;
    check(sent, namespace)?;
    check_limits(ctx, run, sent)?;
    let initiated = event(run, sent, namespace, scope)?;
    let user_metadata = extras.user_metadata.clone();
    let attributes = Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(initiated.clone());
    let initiated_event_id = run.add_with(ctx, attributes, extras)?;
    let own = WorkflowExecution { workflow_id: run.row.workflow_id.clone(), run_id: run.row.run_id.clone() };
    let message = StartChild {
        namespace: Some(NamespaceFacts { search_attributes: Default::default(), ..namespace.clone() }),
        parent: Some(external::sender(run, initiated_event_id)),
        root: Some(run.row.root.clone().unwrap_or(own)),
        initiated: Some(initiated),
        user_metadata,
        parent_priority: run.row.priority.clone(),
        request_id: String::new(),
    };
    let id = outbox::send(ctx, &namespace.id, &sent.workflow_id, Kind::StartChild(message))?;
    let Some(mut child) = tables::child(ctx.txn, run.key, initiated_event_id)? else {
        return Err(Fault::corrupt("child row", "missing right after its event").into());
    };
    child.outbox_id = id;
    tables::put_child(ctx.txn, run.key, &child);
    Ok(())
}

fn bad(message: impl Into<String>) -> Refused {
    Refused::task(Cause::BadStartChildExecutionAttributes, message)
}

fn type_name(sent: &Command) -> &str {
    sent.workflow_type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default()
}

fn check(sent: &Command, namespace: &NamespaceFacts) -> Result<(), Refused> {
    let (id, kind, name) = (sent.workflow_id.as_str(), type_name(sent), &namespace.name);
    if id.is_empty() {
        return Err(bad(format!(
            "Required field WorkflowId is not set on {COMMAND}. WorkflowType={kind} Namespace={name}"
        )));
    }
    if kind.is_empty() {
        return Err(bad(format!(
            "Required field WorkflowType is not set on {COMMAND}. WorkflowId={id} Namespace={name}"
        )));
    }
    if id.len() > ID_LENGTH_MAX {
        return Err(bad(format!(
            "WorkflowId on {COMMAND} exceeds length limit. WorkflowId={id} Length={} Limit={ID_LENGTH_MAX} \
             WorkflowType={kind} Namespace={name}",
            id.len()
        )));
    }
    if kind.len() > ID_LENGTH_MAX {
        return Err(bad(format!(
            "WorkflowType on {COMMAND} exceeds length limit. WorkflowId={id} WorkflowType={kind} Length={} \
             Limit={ID_LENGTH_MAX} Namespace={name}",
            kind.len()
        )));
    }
    let which = format!("WorkflowId={id} WorkflowType={kind} Namespace={name}");
    for (field, value) in [
        ("WorkflowExecutionTimeout", sent.workflow_execution_timeout.as_ref()),
        ("WorkflowRunTimeout", sent.workflow_run_timeout.as_ref()),
        ("WorkflowTaskTimeout", sent.workflow_task_timeout.as_ref()),
    ] {
        if nanos_or_zero(value) < 0 {
            return Err(bad(format!("Invalid {field} on {COMMAND}: negative duration. {which}")));
        }
    }
    if let Some(given) = &sent.retry_policy {
        policy::validate(given)
            .map_err(|why| bad(format!("invalid WorkflowRetryPolicy on {COMMAND}: {why}. {which}")))?;
    }
    if !sent.cron_schedule.is_empty() {
        retry::check_cron(&sent.cron_schedule)
            .map_err(|why| bad(format!("invalid CronSchedule on {COMMAND}: {why}. {which}")))?;
    }
    check_priority(sent.priority.as_ref()).map_err(bad)
}

fn check_limits(ctx: &Context<'_, '_>, run: &Run, sent: &Command) -> Result<(), Refused> {
    let sizes = [
        (" Input", sent.input.as_ref().map(Message::encoded_len), ctx.limits.blob_size),
        // Temporal's text has no space here.
        ("Memo", sent.memo.as_ref().map(Message::encoded_len), ctx.limits.memo_size),
    ];
    for (field, size, limit) in sizes {
        if size.unwrap_or_default() > limit {
            let message = format!("StartChildWorkflowExecutionCommandAttributes.{field} exceeds size limit.");
            return Err(Refused::Workflow { cause: Cause::BadStartChildExecutionAttributes, message });
        }
    }
    let (pending, limit) = (run.row.pending_children, ctx.limits.pending_children);
    if pending >= limit {
        let message = format!(
            "the number of pending child workflow executions, {pending}, has reached the per-workflow limit of {limit}"
        );
        return Err(Refused::task(Cause::PendingChildWorkflowsLimitExceeded, message));
    }
    Ok(())
}

/// The Initiated event, with everything left out filled in.
#[expect(deprecated, reason = "control is still echoed")]
fn event(run: &Run, sent: &Command, namespace: &NamespaceFacts, scope: &Scope<'_>) -> Result<Initiated, Refused> {
    let execution_timeout = nanos_or_zero(sent.workflow_execution_timeout.as_ref()).min(TIMEOUT_MAX);
    let run_timeout = start::capped(nanos_or_zero(sent.workflow_run_timeout.as_ref()), execution_timeout);
    let task_timeout = start::task_timeout(nanos_or_zero(sent.workflow_task_timeout.as_ref()), run_timeout);
    let queue = sent.task_queue.as_ref().map(|queue| queue.name.as_str()).filter(|name| !name.is_empty());
    let mut retry_policy = sent.retry_policy.clone();
    if let Some(given) = retry_policy.as_mut() {
        policy::fill_in(given);
    }
    let mut initiated = Initiated {
        namespace: namespace.name.clone(),
        namespace_id: namespace.id.clone(),
        workflow_id: sent.workflow_id.clone(),
        workflow_type: sent.workflow_type.clone(),
        task_queue: Some(task::normal_queue(queue.unwrap_or(&run.row.task_queue))),
        input: sent.input.clone(),
        workflow_execution_timeout: sent.workflow_execution_timeout.map(|_| duration(execution_timeout)),
        workflow_run_timeout: Some(duration(run_timeout)),
        workflow_task_timeout: Some(duration(task_timeout)),
        parent_close_policy: sent.parent_close_policy,
        control: sent.control.clone(),
        workflow_task_completed_event_id: scope.completed_event_id,
        workflow_id_reuse_policy: sent.workflow_id_reuse_policy,
        retry_policy,
        cron_schedule: sent.cron_schedule.clone(),
        header: sent.header.clone(),
        memo: sent.memo.clone(),
        search_attributes: typed_attributes(sent, namespace)?,
        inherit_build_id: sent.inherit_build_id,
        priority: sent.priority.clone(),
        versioning_override: sent.versioning_override.clone(),
        ..Default::default()
    };
    if sent.parent_close_policy() == ParentClosePolicy::Unspecified {
        initiated.parent_close_policy = ParentClosePolicy::Terminate as i32;
    }
    if sent.workflow_id_reuse_policy() == WorkflowIdReusePolicy::Unspecified {
        initiated.workflow_id_reuse_policy = WorkflowIdReusePolicy::AllowDuplicate as i32;
    }
    Ok(initiated)
}

fn typed_attributes(
    sent: &Command,
    namespace: &NamespaceFacts,
) -> Result<Option<proto::temporal::api::common::v1::SearchAttributes>, Refused> {
    let Some(given) = &sent.search_attributes else { return Ok(None) };
    let typed = attributes::check(namespace, given).map(Some).map_err(|why| {
        let message = if why.starts_with("Namespace ") {
            why
        } else {
            format!(
                "invalid SearchAttributes on StartChildWorkflowCommand: {why}. WorkflowId={} WorkflowType={} \
                 Namespace={}",
                sent.workflow_id,
                type_name(sent),
                namespace.name
            )
        };
        Refused::task(Cause::BadSearchAttributes, message)
    })?;
    properties::check_attributes(given, Cause::BadStartChildExecutionAttributes)?;
    Ok(typed)
}
