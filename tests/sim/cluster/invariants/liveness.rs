//! Once nothing is wrong any more, everything that was begun ends, and all replicas have everything, in good time.

use std::time::Duration;

use sim::{require, Checked};

use crate::record::Record;

const NAME: &str = "liveness";

/// After the last fault.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Whether every node has applied all that any node has.
pub fn caught_up(record: &Record, nodes: u64, shards: u32) -> bool {
    (0..shards).all(|shard| {
        let last = record.committed.last(shard);
        (1..=nodes).all(|node| record.applied_by(node, shard) == last)
    })
}

pub fn check(record: &Record, since: Duration, clients_done: bool, nodes: u64, shards: u32) -> Checked {
    require(record.now < since + LIMIT, NAME, || {
        let behind = |shard: u32| {
            let applied = (1..=nodes).map(|node| record.applied_by(node, shard)).collect::<Vec<_>>();
            format!("shard {shard}: {applied:?} of {}", record.committed.last(shard))
        };
        let replicas = (0..shards).map(behind).collect::<Vec<_>>();
        format!("{LIMIT:?} without faults; clients done: {clients_done}; applied by the nodes: {replicas:?}")
    })
}
