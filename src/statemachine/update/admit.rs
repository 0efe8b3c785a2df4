//! Taking an update in, or joining the one that has its id.

use proto::temporal::api::enums::v1::ResourceExhaustedCause;
use proto::temporal::api::errordetails::v1::WorkflowNotReadyFailure;
use proto::temporal::api::update::v1::Request;
use proto::temporal::api::workflowservice::v1::UpdateWorkflowExecutionRequest;

use crate::op::{answer, AdmitUpdate, UpdateAnswer};
use crate::reject::{code, Decided};
use crate::state::update::Stage;
use crate::state::Update;
use crate::workflow::{task, Run};
use crate::{tables, Context, Fault, Reject};

/// From this attempt of a workflow task on, updates are refused: the workflow does not get on.
const FAILING_ATTEMPTS: i32 = 3;

pub fn decide(ctx: &mut Context<'_, '_>, op: &AdmitUpdate) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("update op", "no namespace"))?;
    let sent = op.request.as_ref().ok_or_else(|| Fault::corrupt("update op", "no request"))?;
    let execution = sent.workflow_execution.clone().unwrap_or_default();
    let mut run = Run::load(ctx, &namespace.id, &execution.workflow_id, &execution.run_id)?;
    if !sent.first_execution_run_id.is_empty() && sent.first_execution_run_id != run.row.first_run_id {
        return Err(Reject::not_found("workflow execution not found").into());
    }
    let (answer, new) = admit(ctx, &mut run, request(sent)?)?;
    if new {
        deliver(ctx, run)?;
    }
    Ok(answer::Kind::Update(answer))
}

/// Sees to a task for an update that was taken in. Before the first task it waits like everything else.
pub(super) fn deliver(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    if run.row.first_task_deadline == 0 {
        task::schedule_speculative(ctx, &mut run)?;
    }
    run.finish(ctx)
}

pub(super) fn request(sent: &UpdateWorkflowExecutionRequest) -> Decided<&Request> {
    Ok(sent.request.as_ref().ok_or_else(|| Fault::corrupt("update op", "no update"))?)
}

pub(crate) fn id_of(request: &Request) -> &str {
    request.meta.as_ref().map(|meta| meta.update_id.as_str()).unwrap_or_default()
}

/// Finds the update of this id, or takes it in as new; then the caller sees to a task.
pub(super) fn admit(ctx: &mut Context<'_, '_>, run: &mut Run, request: &Request) -> Decided<(UpdateAnswer, bool)> {
    let id = id_of(request);
    let again = run.seen_before(&ctx.op_id);
    let known = tables::update(ctx.txn, run.key, id)?;
    if let Some(known) = known.filter(|row| again || !is_refused(row)) {
        return Ok((answer(run, id, known.number), false));
    }
    require_possible(ctx, run)?;
    let number = run.next_stamp();
    run.row.updates_refused.retain(|refused| refused != id);
    run.row.updates_in_flight.push(id.to_owned());
    let row = Update { update_id: id.to_owned(), number, request: Some(request.clone()), ..Default::default() };
    tables::put_update(ctx.txn, run.key, &row);
    run.updates_changed = true;
    Ok((answer(run, id, number), true))
}

pub(super) fn is_refused(row: &Update) -> bool {
    matches!(row.stage(), Stage::Rejected | Stage::Aborted)
}

pub(super) fn answer(run: &Run, update_id: &str, number: u64) -> UpdateAnswer {
    UpdateAnswer { run_id: run.row.run_id.clone(), update_id: update_id.to_owned(), number }
}

/// Whether the run can take in another update.
fn require_possible(ctx: &Context<'_, '_>, run: &Run) -> Decided<()> {
    if !run.is_open() {
        return Err(Reject::workflow_completed().into());
    }
    if run.row.pause.is_some() {
        return Err(Reject::failed_precondition("Workflow is paused. Cannot update the workflow.").into());
    }
    if run.row.close_attempted && run.task_started() {
        return Err(closing().into());
    }
    let attempt = run.row.task.as_ref().map_or(run.row.task_attempt, |task| task.attempt);
    if attempt >= FAILING_ATTEMPTS {
        return Err(
            not_ready("Unable to perform workflow execution update due to Workflow Task in failed state.").into()
        );
    }
    let in_flight = run.row.updates_in_flight.len() as i64;
    if in_flight >= ctx.limits.updates_in_flight {
        let limit = ctx.limits.updates_in_flight;
        let text = format!("limit on number of concurrent in-flight updates has been reached ({limit})");
        return Err(Reject::resource_exhausted(ResourceExhaustedCause::ConcurrentLimit, text).into());
    }
    // Accepted ones are among both the updates in flight and those counted: what is not yet accepted counts extra.
    let unaccepted = super::in_flight(ctx.txn, run)?.iter().filter(|row| row.stage() == Stage::Admitted).count() as i64;
    if run.row.updates + unaccepted >= ctx.limits.updates_total {
        let limit = ctx.limits.updates_total;
        return Err(Reject::failed_precondition(format!(
            "limit on the total number of distinct updates in this workflow has been reached ({limit}). Make sure any \
             duplicate updates share an Update ID so the server can deduplicate them, and consider rejecting updates \
             that you aren't going to process"
        ))
        .into());
    }
    Ok(())
}

/// The run ends and another one follows or may follow: the client sends the update again.
pub fn closing() -> Reject {
    Reject::resource_exhausted(
        ResourceExhaustedCause::BusyWorkflow,
        "workflow operation can not be applied because workflow is closing",
    )
}

pub(super) fn not_ready(message: &str) -> Reject {
    Reject::with_detail(code::FAILED_PRECONDITION, message, &WorkflowNotReadyFailure::default())
}
