//! Fires what is due. The leader proposes a Tick when the earliest deadline has come; applying it takes the due rows
//! in order and lets each entity decide. A row whose entity has moved on (another stamp) is dropped.

use crate::op::{answer, Tick, TickAnswer};
use crate::reject::Decided;
use crate::tables::{DeadlineKey, DeadlineKind};
use crate::{activity, callback, timer, workflow, Context};

/// A Tick fires at most so many rows, whatever it asks for.
const ROWS_MAX: u32 = 1024;

pub fn tick(ctx: &mut Context<'_, '_>, op: &Tick) -> Decided<answer::Kind> {
    let max = op.max.clamp(1, ROWS_MAX) as usize;
    let due = DeadlineKey::due(ctx.txn, ctx.now, max)?;
    let mut fired = 0;
    for (key, name) in &due {
        key.delete(ctx.txn);
        fire(ctx, key, name)?;
        fired += 1;
    }
    Ok(answer::Kind::Tick(TickAnswer { fired, more: due.len() == max }))
}

fn fire(ctx: &mut Context<'_, '_>, key: &DeadlineKey, name: &str) -> Decided<()> {
    match key.kind {
        DeadlineKind::FirstTask => workflow::timeouts::first_task(ctx, key),
        DeadlineKind::TaskStartToClose => workflow::timeouts::task_start_to_close(ctx, key),
        DeadlineKind::TaskScheduleToStart => workflow::timeouts::task_schedule_to_start(ctx, key),
        DeadlineKind::ActivityTimeout => activity::deadlines::fire_timeout(ctx, key),
        DeadlineKind::ActivityRetry => activity::deadlines::fire_retry(ctx, key),
        DeadlineKind::Timer => timer::fire(ctx, key, name),
        DeadlineKind::RunTimeout => workflow::timeouts::run(ctx, key),
        DeadlineKind::Retention => workflow::retention::expire(ctx, key),
        DeadlineKind::CallbackRetry => callback::retry(ctx, key),
    }
}
