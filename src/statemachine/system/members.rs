//! Who belongs to the cluster. What is decided here is a wish: the leaders of the shards carry it out, and `finish` says
//! that they have. A node id is used once: a node that lost its data directory would vote twice under its old one.

use crate::op::{answer, Done, DrainNode, FinishNode, JoinNode, RemoveNode};
use crate::reject::{code, Decided, Stop};
use crate::state::MemberState;
use crate::{state, tables, Context, Effect, Reject};

/// A new member. The same node may ask again; it stays what it is.
pub fn join(ctx: &mut Context<'_, '_>, op: &JoinNode) -> Decided<answer::Kind> {
    let node = op.node.clone().unwrap_or_default();
    let id = node.node_id;
    if tables::cluster(ctx.txn)?.is_none() {
        return refuse("the cluster is not bootstrapped yet");
    }
    if id == 0 || node.peer_address.is_empty() || op.incarnation.is_empty() {
        return Err(Reject::invalid_argument("a node joins with an id, an address and an incarnation").into());
    }
    check_incarnation(ctx, id, &op.incarnation)?;
    let known = tables::nodes(ctx.txn)?;
    if let Some(other) = known.iter().find(|other| other.peer_address == node.peer_address && other.node_id != id) {
        return refuse(format!("node {} is at {} already", other.node_id, node.peer_address));
    }
    let is_new = !known.iter().any(|known| known.node_id == id);
    tables::put_node(ctx.txn, &node);
    remember_incarnation(ctx, id, &op.incarnation)?;
    if is_new {
        let mut row = member(ctx, id)?;
        row.set_state(MemberState::Joining);
        tables::put_member(ctx.txn, &row);
    }
    changed(ctx)
}

/// The node is to leave. One at a time, so that each is judged by what the one before leaves behind.
pub fn remove(ctx: &mut Context<'_, '_>, op: &RemoveNode) -> Decided<answer::Kind> {
    let id = op.node_id;
    let nodes = tables::nodes(ctx.txn)?;
    let mut row = known(ctx, id)?;
    if let Some(other) = tables::members(ctx.txn)?.iter().find(|other| is_leaving(other) && other.node_id != id) {
        return refuse(format!("node {} is still leaving: one node at a time", other.node_id));
    }
    if nodes.len() < 2 {
        return refuse(format!("node {id} is the only one"));
    }
    if op.replaced_by != 0 {
        if op.replaced_by == id {
            return refuse(format!("node {id} cannot replace itself"));
        }
        known(ctx, op.replaced_by)?;
    }
    row.set_state(MemberState::Leaving);
    row.replaced_by = op.replaced_by;
    tables::put_member(ctx.txn, &row);
    changed(ctx)
}

/// A joining node is in its place, or a leaving one has none any more. Otherwise nothing happens.
pub fn finish(ctx: &mut Context<'_, '_>, op: &FinishNode) -> Decided<answer::Kind> {
    let Some(mut row) = tables::member(ctx.txn, op.node_id)? else { return Ok(answer::Kind::Done(Done {})) };
    match row.state() {
        MemberState::Joining => row.set_state(MemberState::Active),
        MemberState::Leaving => {
            let placed = tables::placements(ctx.txn)?;
            if let Some(place) = placed.iter().find(|place| may_vote(place, op.node_id)) {
                return refuse(format!("node {} may still vote in shard {}", op.node_id, place.shard));
            }
            row.set_state(MemberState::Removed);
            row.draining = false;
            tables::delete_node(ctx.txn, op.node_id);
        }
        MemberState::Unspecified | MemberState::Active | MemberState::Removed => {
            return Ok(answer::Kind::Done(Done {}));
        }
    }
    tables::put_member(ctx.txn, &row);
    changed(ctx)
}

/// Whether leaderships are kept away from the node.
pub fn drain(ctx: &mut Context<'_, '_>, op: &DrainNode) -> Decided<answer::Kind> {
    let mut row = known(ctx, op.node_id)?;
    if row.draining != op.draining {
        row.draining = op.draining;
        tables::put_member(ctx.txn, &row);
        ctx.txn.effect(Effect::ClusterChanged);
    }
    Ok(answer::Kind::Done(Done {}))
}

/// A removed node does not come back, and a node keeps its data directory.
pub(super) fn check_incarnation(ctx: &mut Context<'_, '_>, id: u64, incarnation: &[u8]) -> Result<(), Stop> {
    let Some(row) = tables::member(ctx.txn, id)? else { return Ok(()) };
    if row.state() == MemberState::Removed {
        let why = format!("node {id} was removed; a node id is used once: take another one");
        return Err(Reject::new(code::FAILED_PRECONDITION, why).into());
    }
    if !row.incarnation.is_empty() && !incarnation.is_empty() && row.incarnation != incarnation {
        let why = format!(
            "node {id} is a member with another data directory: start a node with a new id and replace {id} by it"
        );
        return Err(Reject::new(code::FAILED_PRECONDITION, why).into());
    }
    Ok(())
}

pub(super) fn remember_incarnation(ctx: &mut Context<'_, '_>, id: u64, incarnation: &[u8]) -> Result<(), Stop> {
    let mut row = member(ctx, id)?;
    if !incarnation.is_empty() && row.incarnation.is_empty() {
        row.incarnation = bytes::Bytes::copy_from_slice(incarnation);
        tables::put_member(ctx.txn, &row);
    }
    Ok(())
}

/// The row of a node that is a member; a node without one is active.
fn known(ctx: &mut Context<'_, '_>, id: u64) -> Result<state::Member, Stop> {
    if tables::node(ctx.txn, id)?.is_none() {
        return Err(Reject::new(code::FAILED_PRECONDITION, format!("node {id} is not a member")).into());
    }
    member(ctx, id)
}

fn member(ctx: &mut Context<'_, '_>, id: u64) -> Result<state::Member, Stop> {
    let row = tables::member(ctx.txn, id)?;
    Ok(row.unwrap_or_else(|| state::Member { node_id: id, state: MemberState::Active as i32, ..Default::default() }))
}

fn is_leaving(member: &state::Member) -> bool {
    member.state() == MemberState::Leaving
}

fn may_vote(place: &state::Placement, node_id: u64) -> bool {
    place.voters.contains(&node_id) || place.previous.contains(&node_id)
}

fn changed(ctx: &mut Context<'_, '_>) -> Decided<answer::Kind> {
    ctx.txn.effect(Effect::ClusterChanged);
    Ok(answer::Kind::Done(Done {}))
}

pub(super) fn refuse(why: impl Into<String>) -> Decided<answer::Kind> {
    Err(Reject::new(code::FAILED_PRECONDITION, why).into())
}
