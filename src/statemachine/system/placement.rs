//! Who is to vote in which shard. The planner on the system shard's leader writes it, each shard's leader makes its Raft
//! group so and says `settle`. Versions keep a planner or a leader that is behind from undoing what came later.

use super::members::refuse;
use crate::op::{answer, Done, PlaceShard, PreferLeader, SettleShard};
use crate::reject::Decided;
use crate::{state, tables, Context, Effect};

/// New voters of a shard. Those of before may vote until it has settled.
pub fn place(ctx: &mut Context<'_, '_>, op: &PlaceShard) -> Decided<answer::Kind> {
    let before = tables::placement(ctx.txn, op.shard)?.unwrap_or_default();
    if before.version != op.version {
        return refuse(format!("shard {} was placed anew meanwhile", op.shard));
    }
    if op.voters.is_empty() {
        return refuse(format!("shard {} needs a voter", op.shard));
    }
    let mut voters = op.voters.clone();
    voters.sort_unstable();
    voters.dedup();
    let mut previous = before.previous;
    previous.extend(before.voters);
    previous.sort_unstable();
    previous.dedup();
    let row = state::Placement {
        shard: op.shard,
        voters,
        version: before.version + 1,
        settled: before.settled,
        preferred_leader: before.preferred_leader,
        previous,
    };
    put(ctx, &row)
}

/// The Raft group has reached a version.
pub fn settle(ctx: &mut Context<'_, '_>, op: &SettleShard) -> Decided<answer::Kind> {
    let Some(mut row) = tables::placement(ctx.txn, op.shard)? else { return Ok(answer::Kind::Done(Done {})) };
    if row.version != op.version || row.settled == op.version {
        return Ok(answer::Kind::Done(Done {}));
    }
    row.settled = op.version;
    row.previous.clear();
    if !row.voters.contains(&row.preferred_leader) {
        row.preferred_leader = 0;
    }
    put(ctx, &row)
}

/// Who should lead a shard whenever it can.
pub fn prefer(ctx: &mut Context<'_, '_>, op: &PreferLeader) -> Decided<answer::Kind> {
    let Some(mut row) = tables::placement(ctx.txn, op.shard)? else {
        return refuse(format!("there is no shard {}", op.shard));
    };
    if op.node_id != 0 && !row.voters.contains(&op.node_id) {
        return refuse(format!("node {} is no voter of shard {}", op.node_id, op.shard));
    }
    row.preferred_leader = op.node_id;
    put(ctx, &row)
}

fn put(ctx: &mut Context<'_, '_>, row: &state::Placement) -> Decided<answer::Kind> {
    tables::put_placement(ctx.txn, row);
    ctx.txn.effect(Effect::ClusterChanged);
    Ok(answer::Kind::Done(Done {}))
}
