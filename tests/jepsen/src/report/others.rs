//! What a failover costs shards that keep their leader: how long their writes take meanwhile, against quiet times.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stats::{is_write, takes_leaders};
use super::Struck;
use crate::history::{Nanos, Op, Outcome};
use crate::shards::Shards;

/// From a fault: elections are over by then.
const DURING: Nanos = 2_000_000_000;
/// After a fault's end: leaders have moved back.
const AFTER: Nanos = 4_000_000_000;

/// Writes through nodes that were not hit, on shards that were not led by those that were; and writes in quiet times.
/// Unknown outcomes count with the time they took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Others {
    pub writes: u64,
    pub p99_ms: f64,
    pub quiet_writes: u64,
    pub quiet_p99_ms: f64,
}

pub fn others(struck: &[Struck], ops: &[Op], shards: &Shards) -> Option<Others> {
    of(struck, ops, |key| shards.shard_of(key))
}

fn of(struck: &[Struck], ops: &[Op], shard_of: impl Fn(&str) -> u32) -> Option<Others> {
    let mut shard: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut spared, mut quiet) = (Vec::new(), Vec::new());
    for op in ops.iter().filter(|op| is_write(op) && op.outcome != Outcome::Fail) {
        let shard = *shard.entry(op.key.as_str()).or_insert_with(|| shard_of(&op.key));
        let millis = (op.complete - op.invoke) as f64 / 1e6;
        let met = struck.iter().map(|struck| &struck.fault);
        let mut met = met.filter(|fault| op.invoke < fault.end + AFTER && op.complete > fault.begin).peekable();
        if met.peek().is_none() {
            quiet.push(millis);
        }
        let mut hit = met.filter(|fault| takes_leaders(fault));
        let spares = hit.any(|fault| {
            let at_once = (fault.begin..fault.begin + DURING).contains(&op.invoke);
            at_once && !fault.led.contains(&shard) && !fault.nodes.contains(&op.node)
        });
        if spares {
            spared.push(millis);
        }
    }
    let (writes, quiet_writes) = (spared.len() as u64, quiet.len() as u64);
    Some(Others { writes, p99_ms: p99(spared)?, quiet_writes, quiet_p99_ms: p99(quiet)? })
}

fn p99(mut list: Vec<f64>) -> Option<f64> {
    list.sort_by(f64::total_cmp);
    let at = (list.len().checked_sub(1)? as f64 * 0.99).round() as usize;
    list.get(at).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::done;
    use crate::nemesis::{Fault, Kind};
    use crate::report::stats::Counts;

    /// A signal to the shard `key`, through a node, from and to these milliseconds.
    fn write(key: &str, node: u64, invoke: u64, complete: u64) -> Op {
        let op = done("signals", "number", 1, json!({}), Value::Null);
        Op { key: key.into(), node, invoke: invoke * 1_000_000, complete: complete * 1_000_000, ..op }
    }

    #[test]
    fn only_other_shards_through_other_nodes_count() {
        let ops = [
            write("2", 2, 100, 110),
            write("2", 2, 10_100, 10_140),
            write("1", 2, 10_100, 11_000),
            write("2", 1, 10_100, 15_000),
            write("2", 2, 12_500, 12_900),
        ];
        let second = 1_000_000_000;
        let fault = Fault {
            kind: Kind::Kill,
            what: String::new(),
            nodes: vec![1],
            led: vec![1],
            begin: 10 * second,
            end: 13 * second,
            whole: 14 * second,
            combined: false,
        };
        let struck = [Struck { fault, operations: Counts::default(), next_write_ms: BTreeMap::new() }];
        let found = of(&struck, &ops, |key| key.parse().expect("a number"));
        assert_eq!(found, Some(Others { writes: 1, p99_ms: 40.0, quiet_writes: 1, quiet_p99_ms: 10.0 }));
        assert_eq!(of(&[], &ops, |_| 1), None);
    }
}
