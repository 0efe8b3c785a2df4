//! The cluster's first entry, and the nodes it consists of.

use super::{members, namespace};
use crate::op::{answer, Done, InitCluster, PutNode};
use crate::reject::Decided;
use crate::{tables, Context, Effect};

/// Writes the cluster's identity, key, slot map, nodes and first namespaces; a second time changes nothing.
pub fn init(ctx: &mut Context<'_, '_>, op: &InitCluster) -> Decided<answer::Kind> {
    if tables::cluster(ctx.txn)?.is_some() {
        return Ok(answer::Kind::Done(Done {}));
    }
    let mut cluster = op.cluster.clone().unwrap_or_default();
    cluster.created = ctx.now;
    tables::put_cluster(ctx.txn, &cluster);
    for range in &op.slots {
        tables::put_slot_range(ctx.txn, range);
    }
    for node in &op.nodes {
        tables::put_node(ctx.txn, node);
    }
    namespace::create_system(ctx);
    for request in &op.namespaces {
        namespace::create(ctx, request);
    }
    ctx.txn.effect(Effect::ClusterChanged);
    Ok(answer::Kind::Done(Done {}))
}

/// A node tells where it listens and which data directory it has.
pub fn put_node(ctx: &mut Context<'_, '_>, op: &PutNode) -> Decided<answer::Kind> {
    if let Some(node) = &op.node {
        members::check_incarnation(ctx, node.node_id, &op.incarnation)?;
        tables::put_node(ctx.txn, node);
        members::remember_incarnation(ctx, node.node_id, &op.incarnation)?;
        ctx.txn.effect(Effect::ClusterChanged);
    }
    Ok(answer::Kind::Done(Done {}))
}
