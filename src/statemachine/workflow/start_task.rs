//! Handing a ready task to a poller. This is an operation, so two pollers can never both get an attempt.

use super::{task, Run};
use crate::op::{answer, StartTask};
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
    task::start(ctx, &mut run, &poller.request_id, &poller.identity)?;
    let answer = task::started_answer(&run).ok_or_else(Reject::workflow_task_not_found)?;
    run.finish(ctx)?;
    Ok(answer::Kind::WorkflowTaskStarted(answer))
}
