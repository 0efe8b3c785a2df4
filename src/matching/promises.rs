//! Polls that are not here yet but will be: a worker that asks hundreds of times a second is away for a moment only, and
//! a proposal may start a task for its next poll instead of leaving it to an entry of its own.
//!
//! Only polls that hardly waited speak for the next one: where they wait, they wait at other nodes too, and a proposal
//! there finds them while a promise here would not be kept.
//!
//! A promise is kept by a poll of the very worker it was made for. One that is not kept soon goes back, and the queue
//! makes no other for a while.

use std::collections::VecDeque;

use statemachine::op;

use super::types::{span, Started};

/// What came in one such span is expected of the next, ns.
const WINDOW: i64 = span::SECOND / 10;
/// A poll that waited longer does not count, ns.
const QUICK: i64 = 5 * span::SECOND / 1000;
/// A worker with fewer quick polls in a window is not relied on.
const POLLS_MIN: usize = 8;
/// A poll is left free at least this often, however fast promises are kept, ns.
const FREE: i64 = span::SECOND / 5;
/// Workers of one queue whose polls are counted; they are few, or none is fast.
const WORKERS_MAX: usize = 8;
/// A started task waits so long for the poll, ns.
const PATIENCE: i64 = span::SECOND / 4;
/// After a promise that was not kept, ns; twice as long each time, if that comes soon after the last.
const PAUSE: i64 = span::SECOND;
const PAUSE_MAX: i64 = 3600 * span::SECOND;
const SOON: i64 = 60 * span::SECOND;

#[derive(Debug, Default)]
pub(super) struct Promises {
    workers: Vec<Worker>,
    /// Tasks started for a poll to come, the oldest first.
    kept: VecDeque<Kept>,
    /// Promises made whose task has not been handed out.
    owed: usize,
    /// The last time that nothing was kept for a poll, so that it may look elsewhere.
    free: i64,
    /// None are made until then.
    paused: i64,
    pause: i64,
}

#[derive(Debug)]
struct Worker {
    poller: op::Poller,
    window: i64,
    polls: usize,
    polls_before: usize,
}

#[derive(Debug)]
struct Kept {
    poller: op::Poller,
    since: i64,
    started: Started,
}

impl Worker {
    fn turn(&mut self, now: i64) {
        let window = now.div_euclid(WINDOW);
        if window != self.window {
            self.polls_before = if window == self.window + 1 { self.polls } else { 0 };
            (self.window, self.polls) = (window, 0);
        }
    }

    fn expected(&self, now: i64) -> usize {
        let since = now.div_euclid(WINDOW) - self.window;
        let polls = match since {
            0 => self.polls_before,
            1 => self.polls,
            _ => 0,
        };
        if polls < POLLS_MIN {
            0
        } else {
            polls
        }
    }
}

/// Whether two polls are of one worker; each has a request id of its own.
fn same_worker(a: &op::Poller, b: &op::Poller) -> bool {
    a.worker_instance_key == b.worker_instance_key
        && a.identity == b.identity
        && a.deployment == b.deployment
        && a.version == b.version
        && a.binary_checksum == b.binary_checksum
}

impl Promises {
    /// A poll of this node got a task, or goes along with a proposal, after so long a wait.
    pub(super) fn served(&mut self, now: i64, poller: &op::Poller, waited: i64) {
        if waited > QUICK {
            return;
        }
        if let Some(worker) = self.workers.iter_mut().find(|worker| same_worker(&worker.poller, poller)) {
            worker.turn(now);
            worker.polls += 1;
            return;
        }
        if self.workers.len() >= WORKERS_MAX {
            self.workers.retain(|worker| worker.expected(now) > 0);
        }
        if self.workers.len() < WORKERS_MAX {
            let poller = op::Poller { request_id: String::new(), ..poller.clone() };
            self.workers.push(Worker { poller, window: now.div_euclid(WINDOW), polls: 1, polls_before: 0 });
        }
    }

    /// A poll of the worker went away before it got anything: its answers may be lost, so it is not relied on.
    pub(super) fn left(&mut self, poller: &op::Poller) {
        self.workers.retain(|worker| !same_worker(&worker.poller, poller));
    }

    /// Nothing is kept for a poll of this node.
    pub(super) fn nothing_kept(&mut self, now: i64) {
        self.free = now;
    }

    /// Promises the next poll of a worker, of which `waiting` tasks will have theirs first. A quarter of the polls to come
    /// stay free, and of all polls one now and then: what waits elsewhere is found by them.
    pub(super) fn make(&mut self, now: i64, waiting: usize) -> Option<op::Poller> {
        if now < self.paused || self.free + FREE < now {
            return None;
        }
        let fastest = self.workers.iter().max_by_key(|worker| worker.expected(now))?;
        if fastest.expected(now) * 3 / 4 <= self.owed + waiting {
            return None;
        }
        self.owed += 1;
        Some(fastest.poller.clone())
    }

    /// It went to a poll that waited already, or back, or nothing was started for it.
    pub(super) fn end(&mut self) {
        self.owed -= 1;
    }

    /// None of the worker waits yet.
    pub(super) fn keep(&mut self, now: i64, poller: op::Poller, started: Started) {
        self.kept.push_back(Kept { poller, since: now, started });
    }

    /// What was started for a poll of this worker, unless a task that waits since `oldest` has its turn before.
    pub(super) fn take(&mut self, poller: &op::Poller, oldest: Option<i64>) -> Option<Started> {
        let at = self.kept.iter().position(|kept| same_worker(&kept.poller, poller))?;
        if oldest.is_some_and(|oldest| oldest < self.kept[at].since) {
            return None;
        }
        self.owed -= 1;
        self.kept.remove(at).map(|kept| kept.started)
    }

    /// What nobody came for.
    pub(super) fn broken(&mut self, now: i64) -> Vec<Started> {
        let late = self.kept.partition_point(|kept| kept.since + PATIENCE <= now);
        self.give_up(now, late)
    }

    /// A worker stops: it is promised nothing more, and what was started for it goes back.
    pub(super) fn stop(&mut self, worker_instance_key: &str) -> Vec<Started> {
        let its = |poller: &op::Poller| poller.worker_instance_key == worker_instance_key;
        self.workers.retain(|worker| !its(&worker.poller));
        let (gone, kept): (Vec<Kept>, _) = self.kept.drain(..).partition(|kept| its(&kept.poller));
        self.kept = kept.into();
        self.owed -= gone.len();
        gone.into_iter().map(|kept| kept.started).collect()
    }

    /// Its sticky queue's worker stops, or this node does.
    pub(super) fn break_all(&mut self, now: i64) -> Vec<Started> {
        self.workers.clear();
        self.give_up(now, self.kept.len())
    }

    fn give_up(&mut self, now: i64, count: usize) -> Vec<Started> {
        // What is broken during the pause is of the same mishap.
        if count > 0 && now >= self.paused {
            let again = self.pause > 0 && now < self.paused + SOON;
            self.pause = if again { (self.pause * 2).min(PAUSE_MAX) } else { PAUSE };
            self.paused = now + self.pause;
        }
        self.owed -= count;
        self.kept.drain(..count).map(|kept| kept.started).collect()
    }

    /// When the next one is broken unless a poll comes.
    pub(super) fn next_broken(&self) -> Option<i64> {
        self.kept.front().map(|kept| kept.since + PATIENCE)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.owed == 0
    }

    pub(super) fn is_for(promised: &op::Poller, poller: &op::Poller) -> bool {
        same_worker(promised, poller)
    }
}
