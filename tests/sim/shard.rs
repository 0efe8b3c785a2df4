//! One shard: its log, the rows of its leader, and followers that apply the same entries later, many at a time, and
//! come back from dumps.

use std::collections::VecDeque;
use std::rc::Rc;

use statemachine::op::Proposal;
use statemachine::{apply, MemoryKv, Outcome, Txn};

use crate::{require, Checked, Random, Violation};

/// The rows a write leaves at its keys.
pub type Writes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Entries a follower may be behind.
const LAG_MAX: usize = 400;
/// Entries a follower applies in one go.
const BATCH_MAX: u64 = 64;
/// Entries between a follower's dumps.
const DUMP_EVERY: u64 = 1500;

#[derive(Debug, Clone)]
struct Entry {
    proposal: Rc<Proposal>,
    outcome: Rc<Outcome>,
}

#[derive(Debug, Clone, Default)]
struct Follower {
    kv: MemoryKv,
    /// Index of the next entry to apply.
    next: u64,
    /// What a restart finds, and the entry it goes on with.
    dump: Vec<u8>,
    dumped: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Shard {
    pub kv: MemoryKv,
    /// How far the leader's clock is off, ns.
    pub skew: i64,
    log: VecDeque<Entry>,
    /// Index of the first entry kept.
    first: u64,
    followers: Vec<Follower>,
}

impl Shard {
    pub fn new(followers: usize) -> Self {
        Self { followers: vec![Follower::default(); followers], ..Self::default() }
    }

    /// Applies a proposal at the leader. Returns what it answered and the rows it wrote; `write` puts them down.
    pub fn apply(&self, proposal: &Proposal) -> Checked<(Outcome, Writes)> {
        let mut txn = Txn::new(&self.kv);
        let outcome = apply(&mut txn, proposal)
            .map_err(|fault| Violation { invariant: "no_fault", what: format!("{fault}: {proposal:?}") })?;
        Ok((outcome, txn.into_writes()))
    }

    pub fn write(&mut self, proposal: Rc<Proposal>, outcome: Rc<Outcome>, writes: Writes) {
        self.kv.write(writes);
        self.log.push_back(Entry { proposal, outcome });
    }

    fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// Followers far behind go on a little.
    pub fn keep_up(&mut self, random: &mut Random) -> Checked {
        for at in 0..self.followers.len() {
            if self.end() - self.followers[at].next > LAG_MAX as u64 {
                let count = random.between(1, LAG_MAX as i64) as u64;
                self.advance(at, self.followers[at].next + count, random)?;
            }
        }
        self.forget();
        Ok(())
    }

    /// All followers apply all there is.
    pub fn catch_up(&mut self, random: &mut Random) -> Checked {
        for at in 0..self.followers.len() {
            self.advance(at, self.end(), random)?;
        }
        self.forget();
        Ok(())
    }

    /// Applies entries up to `to`, several in one transaction, and compares what they answer.
    fn advance(&mut self, at: usize, to: u64, random: &mut Random) -> Checked {
        let end = to.min(self.end());
        while self.followers[at].next < end {
            let follower = &mut self.followers[at];
            let upto = end.min(follower.next + 1 + random.below(BATCH_MAX));
            let mut txn = Txn::new(&follower.kv);
            for index in follower.next..upto {
                let entry = &self.log[(index - self.first) as usize];
                let outcome = apply(&mut txn, &entry.proposal)
                    .map_err(|fault| Violation { invariant: "no_fault", what: fault.to_string() })?;
                require(outcome == *entry.outcome, "replicas_equal", || {
                    format!("entry {index}: the leader came to {:?}, a follower to {outcome:?}", entry.outcome)
                })?;
            }
            let writes = txn.into_writes();
            follower.kv.write(writes);
            follower.next = upto;
            if follower.next - follower.dumped >= DUMP_EVERY {
                follower.dump = follower.kv.dump();
                follower.dumped = follower.next;
            }
        }
        Ok(())
    }

    /// A follower loses what it holds in memory, and goes on from its dump.
    pub fn restart_follower(&mut self, random: &mut Random) {
        if self.followers.is_empty() {
            return;
        }
        let at = random.index(self.followers.len());
        let follower = &mut self.followers[at];
        if random.percent(50) {
            follower.dump = follower.kv.dump();
            follower.dumped = follower.next;
        }
        follower.kv = MemoryKv::from_dump(&follower.dump);
        follower.next = follower.dumped;
    }

    /// A follower becomes leader: it has all entries, as a leader must. The old leader follows.
    pub fn elect(&mut self, random: &mut Random) -> Checked {
        if self.followers.is_empty() {
            return Ok(());
        }
        let at = random.index(self.followers.len());
        self.advance(at, self.end(), random)?;
        std::mem::swap(&mut self.kv, &mut self.followers[at].kv);
        Ok(())
    }

    /// The leader's rows go through bytes and back.
    pub fn reopen(&mut self) {
        self.kv = MemoryKv::from_dump(&self.kv.dump());
    }

    /// The followers' rows, all of which have been caught up.
    pub fn replicas(&self) -> impl Iterator<Item = &MemoryKv> {
        self.followers.iter().map(|follower| &follower.kv)
    }

    /// Drops entries that no restart needs.
    fn forget(&mut self) {
        let keep = self.followers.iter().map(|follower| follower.dumped.min(follower.next)).min();
        let keep = keep.unwrap_or_else(|| self.end());
        while self.first < keep {
            self.log.pop_front();
            self.first += 1;
        }
    }
}
