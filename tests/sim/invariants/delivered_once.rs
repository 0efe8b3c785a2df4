//! A message takes effect once at its target, however often and late it arrives, and is never refused for good.

use statemachine::op::{answer, Answer};
use statemachine::reject::code;

use super::doubled;
use crate::world::Call;
use crate::{require, Checked, Random, World};

const NAME: &str = "delivered_once";

/// Delivers a message that is known by its shard and number.
pub fn attempt(world: &mut World, random: &mut Random, call: &Call, id: (u32, u64)) -> Checked<Answer> {
    if world.ledger.delivered.contains(&id) {
        let proposal = world.proposal(random, call);
        let (_, writes) = world.shards[call.shard].apply(&proposal)?;
        let changed = doubled::changes(&world.shards[call.shard].kv, &writes);
        require(changed.is_empty(), NAME, || format!("message {id:?} took effect again: {changed:?}"))?;
    }
    let answer = world.attempt(random, call)?;
    match &answer.kind {
        Some(answer::Kind::Reject(reject)) => {
            require(reject.code == code::RESOURCE_EXHAUSTED, NAME, || format!("{id:?} is refused: {reject:?}"))?;
        }
        _ => {
            world.ledger.delivered.insert(id);
        }
    }
    Ok(answer)
}
