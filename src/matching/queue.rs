//! One task queue as this node sees it.

use std::collections::{BTreeMap, BTreeSet};

use statemachine::op;

use super::buffer::Buffer;
use super::meter::{Bucket, Meters};
use super::promises::Promises;
use super::rates::Rates;
use super::recent::Recent;
use super::sightings::Sightings;
use super::types::{span, Started, Task, DEFAULT_PRIORITY};
use super::words::{Origin, PollerId};

/// Least time between two pulls from the same node, ns.
const PULL_PAUSE: i64 = span::SECOND / 50;
/// A task that waits for longer could use another poller, ns.
const LATE: i64 = span::SECOND / 5;
/// Pieces of advice a second.
const ADVICE_RATE: f64 = 10.0;
/// A task that waited so long for a poller of this node tells that its home is short of them, ns.
const SHORT: i64 = span::SECOND / 100;
/// One that waited so long tells that this node's pollers are needed there, ns.
const STARVES: i64 = span::SECOND / 10;

/// One poller goes to the home at once if none was there for so long, ns.
const SCOUT: i64 = span::SECOND / 100;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) buffer: Buffer,
    pub(super) recent: Recent,
    pub(super) sightings: Sightings,
    pub(super) added: Meters,
    pub(super) dispatched: Meters,
    pub(super) rates: Rates,
    /// Advice to add pollers, which is not given too often.
    advice: Option<Bucket>,
    /// Pollers that wait, in the order in which they came; those of this node are served first, and of them those that do
    /// not also wait at the home.
    local: BTreeSet<PollerId>,
    abroad: BTreeSet<PollerId>,
    remote: BTreeSet<PollerId>,
    /// When one of this node last went to the home.
    went_home: i64,
    pub(super) reserved: usize,
    pub(super) promises: Promises,
    /// Tasks wait for pollers at the home, as far as was seen, until then; and they wait long.
    home_behind: Option<i64>,
    home_starves: Option<i64>,
    /// One worker's own, as polls of this node said.
    pub(super) sticky: bool,
    last_poll: Option<i64>,
    pub(super) last_use: i64,
    /// Its worker stops or lost its node, and nobody polled since.
    pub(super) shut: bool,
    /// Nodes with tasks that did not fit here.
    more: BTreeMap<u64, Pull>,
    /// When the core will look at it again.
    pub(super) due: Option<i64>,
}

#[derive(Debug, Default)]
struct Pull {
    under_way: bool,
    last: i64,
}

impl Queue {
    pub(super) fn polled(&mut self, now: i64) {
        self.last_poll = Some(now);
        self.last_use = now;
        self.shut = false;
    }

    pub(super) fn forget_polls(&mut self) {
        self.last_poll = None;
        self.shut = true;
    }

    pub(super) fn park(&mut self, origin: Origin, poller: PollerId) {
        match origin {
            Origin::Local => self.local.insert(poller),
            Origin::Remote => self.remote.insert(poller),
        };
    }

    pub(super) fn unpark(&mut self, now: i64, poller: PollerId) {
        if self.local.remove(&poller) || self.abroad.remove(&poller) || self.remote.remove(&poller) {
            if !self.shut {
                self.last_poll = Some(now);
            }
            self.last_use = now;
        }
    }

    /// A parked poller of this node now waits at the home, too.
    pub(super) fn goes_home(&mut self, now: i64, poller: PollerId) {
        self.went_home = now;
        if self.local.remove(&poller) {
            self.abroad.insert(poller);
        }
    }

    pub(super) fn parked(&self) -> usize {
        self.local.len() + self.abroad.len() + self.remote.len()
    }

    pub(super) fn first_local(&self) -> Option<PollerId> {
        self.local.first().or(self.abroad.first()).copied()
    }

    pub(super) fn locals(&self) -> impl Iterator<Item = PollerId> + '_ {
        self.local.iter().chain(&self.abroad).copied()
    }

    pub(super) fn first(&self) -> Option<PollerId> {
        self.first_local().or(self.remote.first().copied())
    }

    pub(super) fn remotes(&self) -> Vec<PollerId> {
        self.remote.iter().copied().collect()
    }

    pub(super) fn last_poll(&self, now: i64) -> Option<i64> {
        if self.parked() + self.reserved > 0 {
            return Some(now);
        }
        self.last_poll
    }

    /// A task is about to go to a poller.
    pub(super) fn hand_out(&mut self, now: i64, task: &Task) {
        self.rates.take(now, task);
        self.dispatched.count(now, task.priority);
        self.recent.insert(now, task.key());
        self.last_use = now;
    }

    /// A proposal started a task of this queue.
    pub(super) fn started(&mut self, now: i64, started: &Started) {
        let priority = started.task().map_or(DEFAULT_PRIORITY, |task| task.priority.max(1));
        self.added.count(now, priority);
        self.dispatched.count(now, priority);
    }

    /// The home sent this for a poller that came at `since`, in the shards' time.
    pub(super) fn home_served(&mut self, now: i64, since: i64, task: &Task) {
        if task.ready_time + SHORT < since {
            self.home_behind = Some(now + span::SECOND);
        }
        if task.ready_time + STARVES < since {
            self.home_starves = Some(now + STARVES);
        }
    }

    /// Stands in for a parked poller of this node, where there is none.
    pub(super) fn promise(&mut self, now: i64) -> Option<op::Poller> {
        let needed_at_home = self.home_starves.is_some_and(|until| now < until);
        if needed_at_home || !self.buffer.is_plain() {
            None
        } else {
            self.promises.make(now, self.buffer.len())
        }
    }

    /// What was started for this worker's next poll, unless a task that waits has its turn before.
    pub(super) fn promised_task(&mut self, poller: &op::Poller, skew: i64) -> Option<Started> {
        if !self.buffer.is_empty() && !self.buffer.is_plain() {
            return None;
        }
        self.promises.take(poller, self.buffer.oldest().map(|oldest| oldest - skew))
    }

    /// Whether the home wants another poller of this node: tasks wait there, as far as is known, or none of this node has
    /// been there for a while to find out.
    pub(super) fn wants_at_home(&self, now: i64) -> bool {
        let behind = self.home_behind.is_some_and(|until| now < until);
        behind || (self.abroad.is_empty() && self.went_home + SCOUT <= now)
    }

    /// The next task that may go out now.
    pub(super) fn next_task(&mut self, now: i64, skew: i64) -> Option<Task> {
        if self.buffer.is_empty() || !self.rates.allows(now) {
            return None;
        }
        let rates = &mut self.rates;
        let mut task = self.buffer.pop(&mut |task| rates.allows_task(now, task))?;
        self.hand_out(now, &task);
        task.more_pollers = self.wants_pollers(now, skew, &task);
        Some(task)
    }

    /// Whether more pollers would help: tasks have to wait, or more come than go (Temporal: matching.pollerScaling*).
    fn wants_pollers(&mut self, now: i64, skew: i64, task: &Task) -> bool {
        let late = |ready_time: i64| ready_time + LATE < now + skew;
        let behind = late(task.ready_time) || self.buffer.oldest().is_some_and(late);
        if !behind && self.added.rate(now) <= self.dispatched.rate(now) * 1.2 {
            return false;
        }
        let advice = self.advice.get_or_insert_with(|| Bucket::new(now, ADVICE_RATE));
        let given = advice.ready(now);
        if given {
            advice.take();
        }
        given
    }

    /// When a buffered task may go out that may not now.
    pub(super) fn throttled_until(&self, now: i64) -> Option<i64> {
        if self.buffer.is_empty() || !self.rates.is_limited() {
            return None;
        }
        self.rates.next(now, self.buffer.fairness_keys())
    }

    pub(super) fn has_more_at(&mut self, node: u64) {
        self.more.entry(node).or_default();
    }

    pub(super) fn forget_more(&mut self) {
        self.more.clear();
    }

    /// The nodes to pull from now. When some may be asked only later, also that time.
    pub(super) fn pulls(&mut self, now: i64) -> (Vec<u64>, Option<i64>) {
        let mut nodes = Vec::new();
        let mut later = None;
        for (&node, pull) in self.more.iter_mut().filter(|(_, pull)| !pull.under_way) {
            if pull.last + PULL_PAUSE <= now {
                *pull = Pull { under_way: true, last: now };
                nodes.push(node);
            } else {
                let next = pull.last + PULL_PAUSE;
                later = Some(later.map_or(next, |before: i64| before.min(next)));
            }
        }
        (nodes, later)
    }

    /// A pull came back; the node has more, or it has not.
    pub(super) fn pull_ended(&mut self, node: u64, exhausted: bool) {
        if exhausted {
            self.more.remove(&node);
        } else if let Some(pull) = self.more.get_mut(&node) {
            pull.under_way = false;
        }
    }

    pub(super) fn idle(&self, now: i64) -> bool {
        self.parked() + self.reserved == 0
            && self.promises.is_idle()
            && self.buffer.is_empty()
            && self.last_use + span::IDLE_QUEUE <= now
    }
}
