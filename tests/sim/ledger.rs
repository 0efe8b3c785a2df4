//! What the outside knows for certain: acknowledged signals, messages that were applied, what histories said before.

use std::collections::{BTreeMap, BTreeSet};

use statemachine::tables::{id_text, RunKey};

#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Names of acknowledged signals by run id.
    pub signals: BTreeMap<String, BTreeSet<String>>,
    /// Messages that took effect: from shard, id.
    pub delivered: BTreeSet<(u32, u64)>,
    /// Hash of each batch of history seen, by shard, run and first event.
    pub batches: BTreeMap<(usize, RunKey), BTreeMap<i64, u64>>,
    /// Hash of the run row that was looked at last.
    pub verified: BTreeMap<(usize, RunKey), u64>,
    /// Time of each shard's last op.
    pub times: BTreeMap<usize, i64>,
    /// How often each kind of op was applied, and how often refused.
    pub kinds: BTreeMap<String, (u64, u64)>,
}

impl Ledger {
    /// Forgets what it knows of runs that are deleted.
    pub fn forget_runs_but<T>(&mut self, shard: usize, left: &BTreeMap<RunKey, T>) {
        let signals = &mut self.signals;
        self.verified.retain(|(at, key), _| {
            let keep = *at != shard || left.contains_key(key);
            if !keep {
                signals.remove(&id_text(&key.run));
            }
            keep
        });
        self.batches.retain(|(at, key), _| *at != shard || left.contains_key(key));
    }
}
