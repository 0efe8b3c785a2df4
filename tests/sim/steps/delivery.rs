//! The leaders bring messages from outbox to inbox: in order or not, once or twice, and stragglers long after.

use statemachine::op::{op::Kind, AckOutbox, Deliver};
use statemachine::tables;

use crate::invariants::delivered_once;
use crate::world::{is_reject, Call};
use crate::{Checked, Random, Violation, World};

/// Deliveries kept to come again.
const STRAGGLERS_MAX: usize = 64;

pub fn deliver(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    deliver_from(world, random, shard).map(|_| ())
}

/// Brings one message of a shard to its target; whether one was taken there, or need not be any more.
pub fn deliver_from(world: &mut World, random: &mut Random, shard: usize) -> Checked<bool> {
    let known = &world.softs[shard].outbox;
    let at = if random.percent(70) { 0 } else { random.index(known.len()) };
    let Some(id) = known.iter().nth(at).copied() else { return Ok(false) };
    let Some(call) = delivery(world, shard, id)? else {
        world.softs[shard].outbox.remove(&id);
        return Ok(true);
    };
    let answer = delivered_once::attempt(world, random, &call, (shard as u32, id))?;
    let answer_lost = !world.calm && random.percent(10);
    let taken = !is_reject(&answer);
    if taken && !answer_lost {
        world.softs[shard].outbox.remove(&id);
        world.softs[shard].applied.push(id);
    }
    world.stragglers.push_back(call);
    if world.stragglers.len() > STRAGGLERS_MAX {
        world.stragglers.pop_front();
    }
    Ok(taken)
}

/// The row as the op that delivers it; `None` once it is gone.
fn delivery(world: &World, shard: usize, id: u64) -> Checked<Option<Call>> {
    let fault = |fault: statemachine::Fault| Violation { invariant: "no_fault", what: fault.to_string() };
    let kv = &world.shards[shard].kv;
    let Some(row) = tables::outbox(kv, id).map_err(fault)? else { return Ok(None) };
    let floor = tables::outbox_floor(kv).map_err(fault)?;
    let target = world.shard_of(&row.namespace_id, &row.workflow_id);
    let kind = Kind::Deliver(Deliver { from_shard: shard as u32, id, floor, op: row.op });
    Ok(Some(Call { shard: target, op_id: Default::default(), kind }))
}

/// Messages that were applied leave the outbox.
pub fn acknowledge(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    let ids = std::mem::take(&mut world.softs[shard].applied);
    if ids.is_empty() {
        return Ok(());
    }
    world.call(random, shard, Kind::AckOutbox(AckOutbox { ids })).map(|_| ())
}

/// A delivery of some time ago arrives once more.
pub fn straggle(world: &mut World, random: &mut Random) -> Checked {
    let at = random.index(world.stragglers.len());
    let Some(call) = world.stragglers.get(at).cloned() else { return Ok(()) };
    let Kind::Deliver(deliver) = &call.kind else { return Ok(()) };
    let id = (deliver.from_shard, deliver.id);
    delivered_once::attempt(world, random, &call, id).map(|_| ())
}
