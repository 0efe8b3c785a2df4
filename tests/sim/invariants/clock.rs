//! Time within a shard never goes backwards, whatever its leaders' clocks say.

use crate::ledger::Ledger;
use crate::view::ShardView;
use crate::{require, Checked};

pub fn check(shard: usize, view: &ShardView<'_>, ledger: &mut Ledger) -> Checked {
    let before = ledger.times.insert(shard, view.time).unwrap_or_default();
    require(view.time >= before, "clock", || format!("shard {shard}: from {before} to {}", view.time))
}
