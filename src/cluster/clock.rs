//! The node's wall clock. Nothing below the leader reads it: apply sees the stamp only.
//!
//! A jump is believed only once it has lasted: timers would be early if a leader followed a clock that is set an hour ahead
//! and then corrected. A shard's time never goes back and never stands still: under a leader whose clock is behind, because
//! it was set back or was wrong at its start, it goes on from its last entry (`in_shard`).

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::raft::Group;

/// Differences up to this are followed at once, in nanoseconds.
const STEP_MAX: i64 = 1_000_000_000;
/// How long a jump must last.
const PATIENCE: Duration = Duration::from_secs(60);

static CLOCK: Mutex<Clock> = Mutex::new(Clock { known: None, jump: None });

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    CLOCK.lock().expect("nothing panics while holding the clock").read(wall(), Instant::now())
}

/// Compares the clock with those of other nodes, as this one starts: the one in the middle is believed, of two the one
/// behind. A clock that is behind does no harm (`in_shard`); one that is ahead would make timers fire early.
pub(super) fn compare(others: &[i64]) {
    CLOCK.lock().expect("nothing panics while holding the clock").compare(wall(), others, Instant::now());
}

fn wall() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

/// The time that a shard has if this node leads it: never behind what its entries say, whatever the clock here says.
pub(super) fn in_shard(group: &Group) -> i64 {
    now().max(group.time_at_least())
}

struct Clock {
    /// A time that was believed, and when.
    known: Option<(i64, Instant)>,
    /// A jump that is not believed yet: how far, and since when.
    jump: Option<(i64, Instant)>,
}

impl Clock {
    fn read(&mut self, wall: i64, at: Instant) -> i64 {
        let Some((known, then)) = self.known else { return self.believe(wall, at) };
        let passed = i64::try_from(at.saturating_duration_since(then).as_nanos()).unwrap_or(i64::MAX);
        let expected = known.saturating_add(passed);
        let ahead = wall.saturating_sub(expected);
        if ahead.abs() <= STEP_MAX {
            return self.believe(wall, at);
        }
        match self.jump {
            Some((before, since)) if (ahead - before).abs() <= STEP_MAX => {
                if at.saturating_duration_since(since) >= PATIENCE {
                    tracing::warn!(seconds = ahead / STEP_MAX, "the wall clock's jump has lasted and is followed");
                    return self.believe(wall, at);
                }
            }
            _ => {
                tracing::warn!(seconds = ahead / STEP_MAX, "the wall clock jumped; it is not followed for now");
                self.jump = Some((ahead, at));
            }
        }
        expected
    }

    fn compare(&mut self, wall: i64, others: &[i64], at: Instant) {
        let mut times: Vec<i64> = others.iter().copied().chain([wall]).collect();
        times.sort_unstable();
        let middle = times[(times.len() - 1) / 2];
        let ahead = wall.saturating_sub(middle);
        if ahead.abs() > STEP_MAX {
            let seconds = ahead / STEP_MAX;
            tracing::warn!(seconds, "the wall clock differs from those of the other nodes; it is not followed for now");
            *self = Self { known: Some((middle, at)), jump: None };
        }
    }

    fn believe(&mut self, wall: i64, at: Instant) -> i64 {
        *self = Self { known: Some((wall, at)), jump: None };
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// What the clock says when the wall clock shows `wall` seconds, some seconds after the start.
    fn told(readings: &[(u64, i64)]) -> Vec<i64> {
        let begin = Instant::now();
        let mut clock = Clock { known: None, jump: None };
        let read = |(after, wall): &(u64, i64)| clock.read(wall * SECOND, begin + Duration::from_secs(*after)) / SECOND;
        readings.iter().map(read).collect()
    }

    #[test]
    fn an_hour_ahead_and_back_is_not_followed() {
        let readings = [(0, 100), (10, 110), (20, 3720), (40, 3740), (50, 150)];
        assert_eq!(told(&readings), [100, 110, 120, 140, 150]);
    }

    #[test]
    fn a_jump_that_lasts_is_followed() {
        let readings = [(0, 100), (10, 3710), (40, 3740), (69, 3769), (70, 3770), (80, 3780)];
        assert_eq!(told(&readings), [100, 110, 140, 169, 3770, 3780]);
    }

    #[test]
    fn each_new_jump_has_to_last() {
        let readings = [(0, 0), (30, 3600), (80, 7200), (100, 7220), (139, 7259), (140, 7260)];
        assert_eq!(told(&readings), [0, 30, 80, 100, 139, 7260]);
    }

    #[test]
    fn an_hour_back_and_forth_is_not_followed() {
        let readings = [(0, 9000), (10, 5410), (15, 9015), (20, 12_620), (26, 9026)];
        assert_eq!(told(&readings), [9000, 9010, 9015, 9020, 9026]);
    }

    #[test]
    fn a_clock_that_is_set_back_for_good_is_followed() {
        let readings = [(0, 9000), (10, 5410), (40, 5440), (69, 5469), (70, 5470), (80, 5480)];
        assert_eq!(told(&readings), [9000, 9010, 9040, 9069, 5470, 5480]);
    }

    #[test]
    fn a_clock_that_is_wrong_at_the_start_is_told_by_the_others() {
        let begin = Instant::now();
        let after = |wall: i64, others: &[i64]| {
            let mut clock = Clock { known: None, jump: None };
            clock.read(wall * SECOND, begin);
            let others: Vec<i64> = others.iter().map(|time| time * SECOND).collect();
            clock.compare(wall * SECOND, &others, begin);
            clock.read((wall + 5) * SECOND, begin + Duration::from_secs(5)) / SECOND
        };
        assert_eq!(after(3700, &[100, 100]), 105, "ahead of both");
        assert_eq!(after(100, &[3700, 3700]), 3705, "behind both");
        assert_eq!(after(100, &[3700, 101]), 105, "another one is ahead");
        assert_eq!((after(3700, &[100]), after(100, &[3700])), (105, 105), "of two the one behind");
        assert_eq!((after(100, &[]), after(100, &[101, 101])), (105, 105), "nobody else, or hardly another time");
    }

    #[test]
    fn small_corrections_are_followed_at_once() {
        assert_eq!(told(&[(0, 100), (10, 111), (20, 120), (30, 130)]), [100, 111, 120, 130]);
    }
}
