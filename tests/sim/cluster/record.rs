//! All that is known of one run, from above: the time, chance, what was observed, and the first thing that is wrong.
//!
//! A process runs one seed, and the whole cluster in one thread of it. So this is one value that everything reaches;
//! nobody who holds it calls anything that might want it too.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use sim::digest::Digest;
use sim::{Checked, Random, Violation};

use crate::history::History;
use crate::invariants::{Committed, Leaders, States, Votes};
use crate::raft::Groups;
use crate::storage::disk::LogRows;
use crate::storage::{LogEntry, LogId, Vote};

static RECORD: LazyLock<Mutex<Record>> = LazyLock::new(Mutex::default);

/// What a node is told from above.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// Its clocks go on by this much at once, as after a pause of the process.
    Leap(Duration),
    /// Asks another node to take a shard over, if it leads it.
    Transfer { shard: u32, to: u64 },
}

pub struct Record {
    /// Simulated time since the start.
    pub now: Duration,
    pub random: Random,
    pub trace: bool,
    pub digest: Digest,
    pub violation: Option<Violation>,
    pub counts: BTreeMap<&'static str, u64>,
    pub running: BTreeMap<u64, Weak<Groups>>,
    pub commands: BTreeMap<u64, Vec<Command>>,
    /// The groups have their first voters.
    pub bootstrapped: bool,
    /// No faults any more: clients finish what they have begun.
    pub healed: bool,
    pub history: History,
    pub committed: Committed,
    applied: BTreeMap<(u64, u32), u64>,
    leaders: Leaders,
    states: States,
    votes: Votes,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            now: Duration::ZERO,
            random: Random::new(0),
            trace: false,
            digest: Digest::default(),
            violation: None,
            counts: BTreeMap::new(),
            running: BTreeMap::new(),
            commands: BTreeMap::new(),
            bootstrapped: false,
            healed: false,
            history: History::default(),
            committed: Committed::default(),
            applied: BTreeMap::new(),
            leaders: Leaders::default(),
            states: States::default(),
            votes: Votes::default(),
        }
    }
}

pub fn with<T>(look: impl FnOnce(&mut Record) -> T) -> T {
    look(&mut RECORD.lock().unwrap_or_else(PoisonError::into_inner))
}

pub fn violated(invariant: &'static str, what: String) {
    with(|record| record.check(Err(Violation { invariant, what })));
}

pub fn note(what: impl FnOnce() -> String) {
    with(|record| record.note(&what()));
}

impl Record {
    pub fn check(&mut self, checked: Checked) {
        if let Err(violation) = checked {
            self.note(&format!("VIOLATION: {violation}"));
            self.violation.get_or_insert(violation);
        }
    }

    /// Something happened: it counts for the digest.
    pub fn note(&mut self, what: &str) {
        self.digest.add(&(self.now.as_micros() as u64).to_be_bytes());
        self.digest.add(what.as_bytes());
        if self.trace {
            println!("{:>9.3}s {what}", self.now.as_secs_f64());
        }
    }

    pub fn counted(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn log_opened(&mut self, node: u64, shard: u32, rows: &LogRows) {
        self.note(&format!("n{node} shard {shard}: log opens at {:?}, vote {:?}", rows.last(), rows.vote));
        let checked = self.votes.reopened(node, shard, rows.vote);
        self.check(checked);
    }

    pub fn voted(&mut self, node: u64, shard: u32, vote: Vote) {
        self.note(&format!("n{node} shard {shard}: {vote:?}"));
        let checked = self.votes.told(node, shard, vote);
        self.check(checked);
    }

    pub fn state_opened(&mut self, node: u64, shard: u32, applied: Option<LogId>) {
        self.note(&format!("n{node} shard {shard}: rows open at {applied:?}"));
        self.applied.insert((node, shard), applied.map_or(0, |id| id.index));
    }

    /// A batch that ends with `last` was applied; `entries` are those of it that are in the node's log.
    pub fn applied(&mut self, node: u64, shard: u32, last: LogId, digest: u64, entries: &[LogEntry]) {
        self.note(&format!("n{node} shard {shard}: applied {} entries up to {last:?}: {digest:016x}", entries.len()));
        self.counted("batches applied");
        self.applied.insert((node, shard), last.index);
        let checked = self
            .committed
            .applied(node, shard, entries)
            .and_then(|()| self.states.seen(node, shard, last.index, digest));
        self.check(checked);
    }

    pub fn installed(&mut self, node: u64, shard: u32, last: LogId, digest: u64) {
        self.note(&format!("n{node} shard {shard}: installed a snapshot up to {last:?}: {digest:016x}"));
        self.counted("snapshots installed");
        self.applied.insert((node, shard), last.index);
        let checked = self.states.seen(node, shard, last.index, digest);
        self.check(checked);
    }

    pub fn leads(&mut self, node: u64, shard: u32, term: Option<u64>) {
        self.note(&format!("n{node} shard {shard}: leads {term:?}"));
        let Some(term) = term else { return };
        self.counted("leaderships");
        let applied = self.applied_by(node, shard);
        let checked = self.leaders.announced(node, shard, term);
        let checked = checked.and_then(|()| self.committed.complete(node, shard, term, applied));
        self.check(checked);
    }

    pub fn applied_by(&self, node: u64, shard: u32) -> u64 {
        self.applied.get(&(node, shard)).copied().unwrap_or(0)
    }

    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (what, count) in &self.counts {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {count} {what}");
        }
        text
    }
}
