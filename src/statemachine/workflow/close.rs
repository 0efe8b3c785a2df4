//! What every end of a run has in common.

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::WorkflowExecutionTerminatedEventAttributes;

use super::run::Extras;
use super::start::{self, NewRun};
use super::{buffer, retention, task, Run};
use crate::reject::Decided;
use crate::{activity, callback, child, timer, update, Context, Effect};

/// Who acts when the server itself closes a run.
pub const SERVER_IDENTITY: &str = "history-service";

/// Before a run is closed from outside: a running task fails, and what was held back enters the history.
pub fn end_running_task(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.task_started() {
        task::fail(ctx, run, Cause::ForceCloseCommand, None, SERVER_IDENTITY, "")?;
    } else {
        task::drop_speculative(ctx, run);
    }
    buffer::flush(ctx, run)?;
    Ok(())
}

/// Writes a closed run: nothing of it is due any more but its retention.
pub fn finish(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    child::end::apply_policies(ctx, &run)?;
    settle(ctx, &mut run)?;
    child::end::tell_parent(ctx, &run)?;
    callback::schedule_all(ctx, &run)?;
    run.finish(ctx)
}

/// Like [`finish`], when a reset of an earlier run ends this one: nothing of it goes on in the new run but what its
/// parent waits for (Temporal: processCloseExecution, processCloseCallbacks; only the run that is reset knows the new one).
pub fn finish_for_reset_of_another(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    child::end::apply_policies(ctx, &run)?;
    settle(ctx, &mut run)?;
    callback::schedule_all(ctx, &run)?;
    run.current_changed = false;
    run.finish(ctx)
}

/// Like [`finish`], when a reset puts another run in its place: its parent, its children and its callbacks are that
/// run's now.
pub fn finish_replaced(ctx: &mut Context<'_, '_>, mut run: Run) -> Decided<()> {
    settle(ctx, &mut run)?;
    run.current_changed = false;
    run.finish(ctx)
}

/// Like [`finish`], with the run that follows it in the same write, to which its callbacks go on.
pub fn finish_with_successor(
    ctx: &mut Context<'_, '_>,
    mut run: Run,
    new_run_id: String,
    successor: NewRun,
) -> Decided<()> {
    child::end::apply_policies(ctx, &run)?;
    settle(ctx, &mut run)?;
    run.current_changed = false;
    run.finish(ctx)?;
    let backoff = crate::time::nanos_or_zero(successor.started.first_workflow_task_backoff.as_ref());
    let mut next = start::create(ctx, new_run_id, successor)?;
    start::first_task(ctx, &mut next, backoff)?;
    next.finish(ctx)
}

fn settle(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.row.run_deadline != 0 {
        start::run_deadline(run).delete(ctx.txn);
        run.row.run_deadline = 0;
    }
    task::disarm_first_task(ctx, run);
    activity::close_all(ctx, run)?;
    timer::close_all(ctx, run)?;
    update::close_all(ctx, run)?;
    run.row.sticky = None;
    run.row.last_close_batch_event_id = run.row.next_event_id - 1;
    ctx.txn.effect(Effect::RunEnded { namespace: run.row.namespace.clone(), status: run.status() });
    retention::arm(ctx, run)
}

/// Terminates an open run; the caller finishes it.
pub fn terminate(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    terminated: WorkflowExecutionTerminatedEventAttributes,
    extras: Extras,
) -> Decided<()> {
    end_running_task(ctx, run)?;
    run.add_with(ctx, Attributes::WorkflowExecutionTerminatedEventAttributes(terminated), extras)?;
    Ok(())
}

/// Terminates a run for the server's own reason.
pub fn terminate_by_server(ctx: &mut Context<'_, '_>, run: &mut Run, reason: &str) -> Decided<()> {
    let terminated = WorkflowExecutionTerminatedEventAttributes {
        reason: reason.into(),
        identity: SERVER_IDENTITY.into(),
        ..Default::default()
    };
    terminate(ctx, run, terminated, Extras::default())
}

/// A run whose history has grown too long ends here (SEMANTICS B28).
pub fn enforce_history_limits(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if !run.is_open() {
        return Ok(());
    }
    let reason = if run.row.next_event_id - 1 > ctx.limits.history_events {
        "Workflow history count exceeds limit."
    } else if run.row.history_size > ctx.limits.history_bytes {
        "Workflow history size exceeds limit."
    } else {
        return Ok(());
    };
    terminate_by_server(ctx, run, reason)?;
    child::end::apply_policies(ctx, run)?;
    settle(ctx, run)?;
    child::end::tell_parent(ctx, run)?;
    callback::schedule_all(ctx, run)
}

/// Too much is held back behind the running task: it fails, and a new one gets to see it.
pub fn enforce_buffer_limits(ctx: &mut Context<'_, '_>, run: &mut Run) -> Decided<()> {
    if run.task_started() && buffer::is_over_limit(ctx, run) {
        task::fail(ctx, run, Cause::ForceCloseCommand, None, SERVER_IDENTITY, "")?;
        task::schedule_written(ctx, run)?;
    }
    Ok(())
}
