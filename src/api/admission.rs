//! How much new work a node takes while it has more than it can do. What was accepted comes first: answers of workers
//! are never refused, new workflows are, before anything is spent on them.
//!
//! Two bounds. So many starts are under way at a time, never more. And once they pile up while workers are at work, the
//! node is overloaded: as many workflows may then begin as end, so that those under way do not drown. A node whose
//! workers are away takes starts without that, for nothing waits behind them.
//!
//! Both bounds meet the namespaces that cause them: one that has less than its even share of the starts under way is let
//! through up to a reserve that is kept for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::errors::ApiError;

/// Starts under way at a time.
const UNDER_WAY_MAX: usize = 1024;
/// So many starts under way are a sign of overload.
const UNDER_WAY_MANY: usize = 256;
/// Starts under way above the bound, for namespaces with less than their share.
const RESERVE: usize = 256;
/// How long the node counts as overloaded after the last sign of it.
const MEMORY: Duration = Duration::from_secs(2);
/// Over what time ends are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Workflows that may begin a second in any case.
const RATE_MIN: f64 = 50.0;

#[derive(Default)]
pub struct Admission {
    under_way: Arc<Mutex<UnderWay>>,
    pacer: Mutex<Pacer>,
}

/// Starts under way, of all and of each namespace that has any.
#[derive(Debug, Default)]
struct UnderWay {
    all: usize,
    of: HashMap<String, usize>,
}

impl UnderWay {
    /// Whether a namespace has less than its share, be there one that has more.
    fn is_modest(&self, namespace_id: &str) -> bool {
        let own = self.of.get(namespace_id).copied().unwrap_or_default();
        let others = self.of.len() - usize::from(own > 0);
        (own + 1) * (others + 1) <= self.all
    }
}

/// A start that may go on; it is under way until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    namespace_id: String,
    under_way: Arc<Mutex<UnderWay>>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().expect("no panic while held");
        under_way.all -= 1;
        if let Some(own) = under_way.of.get_mut(&self.namespace_id) {
            *own -= 1;
            if *own == 0 {
                under_way.of.remove(&self.namespace_id);
            }
        }
    }
}

impl Admission {
    pub fn admit(&self, namespace_id: &str, now: Instant) -> Result<Admitted, ApiError> {
        let mut under_way = self.under_way.lock().expect("no panic while held");
        let modest = under_way.is_modest(namespace_id) && under_way.all < UNDER_WAY_MAX + RESERVE;
        if !modest && !self.pacer.lock().expect("no panic while held").admit(now, under_way.all) {
            drop(under_way);
            metrics::counter!("everstep_starts_refused").increment(1);
            return Err(ApiError::Overloaded);
        }
        under_way.all += 1;
        *under_way.of.entry(namespace_id.to_owned()).or_default() += 1;
        Ok(Admitted { namespace_id: namespace_id.to_owned(), under_way: self.under_way.clone() })
    }

    /// A worker has answered a workflow task; `ended` workflows came to their end by it.
    pub fn answered(&self, now: Instant, ended: usize) {
        self.pacer.lock().expect("no panic while held").answered(now, ended);
    }
}

#[derive(Debug, Default)]
struct Pacer {
    window: Option<Window>,
    overloaded_until: Option<Instant>,
    /// Workflows that may begin at once.
    credit: f64,
    credited: Option<Instant>,
}

/// What workers did since `since`, and in the window before.
#[derive(Debug)]
struct Window {
    since: Instant,
    answers: usize,
    ended: usize,
    before: (usize, usize),
}

impl Pacer {
    fn admit(&mut self, now: Instant, under_way: usize) -> bool {
        let (answers, ended) = self.window(now).before;
        let works = answers > 0;
        if under_way >= UNDER_WAY_MANY && works {
            self.overloaded_until = Some(now + MEMORY);
        }
        if under_way >= UNDER_WAY_MAX {
            return false;
        }
        if !works || self.overloaded_until.is_none_or(|until| until <= now) {
            self.credited = None;
            return true;
        }
        let rate = (ended as f64 / WINDOW.as_secs_f64()).max(RATE_MIN);
        let passed = self.credited.map_or(Duration::ZERO, |last| now - last);
        self.credited = Some(now);
        self.credit = (self.credit + rate * passed.as_secs_f64()).min(rate / 10.0);
        if self.credit < 1.0 {
            self.overloaded_until = Some(now + MEMORY);
            return false;
        }
        self.credit -= 1.0;
        true
    }

    fn answered(&mut self, now: Instant, ended: usize) {
        let window = self.window(now);
        window.answers += 1;
        window.ended += ended;
    }

    fn window(&mut self, now: Instant) -> &mut Window {
        let window = self.window.get_or_insert(Window { since: now, answers: 0, ended: 0, before: (0, 0) });
        let passed = now - window.since;
        if passed >= WINDOW {
            let before = if passed < 2 * WINDOW { (window.answers, window.ended) } else { (0, 0) };
            *window = Window { since: now, answers: 0, ended: 0, before };
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a second that are let through out of `asked`, while `ended` workflows end a second, in the third second.
    fn let_through(asked: u32, ended: u32, under_way: usize) -> u32 {
        let (mut pacer, begun) = (Pacer::default(), Instant::now());
        let mut let_through = 0;
        for second in 0..3 {
            let_through = 0;
            for number in 0..asked {
                let now = begun + Duration::from_secs(second) + Duration::from_secs(1) * number / asked;
                if ended > 0 && number % (asked / ended) == 0 {
                    pacer.answered(now, 1);
                }
                let_through += u32::from(pacer.admit(now, under_way));
            }
        }
        let_through
    }

    #[test]
    fn as_many_begin_as_end_while_starts_pile_up() {
        let begun = let_through(10_000, 500, UNDER_WAY_MANY);
        assert!((450..=550).contains(&begun), "{begun}");
    }

    #[test]
    fn nothing_is_refused_without_overload() {
        assert_eq!(let_through(10_000, 500, UNDER_WAY_MANY - 1), 10_000);
    }

    #[test]
    fn without_workers_only_the_number_under_way_is_bounded() {
        assert_eq!(let_through(10_000, 0, UNDER_WAY_MAX - 1), 10_000);
        assert_eq!(let_through(10_000, 0, UNDER_WAY_MAX), 0);
    }

    #[test]
    fn overload_is_forgotten() {
        let (mut pacer, begun) = (Pacer::default(), Instant::now());
        pacer.answered(begun, 0);
        let later = begun + WINDOW;
        pacer.answered(later, 0);
        assert!(!pacer.admit(later, UNDER_WAY_MANY));
        assert!(!pacer.admit(later, 0), "there is no credit yet");
        let forgotten = later + MEMORY;
        pacer.answered(forgotten, 0);
        assert!(pacer.admit(forgotten, 0));
    }

    #[test]
    fn a_start_is_under_way_until_it_is_dropped() {
        let admission = Admission::default();
        let held: Vec<_> = (0..UNDER_WAY_MAX).map(|_| admission.admit("a", Instant::now()).expect("room")).collect();
        assert!(matches!(admission.admit("a", Instant::now()), Err(ApiError::Overloaded)));
        drop(held);
        assert!(admission.admit("a", Instant::now()).is_ok());
        assert!(admission.under_way.lock().expect("no panic").of.is_empty(), "nothing is kept of who has none");
    }

    #[test]
    fn a_flood_of_one_namespace_leaves_room_for_others() {
        let (admission, now) = (Admission::default(), Instant::now());
        let flood: Vec<_> = std::iter::from_fn(|| admission.admit("flood", now).ok()).collect();
        assert_eq!(flood.len(), UNDER_WAY_MAX);
        let others: Vec<_> =
            (0..RESERVE).map(|_| admission.admit("other", now).expect("less than its share")).collect();
        assert!(matches!(admission.admit("other", now), Err(ApiError::Overloaded)), "the reserve is bounded too");
        drop(others);
        assert!(admission.admit("flood", now).is_err() && admission.admit("other", now).is_ok());
    }

    #[test]
    fn pacing_meets_who_makes_it_necessary() {
        let (admission, begun) = (Admission::default(), Instant::now());
        admission.answered(begun, 0);
        let later = begun + WINDOW;
        admission.answered(later, 0);
        let flood: Vec<_> = std::iter::from_fn(|| admission.admit("flood", later).ok()).collect();
        assert!((UNDER_WAY_MANY..UNDER_WAY_MANY + 10).contains(&flood.len()), "{}", flood.len());
        assert!(admission.admit("flood", later).is_err());
        assert!((0..100).all(|_| admission.admit("other", later).is_ok()));
    }
}
