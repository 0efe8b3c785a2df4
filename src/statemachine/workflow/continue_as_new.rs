//! Continue-as-new: the run closes and the next one of its chain starts in the same write (SEMANTICS B12).

use prost::Message;
use proto::temporal::api::command::v1::ContinueAsNewWorkflowExecutionCommandAttributes;
use proto::temporal::api::enums::v1::{ContinueAsNewInitiator, WorkflowTaskFailedCause as Cause};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    WorkflowExecutionContinuedAsNewEventAttributes, WorkflowExecutionStartedEventAttributes,
};

use super::commands::{check_length, missing_attributes, properties, Refused, Scope};
use super::run::Extras;
use super::start::{self, duration_if_set, NewRun};
use super::{task, Run};
use crate::activity::retry as policy;
use crate::op::NamespaceFacts;
use crate::reject::Decided;
use crate::time::{duration, nanos_or_zero, timestamp};
use crate::visibility::attributes;
use crate::{callback, Context};

const COMMAND: &str = "ContinueAsNewWorkflowExecution";

#[expect(deprecated, reason = "the failure is still part of the event")]
pub fn decide(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&ContinueAsNewWorkflowExecutionCommandAttributes>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<(String, NewRun), Refused> {
    let bad = |message: String| Refused::task(Cause::BadContinueAsNewAttributes, message);
    let sent = sent.ok_or_else(|| bad(missing_attributes(COMMAND)))?;
    let mut sent = check(ctx, sent, scope)?;
    fill_in(run, &mut sent);
    let backoff = least_gap(ctx, run, nanos_or_zero(sent.backoff_start_interval.as_ref()));
    let new_run_id = ctx.new_id();
    let new = new_run(ctx, run, &sent, backoff)?;
    run.row.reset_points.clone_from(&new.started.prev_auto_reset_points);
    let continued = WorkflowExecutionContinuedAsNewEventAttributes {
        new_execution_run_id: new_run_id.clone(),
        workflow_type: sent.workflow_type,
        task_queue: new.started.task_queue.clone(),
        input: sent.input,
        workflow_run_timeout: new.started.workflow_run_timeout,
        workflow_task_timeout: new.started.workflow_task_timeout,
        workflow_task_completed_event_id: scope.completed_event_id,
        backoff_start_interval: duration_if_set(backoff),
        initiator: sent.initiator,
        failure: sent.failure,
        last_completion_result: sent.last_completion_result,
        header: sent.header,
        memo: sent.memo,
        search_attributes: sent.search_attributes,
        ..Default::default()
    };
    run.add_with(ctx, Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued), extras)?;
    Ok((new_run_id, new))
}

fn check(
    ctx: &Context<'_, '_>,
    sent: &ContinueAsNewWorkflowExecutionCommandAttributes,
    scope: &Scope<'_>,
) -> Result<ContinueAsNewWorkflowExecutionCommandAttributes, Refused> {
    let bad = |message: String| Refused::task(Cause::BadContinueAsNewAttributes, message);
    let kind = sent.workflow_type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default();
    check_length("WorkflowType", &format!("{COMMAND}Command"), kind).map_err(bad)?;
    for (field, value) in [
        ("WorkflowRunTimeout", sent.workflow_run_timeout.as_ref()),
        ("WorkflowTaskTimeout", sent.workflow_task_timeout.as_ref()),
        ("BackoffStartInterval", sent.backoff_start_interval.as_ref()),
    ] {
        if nanos_or_zero(value) < 0 {
            return Err(bad(format!("invalid {field} on {COMMAND}Command: negative duration. WorkflowType={kind}")));
        }
    }
    if let Some(retry) = &sent.retry_policy {
        policy::validate(retry).map_err(|why| bad(why.to_string()))?;
    }
    let mut checked = sent.clone();
    if let Some(found) = &sent.search_attributes {
        let typed = attributes::check(scope.namespace, found)
            .map_err(|message| Refused::task(Cause::BadSearchAttributes, message))?;
        checked.search_attributes = Some(typed);
    }
    let cause = Cause::BadContinueAsNewAttributes;
    let size = sent.input.as_ref().map(Message::encoded_len).unwrap_or_default();
    properties::check_blob(ctx, size, &format!("{COMMAND}CommandAttributes. Input"), cause)?;
    properties::check_memo(ctx, sent.memo.as_ref(), COMMAND, cause)?;
    if let Some(attributes) = &sent.search_attributes {
        properties::check_attributes(attributes, cause)?;
    }
    Ok(checked)
}

/// What the command leaves out comes from the run: type, queue and timeouts. Memo, search attributes, header and retry
/// policy do not.
fn fill_in(run: &Run, sent: &mut ContinueAsNewWorkflowExecutionCommandAttributes) {
    if sent.workflow_type.as_ref().is_none_or(|kind| kind.name.is_empty()) {
        sent.workflow_type =
            Some(proto::temporal::api::common::v1::WorkflowType { name: run.row.workflow_type.clone() });
    }
    if sent.task_queue.as_ref().is_none_or(|queue| queue.name.is_empty()) {
        sent.task_queue = Some(task::normal_queue(&run.row.task_queue));
    }
    if let Some(retry) = sent.retry_policy.as_mut() {
        policy::fill_in(retry);
    }
}

/// A run that ends too soon after it started makes the next one wait, so that no chain can spin.
fn least_gap(ctx: &Context<'_, '_>, run: &Run, asked: i64) -> i64 {
    let since_start = ctx.now.saturating_sub(run.row.start_time);
    asked.max(ctx.limits.continue_as_new_gap.saturating_sub(since_start)).max(0)
}

fn new_run(
    ctx: &mut Context<'_, '_>,
    run: &Run,
    sent: &ContinueAsNewWorkflowExecutionCommandAttributes,
    backoff: i64,
) -> Decided<NewRun> {
    let row = &run.row;
    let asked = nanos_or_zero(sent.workflow_run_timeout.as_ref());
    let mut run_timeout = if asked == 0 { row.run_timeout } else { asked };
    if row.execution_timeout != 0 && (run_timeout == 0 || run_timeout > row.execution_timeout) {
        run_timeout = row.execution_timeout;
    }
    let asked = nanos_or_zero(sent.workflow_task_timeout.as_ref());
    let task_timeout = start::task_timeout(if asked == 0 { row.task_timeout } else { asked }, run_timeout);
    let initiator = match sent.initiator() {
        ContinueAsNewInitiator::Unspecified => ContinueAsNewInitiator::Workflow,
        given => given,
    };
    let queue = sent.task_queue.as_ref().map(|queue| queue.name.as_str()).unwrap_or_default();
    let started = WorkflowExecutionStartedEventAttributes {
        workflow_type: sent.workflow_type.clone(),
        task_queue: Some(task::normal_queue(queue)),
        input: sent.input.clone(),
        workflow_run_timeout: Some(duration(run_timeout)),
        workflow_task_timeout: Some(duration(task_timeout)),
        initiator: initiator as i32,
        continued_failure: sent.failure.clone(),
        last_completion_result: sent.last_completion_result.clone(),
        retry_policy: sent.retry_policy.clone(),
        attempt: 1,
        cron_schedule: sent.cron_schedule.clone(),
        first_workflow_task_backoff: duration_if_set(backoff),
        memo: sent.memo.clone(),
        search_attributes: sent.search_attributes.clone(),
        header: sent.header.clone(),
        ..inherited(ctx, run)?
    };
    Ok(NewRun { namespace: facts_of(run), request_id: ctx.new_id(), started, extras: Extras::default() })
}

/// What every further run of a chain has from the one before it.
pub fn inherited(ctx: &Context<'_, '_>, run: &Run) -> Decided<WorkflowExecutionStartedEventAttributes> {
    let row = &run.row;
    let mut points = row.reset_points.clone();
    for point in points.iter_mut().flat_map(|points| &mut points.points) {
        if point.run_id == row.run_id && point.expire_time.is_none() {
            point.expire_time = Some(timestamp(row.start_time.saturating_add(row.retention)));
        }
    }
    Ok(WorkflowExecutionStartedEventAttributes {
        workflow_id: row.workflow_id.clone(),
        workflow_execution_timeout: duration_if_set(row.execution_timeout),
        workflow_execution_expiration_time: start::expiration(row),
        continued_execution_run_id: row.run_id.clone(),
        first_execution_run_id: row.first_run_id.clone(),
        prev_auto_reset_points: Some(points.unwrap_or_default()),
        priority: row.priority.clone(),
        completion_callbacks: callback::waiting(ctx, run)?,
        parent_workflow_namespace: row.parent.as_ref().map(|p| p.namespace.clone()).unwrap_or_default(),
        parent_workflow_namespace_id: row.parent.as_ref().map(|p| p.namespace_id.clone()).unwrap_or_default(),
        parent_workflow_execution: row.parent.as_ref().map(|p| proto::temporal::api::common::v1::WorkflowExecution {
            workflow_id: p.workflow_id.clone(),
            run_id: p.run_id.clone(),
        }),
        parent_initiated_event_id: row.parent.as_ref().map(|p| p.initiated_event_id).unwrap_or_default(),
        root_workflow_execution: row.parent.as_ref().and(row.root.clone()),
        ..Default::default()
    })
}

/// The facts of its namespace that a run carries with it.
pub fn facts_of(run: &Run) -> NamespaceFacts {
    NamespaceFacts {
        id: run.row.namespace_id.clone(),
        name: run.row.namespace.clone(),
        retention: run.row.retention,
        ..Default::default()
    }
}
