//! How much new work a node takes while it has more than it can do. What was accepted comes first: answers of workers
//! are never refused, new workflows are, before anything is spent on them.
//!
//! Two bounds. So many starts are under way at a time, never more. And once they pile up while workers are at work, the
//! node is overloaded: as many workflows may then begin as end, so that those under way do not drown. A node whose
//! workers are away takes starts without that, for nothing waits behind them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::errors::ApiError;

/// Starts under way at a time.
const UNDER_WAY_MAX: usize = 1024;
/// So many starts under way are a sign of overload.
const UNDER_WAY_MANY: usize = 256;
/// How long the node counts as overloaded after the last sign of it.
const MEMORY: Duration = Duration::from_secs(2);
/// Over what time ends are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Workflows that may begin a second in any case.
const RATE_MIN: f64 = 50.0;

#[derive(Default)]
pub struct Admission {
    under_way: Arc<AtomicUsize>,
    pacer: Mutex<Pacer>,
}

/// A start that may go on; it is under way until this is dropped.
#[derive(Debug)]
pub struct Admitted(Arc<AtomicUsize>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub fn admit(&self, now: Instant) -> Result<Admitted, ApiError> {
        let admitted = Admitted(self.under_way.clone());
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed);
        if self.pacer.lock().expect("no panic while held").admit(now, under_way) {
            return Ok(admitted);
        }
        metrics::counter!("everstep_starts_refused").increment(1);
        Err(ApiError::Overloaded)
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
        let held: Vec<_> = (0..UNDER_WAY_MAX).map(|_| admission.admit(Instant::now()).expect("room")).collect();
        assert!(matches!(admission.admit(Instant::now()), Err(ApiError::Overloaded)));
        drop(held);
        assert!(admission.admit(Instant::now()).is_ok());
    }
}
