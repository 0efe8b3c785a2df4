//! Resetting a workflow: a new run begins with the history of an earlier one up to a workflow task (SEMANTICS B16).
//!
//! ```text
//!   base run   1 … kept │ finish … end          the open run is terminated; its signals held back are written down
//!                 │            └─ reapply ─┐
//!                 ▼ fork                   ▼
//!   new run    1 … kept │ WorkflowTaskFailed(RESET_WORKFLOW), signals, updates, results of children │ WorkflowTaskScheduled
//! ```
//!
//! The kept events are copied, and the new run's state is their fold. What has no event is made anew: activities are
//! ready again as first attempts, timers keep their due times, messages to other workflows that have had no answer are
//! sent again under the request ids they had, so that whoever got them before does not act twice.

mod afterwards;
mod carry;
mod fork;
mod reapply;

use proto::temporal::api::history::v1::WorkflowExecutionTerminatedEventAttributes;
use proto::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;

use super::run::{self, Extras};
use super::{close, task, Run};
use crate::op::{answer, ResetWorkflow, ResetWorkflowAnswer};
use crate::reject::Decided;
use crate::{state, Context, Fault, Reject};
use reapply::Excluded;

/// Who terminates the open run for a reset.
const IDENTITY: &str = "history-resetter";
/// Resets that a run remembers.
const RESETS_MAX: usize = 16;

pub fn decide(ctx: &mut Context<'_, '_>, op: &ResetWorkflow) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("reset op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("reset op", "no request"))?;
    let execution = request.workflow_execution.clone().unwrap_or_default();
    let mut base = Run::load(ctx, &namespace.id, &execution.workflow_id, &execution.run_id)?;
    let current = run::find(ctx.txn, &namespace.id, &execution.workflow_id, "")?;
    if let Some(made) = made_before(&base, current.as_ref(), &request.request_id) {
        return Ok(answered(made));
    }
    check(&base, request)?;
    let run_id = ctx.new_id();
    if let Some(open) = current.filter(|current| current.is_open() && current.key != base.key) {
        let open = terminate(ctx, open, &request.reason)?;
        close::finish_for_reset_of_another(ctx, open)?;
    }
    remember(&mut base, &request.request_id, &run_id);
    let key = base.key;
    if base.is_open() {
        let base = terminate(ctx, base, &request.reason)?;
        close::finish_replaced(ctx, base)?;
    } else {
        base.finish(ctx)?;
    }
    let base = run::stored(ctx, key)?;
    start_over(ctx, &base, request, run_id.clone())?;
    Ok(answered(run_id))
}

fn answered(run_id: String) -> answer::Kind {
    answer::Kind::ResetWorkflow(ResetWorkflowAnswer { run_id })
}

/// The run that this very request has made already.
fn made_before(base: &Run, current: Option<&Run>, request_id: &str) -> Option<String> {
    let made = current.filter(|current| current.row.reset_request_id == request_id);
    let made = made.map(|current| &current.row.run_id);
    let known = base.row.resets.iter().find(|reset| reset.request_id == request_id).map(|reset| &reset.run_id);
    made.or(known).cloned()
}

fn check(base: &Run, request: &ResetWorkflowExecutionRequest) -> Decided<()> {
    let finish = request.workflow_task_finish_event_id;
    if finish <= 1 || finish >= base.row.next_event_id {
        let text = "Workflow task finish ID must be > 1 && <= workflow last event ID.";
        return Err(Reject::invalid_argument(text).into());
    }
    if request.post_reset_operations.iter().any(|operation| operation.variant.is_none()) {
        return Err(Reject::invalid_argument("unsupported post reset operation: <nil>").into());
    }
    Ok(())
}

fn remember(base: &mut Run, request_id: &str, run_id: &str) {
    run_id.clone_into(&mut base.row.reset_run_id);
    if base.row.resets.len() >= RESETS_MAX {
        base.row.resets.remove(0);
    }
    base.row.resets.push(state::Reset { request_id: request_id.into(), run_id: run_id.into() });
}

/// Ends the open run; the caller finishes it. Its parent does not hear of it: the new run takes its place.
fn terminate(ctx: &mut Context<'_, '_>, mut run: Run, reason: &str) -> Decided<Run> {
    let terminated = WorkflowExecutionTerminatedEventAttributes {
        reason: reason.into(),
        identity: IDENTITY.into(),
        ..Default::default()
    };
    close::terminate(ctx, &mut run, terminated, Extras::default())?;
    carry::withdraw_messages(ctx, &run)?;
    Ok(run)
}

/// Makes the new run.
fn start_over(
    ctx: &mut Context<'_, '_>,
    base: &Run,
    request: &ResetWorkflowExecutionRequest,
    run_id: String,
) -> Decided<()> {
    let finish = request.workflow_task_finish_event_id;
    let mut run = fork::copy(ctx, base, finish, run_id)?;
    run.row.reset_request_id.clone_from(&request.request_id);
    fork::fail_task(ctx, &mut run, base, &request.reason)?;
    reapply::all(ctx, &mut run, base, finish, Excluded::of(request))?;
    afterwards::all(ctx, &mut run, request)?;
    fork::arm(ctx, &mut run)?;
    carry::send_again(ctx, &mut run, base)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}
