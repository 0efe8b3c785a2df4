//! Rates: how fast a queue moves, and how fast it may.

use std::collections::BTreeMap;

use super::types::span;

const SECONDS: usize = 30;

/// Counts per second over the last thirty.
#[derive(Debug, Default, Clone)]
pub(super) struct Meter {
    counts: [u32; SECONDS],
    /// The second that was counted last.
    last: i64,
}

impl Meter {
    pub(super) fn count(&mut self, now: i64) {
        self.advance(now);
        let slot = &mut self.counts[Self::slot(self.last)];
        *slot = slot.saturating_add(1);
    }

    /// Per second, over the whole window.
    pub(super) fn rate(&self, now: i64) -> f32 {
        let mut meter = self.clone();
        meter.advance(now);
        meter.counts.iter().map(|&count| count as f32).sum::<f32>() / SECONDS as f32
    }

    fn advance(&mut self, now: i64) {
        let second = now.div_euclid(span::SECOND);
        if second - self.last >= SECONDS as i64 {
            self.counts = [0; SECONDS];
        } else {
            for passed in self.last + 1..=second {
                self.counts[Self::slot(passed)] = 0;
            }
        }
        self.last = self.last.max(second);
    }

    fn slot(second: i64) -> usize {
        second.rem_euclid(SECONDS as i64) as usize
    }
}

/// Rates by priority.
#[derive(Debug, Default, Clone)]
pub(super) struct Meters(BTreeMap<i32, Meter>);

impl Meters {
    pub(super) fn count(&mut self, now: i64, priority: i32) {
        self.0.entry(priority).or_default().count(now);
    }

    pub(super) fn rate(&self, now: i64) -> f32 {
        self.0.values().map(|meter| meter.rate(now)).sum()
    }

    pub(super) fn rates(&self, now: i64) -> BTreeMap<i32, f32> {
        self.0.iter().map(|(&priority, meter)| (priority, meter.rate(now))).collect()
    }
}

/// A token bucket that holds one second of tokens, at least one.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: i64,
}

impl Bucket {
    pub(super) fn new(now: i64, per_second: f64) -> Self {
        let mut bucket = Self { per_second: 0.0, tokens: 0.0, filled: now };
        bucket.set_rate(now, per_second);
        bucket.tokens = bucket.most();
        bucket
    }

    pub(super) fn set_rate(&mut self, now: i64, per_second: f64) {
        let per_second = if per_second.is_finite() { per_second.max(0.0) } else { 0.0 };
        if per_second != self.per_second {
            self.fill(now);
            self.per_second = per_second;
            self.tokens = self.tokens.min(self.most());
        }
    }

    pub(super) fn ready(&mut self, now: i64) -> bool {
        self.fill(now);
        self.tokens >= 1.0 - 1e-9
    }

    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }

    /// When the next token is there; never with a rate of zero.
    pub(super) fn next(&self, now: i64) -> Option<i64> {
        if self.per_second <= 0.0 {
            return None;
        }
        let missing = (1.0 - self.tokens).max(0.0);
        Some(now.max(self.filled) + (missing / self.per_second * span::SECOND as f64).ceil() as i64)
    }

    fn most(&self) -> f64 {
        if self.per_second > 0.0 {
            self.per_second.max(1.0)
        } else {
            0.0
        }
    }

    fn fill(&mut self, now: i64) {
        let passed = (now - self.filled).max(0) as f64 / span::SECOND as f64;
        self.tokens = (self.tokens + passed * self.per_second).min(self.most());
        self.filled = self.filled.max(now);
    }
}
