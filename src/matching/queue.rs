//! One task queue as this node sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::buffer::Buffer;
use super::meter::{Bucket, Meter};
use super::recent::Recent;
use super::sightings::Sightings;
use super::types::{span, Task, TaskKey};
use super::words::{Origin, PollerId};

/// Least time between two pulls from the same node, ns.
const PULL_PAUSE: i64 = span::SECOND / 50;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) buffer: Buffer,
    pub(super) recent: Recent,
    pub(super) sightings: Sightings,
    pub(super) added: Meter,
    pub(super) dispatched: Meter,
    pub(super) bucket: Option<Bucket>,
    /// Pollers that wait, in the order in which they came; those of this node are served first.
    local: BTreeSet<PollerId>,
    remote: BTreeSet<PollerId>,
    pub(super) reserved: usize,
    last_poll: Option<i64>,
    pub(super) last_use: i64,
    /// Its worker said that it stops, and nobody polled since.
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

    /// Sets the dispatch rate that a poller brought; the latest counts.
    pub(super) fn set_rate(&mut self, now: i64, per_second: f64) {
        match &mut self.bucket {
            Some(bucket) => bucket.set_rate(now, per_second),
            None => self.bucket = Some(Bucket::new(now, per_second)),
        }
    }

    pub(super) fn park(&mut self, origin: Origin, poller: PollerId) {
        match origin {
            Origin::Local => self.local.insert(poller),
            Origin::Remote => self.remote.insert(poller),
        };
    }

    pub(super) fn unpark(&mut self, now: i64, poller: PollerId) {
        if self.local.remove(&poller) || self.remote.remove(&poller) {
            self.last_poll = Some(now);
            self.last_use = now;
        }
    }

    pub(super) fn parked(&self) -> usize {
        self.local.len() + self.remote.len()
    }

    pub(super) fn first_local(&self) -> Option<PollerId> {
        self.local.first().copied()
    }

    pub(super) fn first(&self) -> Option<PollerId> {
        self.local.first().or(self.remote.first()).copied()
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

    pub(super) fn dispatch_allowed(&mut self, now: i64) -> bool {
        self.bucket.as_mut().is_none_or(|bucket| bucket.ready(now))
    }

    /// A task is about to go to a poller.
    pub(super) fn hand_out(&mut self, now: i64, key: TaskKey) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take();
        }
        self.dispatched.count(now);
        self.recent.insert(now, key);
        self.last_use = now;
    }

    /// The next task that may go out now.
    pub(super) fn next_task(&mut self, now: i64) -> Option<Task> {
        if self.buffer.is_empty() || !self.dispatch_allowed(now) {
            return None;
        }
        let task = self.buffer.pop()?;
        self.hand_out(now, task.key());
        Some(task)
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
        self.parked() + self.reserved == 0 && self.buffer.is_empty() && self.last_use + span::IDLE_QUEUE <= now
    }
}
