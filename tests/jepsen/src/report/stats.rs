//! Numbers from operations and faults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Struck;
use crate::history::{Nanos, Op, Outcome};
use crate::nemesis::{Fault, Kind};
use crate::shards::Shards;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub ok: u64,
    pub failed: u64,
    pub unknown: u64,
}

impl Counts {
    pub fn of<'a>(ops: impl Iterator<Item = &'a Op>) -> Self {
        let mut counts = Self::default();
        for op in ops {
            match op.outcome {
                Outcome::Ok => counts.ok += 1,
                Outcome::Fail => counts.failed += 1,
                Outcome::Info => counts.unknown += 1,
            }
        }
        counts
    }

    pub fn all(self) -> u64 {
        self.ok + self.failed + self.unknown
    }
}

/// The longest time in which a shard acknowledged nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pause {
    pub shard: u32,
    pub from: Nanos,
    pub seconds: f64,
}

/// Milliseconds from the fault to the next acknowledged write of each shard that lost its leader.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Failover {
    pub faults: u64,
    pub shards: u64,
    pub median_ms: f64,
    pub p99_ms: f64,
    pub worst_ms: f64,
}

/// Acknowledged writes of each data shard, by the time of the acknowledgement: (invoke, complete).
pub struct Writes(BTreeMap<u32, Vec<(Nanos, Nanos)>>);

impl Writes {
    pub fn of(ops: &[Op], shards: &Shards) -> Self {
        let mut writes: BTreeMap<u32, Vec<(Nanos, Nanos)>> = BTreeMap::new();
        for op in ops.iter().filter(|op| op.ok() && is_write(op)) {
            writes.entry(shards.shard_of(&op.key)).or_default().push((op.invoke, op.complete));
        }
        for list in writes.values_mut() {
            list.sort_unstable_by_key(|(_, complete)| *complete);
        }
        Self(writes)
    }

    pub fn longest_pauses(&self) -> Vec<Pause> {
        let longest = |(&shard, list): (&u32, &Vec<(Nanos, Nanos)>)| {
            let gap = list.windows(2).map(|two| (two[1].1 - two[0].1, two[0].1)).max().unwrap_or_default();
            Pause { shard, from: gap.1, seconds: gap.0 as f64 / 1e9 }
        };
        self.0.iter().map(longest).collect()
    }

    /// Until the next acknowledgement of a write that was sent after the moment: one sent before may have been the old
    /// leader's last.
    fn next_after(&self, shard: u32, moment: Nanos) -> Option<Nanos> {
        let list = self.0.get(&shard)?;
        let from = list.partition_point(|(_, complete)| *complete <= moment);
        list[from..].iter().find(|(invoke, _)| *invoke >= moment).map(|(_, complete)| complete - moment)
    }
}

pub fn is_write(op: &Op) -> bool {
    matches!(op.f.as_str(), "number" | "start" | "transfer" | "update")
}

/// Whether a fault takes leaderships away from the nodes it is aimed at, while the others can elect and are left alone.
pub fn takes_leaders(fault: &Fault) -> bool {
    let kind = fault.kind;
    let processes = matches!(kind, Kind::Kill | Kind::Pause | Kind::Restart | Kind::LoseUnsynced | Kind::Eio);
    !fault.combined && (processes || matches!(kind, Kind::Isolate | Kind::Mute | Kind::Deaf))
}

pub fn strike(faults: Vec<Fault>, ops: &[Op], writes: &Writes) -> Vec<Struck> {
    let one = |fault: Fault| {
        let during = ops.iter().filter(|op| op.invoke < fault.end && op.complete > fault.begin);
        let next = |&shard: &u32| Some((shard, writes.next_after(shard, fault.begin)? as f64 / 1e6));
        let next_write_ms = match takes_leaders(&fault) {
            true => fault.led.iter().filter_map(next).collect(),
            false => BTreeMap::new(),
        };
        Struck { operations: Counts::of(during), next_write_ms, fault }
    };
    faults.into_iter().map(one).collect()
}

pub fn failovers(struck: &[Struck]) -> BTreeMap<String, Failover> {
    let mut kinds: BTreeMap<String, (u64, Vec<f64>)> = BTreeMap::new();
    for struck in struck.iter().filter(|struck| !struck.next_write_ms.is_empty()) {
        let (faults, list) = kinds.entry(struck.fault.kind.name()).or_default();
        *faults += 1;
        list.extend(struck.next_write_ms.values());
    }
    let summed = |(kind, (faults, mut list)): (String, (u64, Vec<f64>))| {
        list.sort_by(f64::total_cmp);
        let at = |share: f64| list[((list.len() - 1) as f64 * share).round() as usize];
        let shards = list.len() as u64;
        (kind, Failover { faults, shards, median_ms: at(0.5), p99_ms: at(0.99), worst_ms: at(1.0) })
    };
    kinds.into_iter().map(summed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(list: &[(Nanos, Nanos)]) -> Writes {
        Writes(BTreeMap::from([(1, list.iter().map(|&(a, b)| (a * 1_000_000, b * 1_000_000)).collect())]))
    }

    #[test]
    fn the_next_write_is_not_the_old_leaders_last_answer() {
        let writes = writes(&[(900, 905), (990, 1003), (1005, 1650), (1700, 1710)]);
        assert_eq!(writes.next_after(1, 1_000_000_000), Some(650_000_000));
        assert_eq!(writes.next_after(1, 2_000_000_000), None);
        assert_eq!(writes.next_after(2, 0), None);
        let longest = writes.longest_pauses();
        assert_eq!((longest[0].shard, longest[0].from, longest[0].seconds), (1, 1_003_000_000, 0.647));
    }

    #[test]
    fn failovers_are_counted_by_shard() {
        let struck = |ms: &[(u32, f64)]| Struck {
            fault: Fault {
                kind: Kind::Kill,
                what: String::new(),
                nodes: vec![1],
                led: vec![1],
                begin: 0,
                end: 1,
                whole: 2,
                combined: false,
            },
            operations: Counts::default(),
            next_write_ms: ms.iter().copied().collect(),
        };
        let all = failovers(&[struck(&[(1, 500.0), (2, 700.0)]), struck(&[(1, 600.0)]), struck(&[])]);
        let kill = &all["kill"];
        assert_eq!((kill.faults, kill.shards, kill.median_ms, kill.worst_ms), (2, 3, 600.0, 700.0));
    }
}
