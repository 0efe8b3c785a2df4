//! A change that concerns every run of a namespace: another retention, or its deletion. The change stands in the
//! namespace's row until each data shard has applied it to its runs, page by page; the leader of the system shard drives
//! that (effects), and whoever leads next goes on from the row.

use crate::op::{answer, Done, EndSweep};
use crate::reject::Decided;
use crate::state::{Namespace, Sweep};
use crate::{tables, Context, Effect, Fault};

/// Begins a sweep, in place of one that is under way.
pub fn begin(ctx: &Context<'_, '_>, row: &mut Namespace, sweep: Sweep) -> Decided<()> {
    if tables::cluster(ctx.txn)?.is_none_or(|cluster| cluster.data_shards == 0) {
        return Ok(());
    }
    row.sweeps += 1;
    row.sweep = Some(Sweep { number: row.sweeps, ..sweep });
    Ok(())
}

/// A shard is done. After the last one the change is over, and a deleted namespace is gone.
pub fn end(ctx: &mut Context<'_, '_>, op: &EndSweep) -> Decided<answer::Kind> {
    let done = Ok(answer::Kind::Done(Done {}));
    let Some(mut row) = tables::namespace(ctx.txn, &op.namespace_id)? else { return done };
    let Some(sweep) = row.sweep.as_mut().filter(|sweep| sweep.number == op.number) else { return done };
    if sweep.shards_done.contains(&op.shard) {
        return done;
    }
    sweep.shards_done.push(op.shard);
    let cluster = tables::cluster(ctx.txn)?.ok_or_else(|| Fault::corrupt("cluster row", "it is gone"))?;
    let over = (1..=cluster.data_shards).all(|shard| sweep.shards_done.contains(&shard));
    let drop = sweep.drop;
    if over {
        row.sweep = None;
    }
    if over && drop {
        remove(ctx, &row)?;
    } else {
        tables::put_namespace(ctx.txn, &row);
    }
    done
}

fn remove(ctx: &mut Context<'_, '_>, row: &Namespace) -> Decided<()> {
    for config in tables::queue_configs(ctx.txn, Some(&row.id), usize::MAX)? {
        super::queue_config::remove(ctx, &config);
    }
    tables::delete_namespace(ctx.txn, row);
    let name = row.info.as_ref().map(|info| info.name.clone()).unwrap_or_default();
    ctx.txn.effect(Effect::NamespaceChanged { id: row.id.clone(), name });
    Ok(())
}
