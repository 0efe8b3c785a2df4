//! Deadlines of a run and of its workflow task.

use proto::temporal::api::enums::v1::{RetryState, TimeoutType};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::WorkflowExecutionTimedOutEventAttributes;

use super::{close, retry, task, Run};
use crate::reject::Decided;
use crate::tables::{self, DeadlineKey};
use crate::Context;

/// The open run a deadline belongs to.
fn open_run(ctx: &Context<'_, '_>, key: &DeadlineKey) -> Decided<Option<Run>> {
    let run = tables::run(ctx.txn, key.run)?.map(|row| Run::new(key.run, row));
    Ok(run.filter(Run::is_open))
}

/// The wait before the first workflow task is over.
pub fn first_task(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    let Some(mut run) = open_run(ctx, key)? else { return Ok(()) };
    if run.row.first_task_deadline != key.due {
        return Ok(());
    }
    run.row.first_task_deadline = 0;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}

pub fn task_start_to_close(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    time_out_task(ctx, key, TimeoutType::StartToClose)
}

pub fn task_schedule_to_start(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    time_out_task(ctx, key, TimeoutType::ScheduleToStart)
}

fn time_out_task(ctx: &mut Context<'_, '_>, key: &DeadlineKey, kind: TimeoutType) -> Decided<()> {
    let Some(mut run) = open_run(ctx, key)? else { return Ok(()) };
    let waits_for_start = kind == TimeoutType::ScheduleToStart;
    let due = run.row.task.as_ref().is_some_and(|task| {
        task.stamp == key.stamp && task.deadline == key.due && (task.started_event_id == 0) == waits_for_start
    });
    if !due {
        return Ok(());
    }
    task::time_out(ctx, &mut run, kind)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}

/// The run, or the chain it belongs to, has taken too long: it is retried, run again by its cron schedule, or closed.
pub fn run(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    let Some(mut run) = open_run(ctx, key)? else { return Ok(()) };
    if run.row.run_deadline != key.due {
        return Ok(());
    }
    run.row.run_deadline = 0;
    let chain_over = run.row.execution_deadline != 0 && ctx.now >= run.row.execution_deadline;
    let next = if chain_over { retry::Next::Close(RetryState::Timeout) } else { retry::after_run_timeout(ctx, &run)? };
    close::end_running_task(ctx, &mut run)?;
    let mut successor = None;
    let retry_state = match next {
        retry::Next::Close(state) => state,
        retry::Next::Run { state, start } => {
            successor = Some(start);
            state
        }
    };
    let new_run_id = successor.as_ref().map(|_| ctx.new_id()).unwrap_or_default();
    let timed_out = WorkflowExecutionTimedOutEventAttributes {
        retry_state: retry_state as i32,
        new_execution_run_id: new_run_id.clone(),
    };
    run.add(ctx, Attributes::WorkflowExecutionTimedOutEventAttributes(timed_out))?;
    match successor {
        Some(start) => close::finish_with_successor(ctx, run, new_run_id, start),
        None => close::finish(ctx, run),
    }
}
