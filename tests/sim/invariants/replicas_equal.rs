//! Replicas at the same index hold the same bytes, however their batches were cut and however often they restarted.

use crate::shard::Shard;
use crate::{require, Checked};

pub fn check(shard: &Shard) -> Checked {
    for replica in shard.replicas() {
        require(replica.rows == shard.kv.rows, "replicas_equal", || {
            let differs = shard.kv.rows.iter().find(|(key, value)| replica.rows.get(*key) != Some(value));
            let more = replica.rows.keys().find(|key| !shard.kv.rows.contains_key(*key));
            format!("the leader's row {differs:?} or the follower's {more:?}")
        })?;
    }
    Ok(())
}
