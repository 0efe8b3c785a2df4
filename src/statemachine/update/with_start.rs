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
use crate::workflow::{run, terminate, Run};
use crate::{op, tables, Context, Fault};
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
    let Some(run) = run::find(ctx.txn, &namespace.id, &request.workflow_id, "")? else { return Ok(None) };
    let Some(row) = tables::update(ctx.txn, run.key, admit::id_of(update))? else { return Ok(None) };
    let start = if run.was_created_by(&ctx.op_id) {
        start::started_answer(&run)
    } else if row.stage() == Stage::Completed {
        StartWorkflowAnswer { run_id: run.row.run_id.clone(), status: run.row.status, ..Default::default() }
    } else {
        return Ok(None);
    };
    Ok(Some(UpdateWithStartAnswer {
        start: Some(start),
        update: Some(admit::answer(&run, &row.update_id, row.number)),
        update_refused: None,
    }))
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

fn update_existing(ctx: &mut Context<'_, '_>, mut run: Run, update: &Request) -> Decided<UpdateWithStartAnswer> {
    let mut start = start::started_answer(&run);
    start.started = false;
    // As Temporal has it: the link to a run that was there already names no namespace.
    if let Some(link::Variant::WorkflowEvent(event)) = start.link.as_mut().and_then(|link| link.variant.as_mut()) {
        event.namespace.clear();
    }
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
