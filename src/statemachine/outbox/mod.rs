//! Messages between workflows, whichever shards they are on: written by the op that causes them, carried by the leader
//! until the target has applied them, applied there once.
//!
//! ```text
//!   source: send ─► Outbox row ─► effects: Deliver{from, id, floor} ─► target: Inbox row + the message's own effect
//!              ◄─ AckOutbox ◄──────────── Done ◄──────────────────────┘   (delivered again: Done, nothing else)
//! ```
//!
//! An id stays in the target's inbox until the source's floor has passed it: the source holds no older message any
//! more, and a straggler of an earlier leader is below the floor. What a message finds is never an error: the answer,
//! where one is due, is a message back.

use prost::Message;

use crate::op::{answer, op::Kind, AckOutbox, Deliver, Done, Op};
use crate::reject::{code, Decided};
use crate::{child, external, state, tables, Context, Effect, Reject};

/// Leaves a message to a workflow and returns its id.
pub fn send(ctx: &mut Context<'_, '_>, namespace_id: &str, workflow_id: &str, kind: Kind) -> Decided<u64> {
    let id = tables::next_outbox_id(ctx.txn)?;
    let op = Op { kind: Some(kind) }.encode_to_vec().into();
    let row = state::Outbox { id, op, workflow_id: workflow_id.into(), namespace_id: namespace_id.into() };
    tables::put_outbox(ctx.txn, &row);
    ctx.txn.effect(Effect::OutboxReady { id });
    Ok(id)
}

/// Takes a message back that is not needed any more. It may have been delivered.
pub fn withdraw(ctx: &mut Context<'_, '_>, id: u64) {
    if id != 0 {
        tables::delete_outbox(ctx.txn, id);
    }
}

/// Messages that were applied at their targets.
pub fn ack(ctx: &mut Context<'_, '_>, op: &AckOutbox) -> answer::Kind {
    for &id in &op.ids {
        tables::delete_outbox(ctx.txn, id);
    }
    answer::Kind::Done(Done {})
}

/// A message of this or another shard has arrived. A Reject leaves it undelivered: it comes again.
pub fn deliver(ctx: &mut Context<'_, '_>, op: &Deliver) -> Decided<answer::Kind> {
    if tables::is_delivered(ctx.txn, op.from_shard, op.id)? {
        return Ok(answer::Kind::Done(Done {}));
    }
    tables::raise_floor(ctx.txn, op.from_shard, op.floor)?;
    tables::put_delivered(ctx.txn, op.from_shard, op.id);
    let message = Op::decode(op.op.clone()).map_err(|error| Reject::new(code::INTERNAL, error.to_string()))?;
    match &message.kind {
        Some(Kind::StartChild(message)) => child::start::create(ctx, message)?,
        Some(Kind::ScheduleFirstTask(message)) => child::start::schedule_first_task(ctx, message)?,
        Some(Kind::EndChild(message)) => child::end::decide(ctx, message)?,
        Some(Kind::ReportChildStart(message)) => child::report::start(ctx, message)?,
        Some(Kind::ReportChildClose(message)) => child::report::close(ctx, message)?,
        Some(Kind::SignalExternal(message)) => external::receive::signal(ctx, message)?,
        Some(Kind::CancelExternal(message)) => external::receive::cancel(ctx, message)?,
        Some(Kind::ReportExternal(message)) => external::report::decide(ctx, message)?,
        _ => return Err(Reject::new(code::UNIMPLEMENTED, "this node does not know the message").into()),
    }
    Ok(answer::Kind::Done(Done {}))
}
