//! What time it is in a shard at least. A shard's time never goes back, and it goes on as long as anybody leads: also under
//! a leader whose own clock is behind, as that of a machine that has just been started and not yet asked for the time.
//! Else the shard's timers would stand still until that clock has caught up.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A shard that is ahead of its leader's clock loses an eighth, so that the two meet again.
const SLOWER_BY: u32 = 8;

/// Moves with every applied entry, and by itself.
pub struct ShardTime(Mutex<Known>);

#[derive(Clone, Copy)]
struct Known {
    /// Nanoseconds since the epoch; 0: nothing was applied yet.
    time: i64,
    at: Instant,
}

impl ShardTime {
    pub fn new(time: i64) -> Self {
        Self(Mutex::new(Known { time, at: Instant::now() }))
    }

    /// The time of the last entry, as applied just now.
    pub fn applied(&self, time: i64) {
        self.0.lock().expect("nothing panics while holding a shard's time").learn(time, Instant::now());
    }

    /// Nanoseconds since the epoch that a new entry has at least.
    pub fn at_least(&self) -> i64 {
        self.0.lock().expect("nothing panics while holding a shard's time").read(Instant::now())
    }
}

impl Known {
    fn learn(&mut self, time: i64, at: Instant) {
        if time >= self.read(at) {
            *self = Self { time, at };
        }
    }

    fn read(self, at: Instant) -> i64 {
        if self.time == 0 {
            return 0;
        }
        let passed: Duration = at.saturating_duration_since(self.at);
        let passed = passed - passed / SLOWER_BY;
        self.time.saturating_add(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn time_goes_on_a_little_slower_and_never_back() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut known = Known { time: 1000 * SECOND, at: begin };
        assert_eq!(known.read(after(80)), 1070 * SECOND);
        known.learn(1060 * SECOND, after(80));
        assert_eq!(known.read(after(80)), 1070 * SECOND, "an entry of a leader that is behind");
        known.learn(1075 * SECOND, after(80));
        assert_eq!((known.read(after(80)), known.read(after(88))), (1075 * SECOND, 1082 * SECOND));
        assert_eq!(known.read(begin), 1075 * SECOND);
    }

    #[test]
    fn a_shard_without_entries_knows_no_time() {
        assert_eq!(ShardTime::new(0).at_least(), 0);
    }
}
