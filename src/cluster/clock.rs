//! The node's wall clock. Nothing below the leader reads it: apply sees the stamp only.
//!
//! A jump is believed only once it has lasted, and only if most nodes' clocks show the same: timers would be early if a
//! leader followed a clock that is set an hour ahead. A node whose clock differs from theirs goes by theirs. A shard's time
//! never goes back and never stands still: under a leader whose time is behind it goes on from its last entry (`in_shard`).

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::raft::Group;

/// Differences up to this are followed at once, in nanoseconds.
const STEP_MAX: i64 = 1_000_000_000;
/// How long a jump must last.
const PATIENCE: Duration = Duration::from_secs(60);

static CLOCK: Mutex<Clock> = Mutex::new(Clock::new());

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    CLOCK.lock().expect("nothing panics while holding the clock").read(wall(), Instant::now())
}

/// The machine's clock at one moment, to compare others with.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    wall: i64,
    at: Instant,
}

impl Reading {
    pub(super) fn take() -> Self {
        Self { wall: wall(), at: Instant::now() }
    }

    /// How far another clock is ahead that shows this time now, in nanoseconds.
    pub(super) fn ahead(&self, time: i64) -> i64 {
        time.saturating_sub(self.wall).saturating_sub(nanos(self.at.elapsed()))
    }
}

/// Takes in how far the clocks of other nodes are ahead; `nodes` are in the cluster, this one and those that did not answer
/// included.
pub(super) fn compare(own: Reading, ahead: &[i64], nodes: usize) {
    CLOCK.lock().expect("nothing panics while holding the clock").compare(own, ahead, nodes);
}

/// The clock that most nodes agree on, if they do: how far it is ahead of the one here. The others are as `ahead` says.
pub(super) fn agreed(ahead: &[i64], nodes: usize) -> Option<i64> {
    let most = nodes / 2 + 1;
    let sorted = with_own(ahead);
    let together = sorted.windows(most).find(|few| few[most - 1].saturating_sub(few[0]) <= STEP_MAX)?;
    Some(together[most / 2])
}

fn with_own(ahead: &[i64]) -> Vec<i64> {
    let mut all: Vec<i64> = ahead.iter().copied().chain([0]).collect();
    all.sort_unstable();
    all
}

/// What the machine says, right or wrong: nanoseconds since the epoch.
pub(super) fn wall() -> i64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The time that a shard has if this node leads it: never behind what its entries say, whatever the clock here says; and
/// as they say, while it is not known whether the clock here is right.
pub(super) fn in_shard(group: &Group) -> i64 {
    let (now, known) = (now(), group.time_at_least());
    if known > 0 && !is_settled() {
        known
    } else {
        now.max(known)
    }
}

/// Whether enough other clocks were seen to know whether the one here is right, or so much time has passed that it has to
/// do as it is.
pub(super) fn is_settled() -> bool {
    CLOCK.lock().expect("nothing panics while holding the clock").is_settled(Instant::now())
}

struct Clock {
    /// A time that was believed, and when.
    known: Option<(i64, Instant)>,
    /// A jump that is not believed yet: how far, and since when.
    jump: Option<(i64, Instant)>,
    /// What came of the last comparison; none before the first in which most of the cluster's nodes took part.
    compared: Option<Compared>,
    /// When it was read first.
    begun: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Most nodes' clocks show the same.
    Agrees,
    /// Most show something else.
    Differs,
    /// No time is shown by most.
    Unknown,
}

impl Clock {
    const fn new() -> Self {
        Self { known: None, jump: None, compared: None, begun: None }
    }

    fn read(&mut self, wall: i64, at: Instant) -> i64 {
        self.begun.get_or_insert(at);
        let Some(expected) = self.expected(at) else { return self.believe(wall, at) };
        let ahead = wall.saturating_sub(expected);
        if ahead.abs() <= STEP_MAX {
            return self.believe(wall, at);
        }
        match self.jump {
            Some((before, since)) if (ahead - before).abs() <= STEP_MAX => {
                if at.saturating_duration_since(since) >= PATIENCE && self.may_jump() {
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

    /// Where the clock stands that was believed last.
    fn expected(&self, at: Instant) -> Option<i64> {
        let (known, then) = self.known?;
        Some(known.saturating_add(nanos(at.saturating_duration_since(then))))
    }

    fn believe(&mut self, wall: i64, at: Instant) -> i64 {
        self.known = Some((wall, at));
        self.jump = None;
        wall
    }

    fn is_settled(&self, at: Instant) -> bool {
        let is_old = |begun| at.saturating_duration_since(begun) >= PATIENCE;
        self.compared.is_some() || self.begun.is_some_and(is_old)
    }

    fn may_jump(&self) -> bool {
        self.compared.is_none_or(|compared| compared == Compared::Agrees)
    }

    fn compare(&mut self, own: Reading, ahead: &[i64], nodes: usize) {
        let is_first = self.compared.is_none();
        if is_first && ahead.len() < nodes / 2 {
            return;
        }
        let most = agreed(ahead, nodes).or_else(|| is_first.then(|| cautious(ahead)));
        let compared = match most {
            None => Compared::Unknown,
            Some(most) if most.abs() <= STEP_MAX => Compared::Agrees,
            Some(_) => Compared::Differs,
        };
        let is_new = self.compared.replace(compared) != Some(compared);
        let Some(most) = most.filter(|_| compared == Compared::Differs) else { return };
        if is_new {
            let seconds = -most / STEP_MAX;
            tracing::warn!(seconds, "the wall clock differs from those of most nodes and is not followed");
        }
        self.known = Some((own.wall.saturating_add(most), own.at));
        self.jump = Some((-most, self.jump.map_or(own.at, |(_, since)| since)));
    }
}

/// Where no majority agrees: the clock in the middle, of two the one behind. One that is behind does little harm
/// (`in_shard`), one that is ahead would make timers fire early.
fn cautious(ahead: &[i64]) -> i64 {
    let sorted = with_own(ahead);
    sorted[(sorted.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// What the clock says when the wall clock shows `wall` seconds, some seconds after the start.
    fn told(readings: &[(u64, i64)]) -> Vec<i64> {
        let begin = Instant::now();
        let mut clock = Clock::new();
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

    /// What a node's clock says that runs through `steps`: after so many seconds it shows so much more than it should, and
    /// is compared with those of others, of so many nodes.
    fn compared(steps: &[(u64, i64, &[i64], usize)]) -> Vec<i64> {
        let begin = Instant::now();
        let mut clock = Clock::new();
        let step = |&(after, wrong, others, nodes): &(u64, i64, &[i64], usize)| {
            let own = Reading { wall: (after as i64 + wrong) * SECOND, at: begin + Duration::from_secs(after) };
            clock.read(own.wall, own.at);
            let ahead: Vec<i64> = others.iter().map(|other| (other - wrong) * SECOND).collect();
            clock.compare(own, &ahead, nodes);
            clock.read(own.wall, own.at) / SECOND - after as i64
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn a_clock_that_is_wrong_at_the_start_is_told_by_the_others() {
        let first = |wrong, others: &[i64], nodes| compared(&[(0, wrong, others, nodes)])[0];
        assert_eq!(first(3600, &[0, 0], 3), 0, "ahead of both");
        assert_eq!(first(-3600, &[0, 0], 3), 0, "behind both");
        assert_eq!(first(0, &[3600, 0], 3), 0, "another one is ahead");
        assert_eq!((first(3600, &[0], 3), first(0, &[3600], 3)), (0, 0), "of two the one behind");
        assert_eq!(first(0, &[60, 3600], 3), 60, "of three that differ the one in the middle");
        assert_eq!((first(5, &[], 3), first(0, &[1, 1], 3)), (5, 0), "nobody else, or hardly another time");
    }

    #[test]
    fn a_clock_is_doubted_until_most_of_the_cluster_was_heard_or_a_minute_has_passed() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut clock = Clock::new();
        assert!(!clock.is_settled(begin));
        clock.read(100 * SECOND, begin);
        let own = Reading { wall: 100 * SECOND, at: begin };
        clock.compare(own, &[-3600 * SECOND], 5);
        assert_eq!((clock.is_settled(begin), clock.read(100 * SECOND, begin)), (false, 100 * SECOND));
        assert_eq!((clock.is_settled(after(59)), clock.is_settled(after(60))), (false, true));
        clock.compare(own, &[-3600 * SECOND, -3600 * SECOND], 5);
        assert_eq!((clock.is_settled(begin), clock.read(100 * SECOND, begin)), (true, -3500 * SECOND));
        let mut alone = Clock::new();
        alone.compare(own, &[], 1);
        assert!(alone.is_settled(begin));
    }

    #[test]
    fn a_jump_that_the_others_did_not_make_is_never_followed() {
        let mut steps = vec![(0, 0, &[0, 0][..], 3)];
        steps.extend((1..20).map(|round| (round * 10, 3600, &[0, 0][..], 3)));
        steps.extend([(200, -3600, &[0, 0][..], 3), (210, -3600, &[][..], 3), (300, -3600, &[1, -1][..], 3)]);
        assert_eq!(compared(&steps), vec![0; steps.len()]);
    }

    #[test]
    fn a_jump_that_most_made_is_followed_once_it_has_lasted() {
        let mut steps = vec![(0, 0, &[0, 0][..], 3)];
        steps.extend((1..=6).map(|round| (round * 10, 3600, &[0, 3600][..], 3)));
        steps.push((70, 3600, &[0, 3600][..], 3));
        assert_eq!(compared(&steps), [0, 0, 0, 0, 0, 0, 0, 3600]);
    }

    #[test]
    fn nobody_to_compare_with_in_a_cluster_means_no_jump_and_in_a_node_by_itself_it_does() {
        let alone = |before: &[i64]| {
            let nodes = before.len() + 1;
            compared(&[(0, 0, before, nodes), (10, 3600, &[], nodes), (80, 3600, &[], nodes)])[2]
        };
        assert_eq!((alone(&[0, 0]), alone(&[])), (0, 3600));
    }

    #[test]
    fn most_of_the_cluster_have_to_agree_and_not_most_of_those_that_answer() {
        assert_eq!(agreed(&[0], 3), Some(0));
        assert_eq!(agreed(&[5 * SECOND, 5 * SECOND], 3), Some(5 * SECOND));
        assert_eq!(agreed(&[5 * SECOND, 5 * SECOND], 5), None);
        assert_eq!(agreed(&[SECOND / 2, 5 * SECOND, 6 * SECOND, -SECOND / 2], 5), Some(0));
        assert_eq!((agreed(&[], 1), agreed(&[], 2)), (Some(0), None));
    }

    #[test]
    fn small_corrections_are_followed_at_once() {
        assert_eq!(told(&[(0, 100), (10, 111), (20, 120), (30, 130)]), [100, 111, 120, 130]);
    }
}
