//! What happened since somebody last looked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tonic::Status;

use super::histogram::Histogram;

#[derive(Debug, Clone)]
pub(super) struct Counts {
    since: Instant,
    pub(super) seconds: f64,
    pub(super) completed: u64,
    /// State changes of the server that its clients saw: starts, tasks handed out, tasks answered, signals.
    pub(super) transitions: u64,
    pub(super) start: Histogram,
    pub(super) schedule_to_start: Histogram,
    pub(super) end_to_end: Histogram,
    pub(super) errors: BTreeMap<String, u64>,
    last_completion: Instant,
    pub(super) longest_gap: Duration,
    /// Completions in each second.
    pub(super) timeline: Vec<u64>,
}

impl Counts {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            seconds: 0.0,
            completed: 0,
            transitions: 0,
            start: Histogram::default(),
            schedule_to_start: Histogram::default(),
            end_to_end: Histogram::default(),
            errors: BTreeMap::new(),
            last_completion: now,
            longest_gap: Duration::ZERO,
            timeline: Vec::new(),
        }
    }

    pub(super) fn per_second(&self) -> f64 {
        self.completed as f64 / self.seconds.max(1e-9)
    }

    pub(super) fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }
}

pub(super) struct Recorder {
    counts: Mutex<Counts>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { counts: Mutex::new(Counts::new()) }
    }

    fn with(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().expect("nothing panics while it is held"));
    }

    /// `due`: when it was to be started.
    pub(super) fn started(&self, due: Instant) {
        self.with(|counts| {
            counts.transitions += 1;
            counts.start.record(due.elapsed());
        });
    }

    pub(super) fn handed_out(&self, waited: Duration) {
        self.with(|counts| {
            counts.transitions += 1;
            counts.schedule_to_start.record(waited);
        });
    }

    pub(super) fn transition(&self) {
        self.with(|counts| counts.transitions += 1);
    }

    /// `due`: when it was to be started, if that is known.
    pub(super) fn completed(&self, due: Option<Instant>) {
        self.with(|counts| {
            let now = Instant::now();
            counts.completed += 1;
            due.into_iter().for_each(|due| counts.end_to_end.record(now - due));
            counts.longest_gap = counts.longest_gap.max(now - counts.last_completion);
            counts.last_completion = now;
            let second = (now - counts.since).as_secs() as usize;
            if counts.timeline.len() <= second {
                counts.timeline.resize(second + 1, 0);
            }
            counts.timeline[second] += 1;
        });
    }

    pub(super) fn failed(&self, call: &str, status: &Status) {
        let message: String = status.message().chars().take(80).collect();
        let name = format!("{call}: {:?}: {message}", status.code());
        self.with(|counts| *counts.errors.entry(name).or_default() += 1);
    }

    /// Completions and errors so far.
    pub(super) fn peek(&self) -> (u64, u64) {
        let counts = self.counts.lock().expect("nothing panics while it is held");
        (counts.completed, counts.errors_total())
    }

    /// Ends the present period and begins the next.
    pub(super) fn take(&self) -> Counts {
        let mut counts = self.counts.lock().expect("nothing panics while it is held");
        let mut taken = std::mem::replace(&mut *counts, Counts::new());
        taken.seconds = taken.since.elapsed().as_secs_f64();
        taken.longest_gap = taken.longest_gap.max(taken.last_completion.elapsed());
        taken
    }
}
