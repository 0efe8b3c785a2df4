//! Time passes, in steps and leaps, and leaders notice what is due.

use statemachine::op::{answer, op::Kind, Tick};
use statemachine::time::{DAY, HOUR, MINUTE, SECOND};

use crate::{Checked, Random, World};

pub fn advance(world: &mut World, random: &mut Random) -> Checked {
    world.now += random.between(0, 5 * SECOND);
    Ok(())
}

pub fn jump(world: &mut World, random: &mut Random) -> Checked {
    world.now += random.one_of([MINUTE, 10 * MINUTE, 3 * HOUR, DAY]);
    Ok(())
}

/// A leader whose alarm has come fires what is due.
pub fn tick(world: &mut World, random: &mut Random) -> Checked {
    let shard = random.index(world.shards.len());
    let now = world.now + world.shards[shard].skew;
    if world.softs[shard].alarm.is_none_or(|alarm| alarm > now) {
        return Ok(());
    }
    let max = random.one_of([1, 3, 64]);
    let answer = world.call(random, shard, Kind::Tick(Tick { max }))?;
    if !matches!(answer.kind, Some(answer::Kind::Tick(tick)) if tick.more) {
        // As the real one: what is due next stands in the table.
        let first = statemachine::tables::DeadlineKey::first(&world.shards[shard].kv).ok().flatten();
        world.softs[shard].alarm = first.map(|key| key.due);
    }
    Ok(())
}
