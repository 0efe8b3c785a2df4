//! Calls on the system shard are applied once, however often they are tried: the answers of the last ones are kept.

use prost::Message;

use crate::op::{answer, Answer};
use crate::reject::Decided;
use crate::{state, tables, Context, Fault};

/// Decides a call, unless it was applied before: then it answers as it did. A refused call is decided again.
pub fn once<'a, 'b>(
    ctx: &mut Context<'a, 'b>,
    decide: impl FnOnce(&mut Context<'a, 'b>) -> Decided<answer::Kind>,
) -> Decided<answer::Kind> {
    if ctx.op_id.is_empty() {
        return decide(ctx);
    }
    if let Some(seen) = tables::system_call(ctx.txn, &ctx.op_id)? {
        let answer = Answer::decode(seen.answer).map_err(|error| Fault::corrupt("system call row", error))?;
        return Ok(answer.kind.ok_or_else(|| Fault::corrupt("system call row", "no answer"))?);
    }
    let kind = decide(ctx)?;
    let answer = Answer { kind: Some(kind.clone()), reserved: Vec::new() };
    let row = state::SystemCall { op_id: ctx.op_id.clone().into(), answer: answer.encode_to_vec().into() };
    tables::put_system_call(ctx.txn, &row)?;
    Ok(kind)
}
