//! Replicas that have applied the same entries hold the same rows, also after restarts and snapshots.

use std::collections::BTreeMap;

use sim::{require, Checked};

/// By shard and index: the digest of all rows, and who had it first.
#[derive(Debug, Default)]
pub struct States(BTreeMap<(u32, u64), (u64, u64)>);

impl States {
    pub fn seen(&mut self, node: u64, shard: u32, index: u64, digest: u64) -> Checked {
        let (first, by) = *self.0.entry((shard, index)).or_insert((digest, node));
        require(first == digest, "states", || {
            format!("shard {shard} at {index}: n{node} has {digest:016x}, n{by} has {first:016x}")
        })
    }
}
