//! What the clients saw: every operation from its first try to the answer that settled it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// More operations than a run of a day makes; beyond it a run says that it is too long.
const ENTRIES_MAX: usize = 5_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Start,
    Signal,
    WorkflowTask,
    Activity,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Start, Self::Signal, Self::WorkflowTask, Self::Activity];

    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "starts",
            Self::Signal => "signals",
            Self::WorkflowTask => "workflow tasks",
            Self::Activity => "activities",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub operation: Operation,
    pub begun: Instant,
    pub ended: Instant,
    /// Tries whose outcome was unknown when they ended; the same request was sent again.
    pub unknown: u32,
    /// No retry could mend it.
    pub failed: bool,
}

impl Entry {
    pub fn took(&self) -> Duration {
        self.ended - self.begun
    }

    /// Whether any of it fell between the two.
    pub fn is_within(&self, from: Instant, to: Instant) -> bool {
        self.begun < to && self.ended >= from
    }
}

#[derive(Default)]
pub struct Journal(Mutex<Vec<Entry>>);

impl Journal {
    pub fn record(&self, entry: Entry) {
        let mut entries = self.0.lock().expect("no panic while held");
        if entries.len() < ENTRIES_MAX {
            entries.push(entry);
        }
    }

    pub fn is_full(&self) -> bool {
        self.0.lock().expect("no panic while held").len() >= ENTRIES_MAX
    }

    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.0.lock().expect("no panic while held"))
    }
}
