//! Signals the running run, or starts one and signals it in the same write.

use proto::temporal::api::enums::v1::WorkflowIdConflictPolicy as Conflict;
use proto::temporal::api::history::v1::WorkflowExecutionSignaledEventAttributes;
use proto::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest,
};

use super::run::Extras;
use super::start::{self, Admitted, Policies};
use super::{resent, signal, task, terminate, Run};
use crate::op::{answer, NamespaceFacts, SignalWithStart, StartWorkflowAnswer};
use crate::reject::Decided;
use crate::{Context, Fault};

pub fn decide(ctx: &mut Context<'_, '_>, op: &SignalWithStart) -> Decided<answer::Kind> {
    let namespace = op.namespace.as_ref().ok_or_else(|| Fault::corrupt("signal-with-start op", "no namespace"))?;
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("signal-with-start op", "no request"))?;
    let conflict = match request.workflow_id_conflict_policy() {
        Conflict::Unspecified => Conflict::UseExisting,
        conflict => conflict,
    };
    if let Some(run) = resent::taken(ctx, &namespace.id, &request.workflow_id)? {
        return Ok(answered(&run, run.was_created_by(&ctx.op_id)));
    }
    let policies = Policies::of(request.workflow_id_reuse_policy(), conflict);
    let running = super::run::find(ctx.txn, &namespace.id, &request.workflow_id, "")?.filter(Run::is_open);
    if let Some(run) = running {
        if policies.conflict != Conflict::TerminateExisting || signal::is_repeated(ctx, &run, &request.request_id)? {
            return signal_running(ctx, run, request);
        }
        let new_run_id = ctx.new_id();
        terminate::replaced(ctx, run, &new_run_id)?;
        return start_and_signal(ctx, namespace, request, new_run_id);
    }
    // The id of this request does not stand for a closed run: the caller wants a running one (SEMANTICS F).
    match start::admit(ctx, namespace, &request.workflow_id, "", &policies)? {
        Admitted::New { .. } => {
            let new_run_id = ctx.new_id();
            start_and_signal(ctx, namespace, request, new_run_id)
        }
        Admitted::Same(run) | Admitted::Existing(run) => signal_running(ctx, run, request),
    }
}

fn signaled(request: &SignalWithStartWorkflowExecutionRequest) -> WorkflowExecutionSignaledEventAttributes {
    WorkflowExecutionSignaledEventAttributes {
        signal_name: request.signal_name.clone(),
        input: request.signal_input.clone(),
        identity: request.identity.clone(),
        header: request.header.clone(),
        request_id: request.request_id.clone(),
        ..Default::default()
    }
}

/// A signal to a run that still waits for its first task ends the wait (unlike a plain signal).
fn signal_running(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    request: &SignalWithStartWorkflowExecutionRequest,
) -> Decided<answer::Kind> {
    let answer = answered(&run, false);
    run.seen_before(&ctx.op_id);
    if !signal::is_repeated(ctx, &run, &request.request_id)? {
        let extras = Extras { links: request.links.clone(), ..Default::default() };
        signal::receive(ctx, &mut run, signaled(request), extras)?;
        task::schedule(ctx, &mut run, 0)?;
        run.finish(ctx)?;
    }
    Ok(answer)
}

/// Only the very call that started the run is told so: another with its request id hears that the run was there.
fn answered(run: &Run, started: bool) -> answer::Kind {
    let (run_id, status) = (run.row.run_id.clone(), run.row.status);
    answer::Kind::StartWorkflow(StartWorkflowAnswer { run_id, started, status, ..Default::default() })
}

fn start_and_signal(
    ctx: &mut Context<'_, '_>,
    namespace: &NamespaceFacts,
    request: &SignalWithStartWorkflowExecutionRequest,
    run_id: String,
) -> Decided<answer::Kind> {
    let (new, backoff) = start::from_request(ctx, namespace, &start_request(request), &run_id);
    let mut run = start::create(ctx, run_id, new)?;
    run.note_created_by(&ctx.op_id);
    let extras = Extras { links: request.links.clone(), ..Default::default() };
    signal::receive(ctx, &mut run, signaled(request), extras)?;
    start::first_task(ctx, &mut run, backoff)?;
    let answer = answered(&run, true);
    run.finish(ctx)?;
    Ok(answer)
}

fn start_request(request: &SignalWithStartWorkflowExecutionRequest) -> StartWorkflowExecutionRequest {
    let request = request.clone();
    StartWorkflowExecutionRequest {
        workflow_id: request.workflow_id,
        workflow_type: request.workflow_type,
        task_queue: request.task_queue,
        input: request.input,
        workflow_execution_timeout: request.workflow_execution_timeout,
        workflow_run_timeout: request.workflow_run_timeout,
        workflow_task_timeout: request.workflow_task_timeout,
        identity: request.identity,
        request_id: request.request_id,
        retry_policy: request.retry_policy,
        cron_schedule: request.cron_schedule,
        memo: request.memo,
        search_attributes: request.search_attributes,
        header: request.header,
        workflow_start_delay: request.workflow_start_delay,
        user_metadata: request.user_metadata,
        links: request.links,
        versioning_override: request.versioning_override,
        priority: request.priority,
        ..Default::default()
    }
}
