//! The commands that end a run, and what may follow it: a retry or the next run of a cron schedule.

use prost::Message;
use proto::temporal::api::command::v1::{
    CancelWorkflowExecutionCommandAttributes, CompleteWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    WorkflowExecutionCanceledEventAttributes, WorkflowExecutionCompletedEventAttributes,
    WorkflowExecutionFailedEventAttributes,
};

use super::properties::check_blob;
use super::{missing_attributes, Refused, Scope};
use crate::workflow::run::Extras;
use crate::workflow::start::NewRun;
use crate::workflow::{retry, Run};
use crate::Context;

type Successor = Option<(String, NewRun)>;

fn size<M: Message>(message: Option<&M>) -> usize {
    message.map(Message::encoded_len).unwrap_or_default()
}

pub fn complete(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&CompleteWorkflowExecutionCommandAttributes>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<Successor, Refused> {
    let cause = Cause::BadCompleteWorkflowExecutionAttributes;
    let sent = sent.ok_or_else(|| Refused::task(cause, missing_attributes("CompleteWorkflowExecution")))?;
    check_blob(ctx, size(sent.result.as_ref()), "CompleteWorkflowExecutionCommandAttributes.Result", cause)?;
    let successor = retry::after_completion(ctx, run, sent.result.clone())?.map(|next| (ctx.new_id(), next));
    let completed = WorkflowExecutionCompletedEventAttributes {
        result: sent.result.clone(),
        workflow_task_completed_event_id: scope.completed_event_id,
        new_execution_run_id: successor.as_ref().map(|(run_id, _)| run_id.clone()).unwrap_or_default(),
    };
    run.add_with(ctx, Attributes::WorkflowExecutionCompletedEventAttributes(completed), extras)?;
    Ok(successor)
}

pub fn fail(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&FailWorkflowExecutionCommandAttributes>,
    extras: Extras,
    scope: &Scope<'_>,
) -> Result<Successor, Refused> {
    let cause = Cause::BadFailWorkflowExecutionAttributes;
    let sent = sent.ok_or_else(|| Refused::task(cause, missing_attributes("FailWorkflowExecution")))?;
    let failure = sent
        .failure
        .clone()
        .ok_or_else(|| Refused::task(cause, "Failure is not set on FailWorkflowExecutionCommand."))?;
    check_blob(ctx, failure.encoded_len(), "FailWorkflowExecutionCommandAttributes.Failure", cause)?;
    let (retry_state, successor) = match retry::after_failure(ctx, run, &failure)? {
        retry::Next::Close(state) => (state, None),
        retry::Next::Run { state, start } => (state, Some((ctx.new_id(), start))),
    };
    let failed = WorkflowExecutionFailedEventAttributes {
        failure: Some(failure),
        retry_state: retry_state as i32,
        workflow_task_completed_event_id: scope.completed_event_id,
        new_execution_run_id: successor.as_ref().map(|(run_id, _)| run_id.clone()).unwrap_or_default(),
    };
    run.add_with(ctx, Attributes::WorkflowExecutionFailedEventAttributes(failed), extras)?;
    Ok(successor)
}

pub fn cancel(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    sent: Option<&CancelWorkflowExecutionCommandAttributes>,
    extras: Extras,
    completed_event_id: i64,
) -> Result<(), Refused> {
    let cause = Cause::BadCancelWorkflowExecutionAttributes;
    let sent = sent.ok_or_else(|| Refused::task(cause, missing_attributes("CancelWorkflowExecution")))?;
    check_blob(ctx, size(sent.details.as_ref()), "CancelWorkflowExecutionCommandAttributes.Details", cause)?;
    let canceled = WorkflowExecutionCanceledEventAttributes {
        workflow_task_completed_event_id: completed_event_id,
        details: sent.details.clone(),
    };
    run.add_with(ctx, Attributes::WorkflowExecutionCanceledEventAttributes(canceled), extras)?;
    Ok(())
}
