//! What is committed stays, at its place: all replicas apply the same entries, leaders follow each other in order in the
//! log, and whoever begins to lead has all that earlier terms committed.

use std::collections::BTreeMap;

use sim::digest::Digest;
use sim::{require, Checked};

use crate::storage::{LogEntry, LogId};

const NAME: &str = "committed";

#[derive(Debug, Default)]
pub struct Committed(BTreeMap<(u32, u64), (LogId, u64)>);

fn digest_of(entry: &LogEntry) -> u64 {
    let mut digest = Digest::default();
    digest.add(&[entry.kind]);
    digest.add(&entry.payload);
    digest.0
}

impl Committed {
    pub fn applied(&mut self, node: u64, shard: u32, entries: &[LogEntry]) -> Checked {
        for entry in entries {
            let (id, index) = (entry.id, entry.id.index);
            let is = (id, digest_of(entry));
            let was = *self.0.entry((shard, index)).or_insert(is);
            require(was == is, NAME, || format!("n{node} shard {shard} applied {is:?} where {was:?} was committed"))?;
            let before = index.checked_sub(1).and_then(|index| self.0.get(&(shard, index)));
            let follows = before.is_none_or(|(before, _)| (before.term, before.leader) <= (id.term, id.leader));
            require(follows, NAME, || format!("n{node} shard {shard}: {id:?} is committed after {before:?}"))?;
        }
        Ok(())
    }

    /// A node begins to lead with everything up to `applied`.
    pub fn complete(&self, node: u64, shard: u32, term: u64, applied: u64) -> Checked {
        let of_shard = self.0.range((shard, 0)..=(shard, u64::MAX)).rev();
        let last = of_shard.map(|(_, (id, _))| *id).find(|id| id.term < term);
        require(last.is_none_or(|last| last.index <= applied), NAME, || {
            format!("n{node} leads shard {shard} in term {term} from {applied} on, and {last:?} was committed before")
        })
    }

    /// The last index of a shard that anyone applied.
    pub fn last(&self, shard: u32) -> u64 {
        self.0.range((shard, 0)..=(shard, u64::MAX)).next_back().map_or(0, |((_, index), _)| *index)
    }
}
