//! Update-with-start: starts a workflow unless it runs, and takes an update in with the same write (SEMANTICS B3).
//!
//! A refused start refuses the op. An update that is refused on a run that exists already is part of the answer.

use proto::temporal::api::common::v1::link;
use proto::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use super::admit;
use crate::op::{answer, NamespaceFacts, StartWorkflowAnswer, UpdateWithStart, UpdateWithStartAnswer};
use crate::reject::{Decided, Stop};
use crate::state::update::Stage;
use crate::workflow::start::{self, Admitted, Policies};
use crate::workflow::{resent, run, terminate, Run};
use crate::{op, tables, Context, Fault, Reject};
use proto::temporal::api::update::v1::Request;

pub fn decide(ctx: &mut Context<'_, '_>, op: &UpdateWithStart) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("update-with-start op", "no namespace"))?;
    let request = op.start.as_ref().ok_or_else(|| Fault::corrupt("update-with-start op", "no start"))?;
    let sent = op.update.as_ref().ok_or_else(|| Fault::corrupt("update-with-start op", "no update"))?;
    let update = admit::request(sent)?;
    if let Some(answer) = known(ctx, namespace, request, update)? {
        return Ok(answer::Kind::UpdateWithStart(answer));
    }
    if let Some(run) = running_with(ctx, namespace, request, update)? {
        return Ok(answer::Kind::UpdateWithStart(update_existing(ctx, run, update)?));
    }
    let policies = Policies::of(request.workflow_id_reuse_policy(), request.workflow_id_conflict_policy());
    let answer = match start::admit(ctx, namespace, &request.workflow_id, &request.request_id, &policies)? {
        Admitted::Same(run) | Admitted::Existing(run) => update_existing(ctx, run, update)?,
        Admitted::New { replaces } => {
            let run_id = ctx.new_id();
            if let Some(old) = replaces {
                terminate::replaced(ctx, old, &run_id)?;
            }
            start_and_update(ctx, namespace, request, update, run_id)?
        }
    };
    Ok(answer::Kind::UpdateWithStart(answer))
}

/// What there is to answer before any policy: the call was applied before, or the update is completed.
fn known(
    ctx: &Context<'_, '_>,
    namespace: &NamespaceFacts,
    request: &StartWorkflowExecutionRequest,
    update: &Request,
) -> Decided<Option<UpdateWithStartAnswer>> {
    let taken = resent::taken(ctx, &namespace.id, &request.workflow_id)?;
    let again = taken.is_some();
    let latest = || run::find(ctx.txn, &namespace.id, &request.workflow_id, "");
    let Some(run) = taken.map_or_else(latest, |run| Ok(Some(run)))? else { return Ok(None) };
    let row = tables::update(ctx.txn, run.key, admit::id_of(update))?;
    let completed = row.as_ref().is_some_and(|row| row.stage() == Stage::Completed);
    let start = if run.was_created_by(&ctx.op_id) {
        start::started_answer(&run)
    } else if again {
        existing_answer(&run)
    } else if completed {
        StartWorkflowAnswer { run_id: run.row.run_id.clone(), status: run.row.status, ..Default::default() }
    } else {
        return Ok(None);
    };
    // The run took the update in, and ended before it was accepted.
    let update_refused = row.is_none().then(|| *Reject::workflow_completed().0);
    let update = row.map(|row| admit::answer(&run, &row.update_id, row.number));
    Ok(Some(UpdateWithStartAnswer { start: Some(start), update, update_refused }))
}

/// The running workflow that has the update under way: the call attaches to it, whatever the policies say.
fn running_with(
    ctx: &Context<'_, '_>,
    namespace: &NamespaceFacts,
    request: &StartWorkflowExecutionRequest,
    update: &Request,
) -> Decided<Option<Run>> {
    let Some(run) = run::find(ctx.txn, &namespace.id, &request.workflow_id, "")? else { return Ok(None) };
    let under_way = run.is_open() && run.row.updates_in_flight.iter().any(|id| id == admit::id_of(update));
    Ok(under_way.then_some(run))
}

/// The answer about a run that was there already: as Temporal has it, its link names no namespace.
fn existing_answer(run: &Run) -> StartWorkflowAnswer {
    let mut start = start::started_answer(run);
    start.started = false;
    if let Some(link::Variant::WorkflowEvent(event)) = start.link.as_mut().and_then(|link| link.variant.as_mut()) {
        event.namespace.clear();
    }
    start
}

fn update_existing(ctx: &mut Context<'_, '_>, mut run: Run, update: &Request) -> Decided<UpdateWithStartAnswer> {
    let start = existing_answer(&run);
    match admit::admit(ctx, &mut run, update) {
        Ok((answer, new)) => {
            if new {
                admit::deliver(ctx, run)?;
            }
            Ok(UpdateWithStartAnswer { start: Some(start), update: Some(answer), update_refused: None })
        }
        Err(Stop::Reject(reject)) => {
            let update_refused: Option<op::Reject> = Some(*reject.0);
            Ok(UpdateWithStartAnswer { start: Some(start), update: None, update_refused })
        }
        Err(fault) => Err(fault),
    }
}

fn start_and_update(
    ctx: &mut Context<'_, '_>,
    namespace: &NamespaceFacts,
    request: &StartWorkflowExecutionRequest,
    update: &Request,
    run_id: String,
) -> Decided<UpdateWithStartAnswer> {
    let (new, backoff) = start::from_request(ctx, namespace, request, &run_id);
    let mut run = start::create(ctx, run_id, new)?;
    let (answer, _) = admit::admit(ctx, &mut run, update)?;
    run.note_created_by(&ctx.op_id);
    start::first_task(ctx, &mut run, backoff)?;
    let start = start::started_answer(&run);
    run.finish(ctx)?;
    Ok(UpdateWithStartAnswer { start: Some(start), update: Some(answer), update_refused: None })
}
