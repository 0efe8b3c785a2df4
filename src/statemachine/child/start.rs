//! At the child: it is created without a first workflow task, which comes when its parent has written the start down.

use proto::temporal::api::common::v1::{Priority, WorkflowExecution};
use proto::temporal::api::enums::v1::{
    StartChildWorkflowExecutionFailedCause as Cause, WorkflowIdConflictPolicy as Conflict,
};
use proto::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use crate::activity::options::merged_priority;
use crate::op::op::Kind;
use crate::op::{ChildRef, ReportChildStart, ScheduleFirstTask, Sender, StartChild};
use crate::reject::{code, Decided, Stop};
use crate::time::{duration, nanos_or_zero};
use crate::workflow::start::{self, Admitted, Policies};
use crate::workflow::{run, terminate, Run};
use crate::{outbox, Context, Fault};

/// Creates the child, or finds out why it can't be, and tells the parent.
pub fn create(ctx: &mut Context<'_, '_>, message: &StartChild) -> Decided<()> {
    let namespace = message.namespace.as_ref().ok_or_else(|| Fault::corrupt("child start", "no namespace"))?;
    let parent = message.parent.as_ref().ok_or_else(|| Fault::corrupt("child start", "no parent"))?;
    let initiated = message.initiated.as_ref().ok_or_else(|| Fault::corrupt("child start", "no event"))?;
    let request_id = match &message.request_id {
        given if given.is_empty() => request_id(&parent.run_id, parent.initiated_event_id),
        given => given.clone(),
    };
    let policies = Policies::of(initiated.workflow_id_reuse_policy(), Conflict::Unspecified);
    let admitted = start::admit(ctx, namespace, &initiated.workflow_id, &request_id, &policies);
    let mut child = ChildRef {
        namespace_id: namespace.id.clone(),
        workflow_id: initiated.workflow_id.clone(),
        ..Default::default()
    };
    let mut failed = 0;
    match admitted {
        Ok(Admitted::Same(run)) => child.run_id = run.row.run_id,
        Ok(Admitted::New { replaces }) => {
            let run_id = ctx.new_id();
            if let Some(old) = replaces {
                terminate::replaced(ctx, old, &run_id)?;
            }
            create_run(ctx, message, parent, request_id, &run_id)?;
            child.run_id = run_id;
        }
        Ok(Admitted::Existing(_)) => failed = Cause::WorkflowAlreadyExists as i32,
        Err(Stop::Reject(reject)) if reject.code() == code::ALREADY_EXISTS => {
            failed = Cause::WorkflowAlreadyExists as i32;
        }
        Err(Stop::Reject(reject)) if reject.code() == code::NOT_FOUND => failed = Cause::NamespaceNotFound as i32,
        Err(stop) => return Err(stop),
    }
    child.first_run_id.clone_from(&child.run_id);
    let report = ReportChildStart { parent: Some(parent.clone()), child: Some(child), failed_cause: failed };
    outbox::send(ctx, &parent.namespace_id, &parent.workflow_id, Kind::ReportChildStart(report))?;
    Ok(())
}

/// The request id of the start that an event of a parent's run asks for.
pub fn request_id(parent_run_id: &str, initiated_event_id: i64) -> String {
    format!("{parent_run_id}:{initiated_event_id}:0")
}

fn create_run(
    ctx: &mut Context<'_, '_>,
    message: &StartChild,
    parent: &Sender,
    request_id: String,
    run_id: &str,
) -> Decided<()> {
    let namespace = message.namespace.clone().unwrap_or_default();
    let request = request(message, request_id);
    let (mut new, _) = start::from_request(ctx, &namespace, &request, run_id);
    let started = &mut new.started;
    // A child's run timeout is there even if it has none.
    started.workflow_run_timeout = Some(duration(nanos_or_zero(started.workflow_run_timeout.as_ref())));
    started.parent_workflow_namespace.clone_from(&parent.namespace);
    started.parent_workflow_namespace_id.clone_from(&parent.namespace_id);
    started.parent_workflow_execution =
        Some(WorkflowExecution { workflow_id: parent.workflow_id.clone(), run_id: parent.run_id.clone() });
    started.parent_initiated_event_id = parent.initiated_event_id;
    started.root_workflow_execution.clone_from(&message.root);
    let mut run = start::create(ctx, run_id.into(), new)?;
    run.row.first_task_withheld = true;
    run.finish(ctx)
}

/// The Initiated event as the request it stands for.
fn request(message: &StartChild, request_id: String) -> StartWorkflowExecutionRequest {
    let initiated = message.initiated.clone().unwrap_or_default();
    let priority: Option<Priority> = merged_priority(initiated.priority.as_ref(), message.parent_priority.as_ref());
    StartWorkflowExecutionRequest {
        namespace: initiated.namespace,
        workflow_id: initiated.workflow_id,
        workflow_type: initiated.workflow_type,
        task_queue: initiated.task_queue,
        input: initiated.input,
        workflow_execution_timeout: initiated.workflow_execution_timeout,
        workflow_run_timeout: initiated.workflow_run_timeout,
        workflow_task_timeout: initiated.workflow_task_timeout,
        request_id,
        retry_policy: initiated.retry_policy,
        cron_schedule: initiated.cron_schedule,
        memo: initiated.memo,
        search_attributes: initiated.search_attributes,
        header: initiated.header,
        user_metadata: message.user_metadata.clone(),
        versioning_override: initiated.versioning_override,
        priority,
        ..Default::default()
    }
}

/// The parent knows of its child, so the child may run.
pub fn schedule_first_task(ctx: &mut Context<'_, '_>, message: &ScheduleFirstTask) -> Decided<()> {
    let child = message.child.clone().unwrap_or_default();
    let Some(mut run) = run::find(ctx.txn, &child.namespace_id, &child.workflow_id, &child.run_id)? else {
        return Ok(());
    };
    if !run.is_open() || !std::mem::take(&mut run.row.first_task_withheld) {
        return Ok(());
    }
    let wait = if run.row.cancel_requested { 0 } else { run.row.execution_time.saturating_sub(ctx.now) };
    start::first_task(ctx, &mut run, wait)?;
    run.finish(ctx)
}

/// Names a run as a child: by itself and by the first run of its chain.
pub fn reference(run: &Run) -> ChildRef {
    ChildRef {
        namespace_id: run.row.namespace_id.clone(),
        workflow_id: run.row.workflow_id.clone(),
        run_id: run.row.run_id.clone(),
        first_run_id: run.row.first_run_id.clone(),
    }
}
