//! Handing a ready task to a poller, and taking it back from one that never got it. These are operations, so two pollers
//! can never both get an attempt.

use proto::temporal::api::enums::v1::TimeoutType;

use super::{close, task, Run};
use crate::op::{answer, Done, ReturnTask, StartTask};
use crate::reject::Decided;
use crate::{activity, Context, Fault, Reject, TaskType};

pub fn decide(ctx: &mut Context<'_, '_>, op: &StartTask) -> Decided<answer::Kind> {
    let wanted = op.task.as_ref().ok_or_else(|| Fault::corrupt("start-task op", "no task"))?;
    if wanted.task_type == TaskType::Activity as i32 {
        return activity::start::decide(ctx, op);
    }
    let poller = op.poller.clone().unwrap_or_default();
    let mut run = Run::load_open(ctx, &wanted.namespace_id, &wanted.workflow_id, &wanted.run_id)?;
    let Some(waiting) = run.row.task.as_ref().filter(|task| task.stamp == wanted.stamp) else {
        return Err(Reject::workflow_task_not_found().into());
    };
    if waiting.started_event_id != 0 {
        let again = waiting.request_id == poller.request_id;
        let answer = task::started_answer(&run).filter(|_| again);
        return answer.map(answer::Kind::WorkflowTaskStarted).ok_or_else(|| Reject::workflow_task_not_found().into());
    }
    if run.row.pause.is_some() {
        return Err(Reject::workflow_task_not_found().into());
    }
    task::start(ctx, &mut run, &poller.request_id, &poller.identity)?;
    close::enforce_history_limits(ctx, &mut run)?;
    if !run.is_open() {
        run.finish(ctx)?;
        return Ok(answer::Kind::Reject(*Reject::workflow_completed().0));
    }
    let answer = task::started_answer(&run).ok_or_else(Reject::workflow_task_not_found)?;
    run.finish(ctx)?;
    Ok(answer::Kind::WorkflowTaskStarted(answer))
}

/// The poller went away before it could learn of its task. An activity's start left no event, so the attempt simply
/// waits again; a workflow task's did: it ends as it would have without this, but now.
pub fn give_back(ctx: &mut Context<'_, '_>, op: &ReturnTask) -> Decided<answer::Kind> {
    let given = op.task.as_ref().ok_or_else(|| Fault::corrupt("return-task op", "no task"))?;
    if given.task_type == TaskType::Activity as i32 {
        return activity::start::give_back(ctx, given);
    }
    let mut run = Run::load_open(ctx, &given.namespace_id, &given.workflow_id, &given.run_id)?;
    if !task::is_running(&run, given) {
        return Err(Reject::workflow_task_not_found().into());
    }
    task::time_out(ctx, &mut run, TimeoutType::StartToClose)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)?;
    Ok(answer::Kind::Done(Done {}))
}
