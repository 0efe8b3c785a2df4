//! A worker says how far it is. No event, and of the rows only the activity's own is written.

use prost::Message;

use super::finish::fail_too_large;
use super::{lookup, texts};
use crate::op::{answer, HeartbeatActivity, HeartbeatAnswer};
use crate::reject::Decided;
use crate::{tables, Context};

pub fn decide(ctx: &mut Context<'_, '_>, op: &HeartbeatActivity) -> Decided<answer::Kind> {
    let mut run = lookup::run(ctx, op.task.as_ref())?;
    let size = op.details.as_ref().map(Message::encoded_len).unwrap_or_default();
    if size > ctx.limits.blob_size {
        if !run.seen_before(&ctx.op_id) {
            let activity = lookup::started(ctx, &run, op.task.as_ref())?;
            fail_too_large(ctx, run, activity, texts::HEARTBEAT_TOO_LARGE, &op.identity)?;
        }
        return Ok(answer::Kind::Heartbeat(HeartbeatAnswer { cancel_requested: true, ..Default::default() }));
    }
    let mut activity = lookup::started(ctx, &run, op.task.as_ref())?;
    activity.heartbeat_details.clone_from(&op.details);
    activity.last_heartbeat_time = ctx.now;
    tables::put_activity(ctx.txn, run.key, &activity);
    Ok(answer::Kind::Heartbeat(HeartbeatAnswer {
        cancel_requested: activity.cancel_requested,
        paused: activity.pause.is_some(),
        reset: activity.reset_requested,
    }))
}
