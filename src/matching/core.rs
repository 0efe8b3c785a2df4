//! The synchronous core of matching on one node: tasks and pollers in, pairs out. No I/O, no clock.

use std::collections::{BTreeSet, HashMap};

use statemachine::{op, QueueKey, TaskType};

use super::buffer::Kept;
use super::queue::Queue;
use super::rates::Settings;
use super::reserve::{Holder, Reserved};
use super::shares::{self, Shares};
use super::types::{span, Exhausted, Limits, Task};
use super::words::{Delivery, Described, Offered, Origin, Output, Place, Poll, Polled, PollerId, Reason};

#[derive(Debug)]
pub(super) struct Parked {
    pub(super) queue: QueueKey,
    pub(super) origin: Origin,
    pub(super) poller: op::Poller,
    pub(super) reservation: Option<u64>,
    pub(super) since: i64,
    /// It waits at the queue's home, too.
    pub(super) at_home: bool,
    /// Its worker stopped while it was reserved: it does not wait again.
    pub(super) stopped: bool,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) limits: Limits,
    pub(super) queues: HashMap<QueueKey, Queue>,
    pub(super) pollers: HashMap<PollerId, Parked>,
    pub(super) reservations: HashMap<u64, Reserved>,
    /// The upper half of the numbers of reservations: other nodes, and this one before its last start, had others.
    pub(super) epoch: u32,
    /// What was set for queues, whether or not they are in use here.
    pub(super) settings: HashMap<QueueKey, Settings>,
    /// Workers that were shut down, until when their polls come back empty.
    pub(super) shut: HashMap<(String, String), i64>,
    /// Queues to look at again, by time.
    pub(super) due: BTreeSet<(i64, QueueKey)>,
    pub(super) buffered: usize,
    pub(super) shares: Shares,
    pub(super) next_id: u64,
    /// Until then pollers of a queue may not have found their way to its new home.
    pub(super) settled: i64,
    /// How far the shards' time, in which tasks are ready and queries end, is ahead of `now`, which never goes back.
    pub(super) skew: i64,
    /// Polls of this node's clients are about to end.
    pub(super) leaving: bool,
    pub(super) outputs: Vec<Output>,
}

impl Core {
    pub(super) fn new(now: i64, limits: Limits) -> Self {
        Self {
            limits,
            queues: HashMap::new(),
            pollers: HashMap::new(),
            reservations: HashMap::new(),
            epoch: 1,
            settings: HashMap::new(),
            shut: HashMap::new(),
            due: BTreeSet::new(),
            buffered: 0,
            shares: Shares::default(),
            next_id: 1,
            settled: now + span::SETTLE,
            skew: 0,
            leaving: false,
            outputs: Vec::new(),
        }
    }

    pub(super) fn with_epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    pub(super) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Homes may have moved.
    pub(super) fn unsettle(&mut self, now: i64) {
        self.settled = now + span::SETTLE;
    }

    /// What was set for a queue.
    pub(super) fn configure(&mut self, now: i64, key: QueueKey, settings: Settings) {
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.rates.configure(now, settings.clone());
        }
        if settings.is_default() {
            self.settings.remove(&key);
        } else if self.settings.len() < self.limits.queues || self.settings.contains_key(&key) {
            self.settings.insert(key.clone(), settings);
        }
        self.revisit(now, &key);
    }

    // ---- tasks ----

    /// A task of a shard that `node` leads is ready.
    pub(super) fn offer(&mut self, now: i64, node: u64, mut task: Task, reason: Reason, place: Place) -> Offered {
        if !self.queues.contains_key(&task.queue) {
            match place {
                Place::Elsewhere => return Offered::Away(Box::new(task)),
                Place::Home if self.room_for_queue(&task.queue).is_err() => return Offered::Full,
                Place::Home => {}
            }
        }
        let (settled, time) = (self.settled <= now, now + self.skew);
        let queue = queue(&mut self.queues, &mut self.shares, &self.settings, now, &task.queue);
        queue.last_use = now;
        task.fairness_weight = queue.rates.weight(&task);
        let key = task.key();
        match reason {
            Reason::Returned => queue.recent.remove(&key),
            Reason::Ready if queue.recent.contains(now, &key) => return Offered::Known,
            Reason::Ready => {}
        }
        if place == Place::Home && task.sticky && unpolled(queue, now, settled) {
            self.buffered -= usize::from(queue.buffer.remove(&key).is_some());
            return Offered::Unpolled(Box::new(task));
        }
        if queue.buffer.contains(&key) {
            return Offered::Known;
        }
        // Fresh tasks come by themselves; an old one is the first of a page of the ready table.
        if place == Place::Home && reason == Reason::Ready && task.is_aged(time) {
            queue.has_more_at(node);
        }
        if let Some(poller) = taker(queue, now, place, &task) {
            if reason == Reason::Ready {
                queue.added.count(now, task.priority);
            }
            queue.hand_out(now, &task);
            let key = task.queue.clone();
            self.serve(now, poller, Delivery::Task(Box::new(task)));
            self.revisit(now, &key);
            return Offered::Taken;
        }
        match place {
            Place::Elsewhere => Offered::Away(Box::new(task)),
            Place::Home => self.keep(now, node, task, reason),
        }
    }

    fn keep(&mut self, now: i64, node: u64, task: Task, reason: Reason) -> Offered {
        let (key, priority) = (task.queue.clone(), task.priority);
        let queue = self.queues.get_mut(&key).expect("the caller made the queue");
        let room =
            if self.buffered < self.limits.buffered { self.limits.buffered_per_queue } else { queue.buffer.len() };
        match queue.buffer.insert(task, room) {
            Kept::Full => {
                queue.has_more_at(node);
                return Offered::Full;
            }
            Kept::Instead => queue.has_more_at(node),
            Kept::Yes => self.buffered += 1,
        }
        if reason == Reason::Ready {
            queue.added.count(now, priority);
        }
        self.revisit(now, &key);
        Offered::Kept
    }

    /// A task that a peer sent for a poller parked here. It comes back if that poller cannot have it.
    pub(super) fn deliver(&mut self, now: i64, poller: PollerId, task: Task) -> Result<(), Box<Task>> {
        let waits = self.pollers.get(&poller).filter(|parked| parked.reservation.is_none());
        let Some(since) = waits.map(|parked| parked.since) else { return Err(Box::new(task)) };
        if let Some(queue) = self.queues.get_mut(&task.queue) {
            queue.recent.insert(now, task.key());
            queue.home_served(now, since + self.skew, &task);
        }
        self.serve(now, poller, Delivery::Task(Box::new(task)));
        Ok(())
    }

    /// What `node` sent when it was asked for at most `asked` tasks; `None` if the call failed.
    pub(super) fn pulled(&mut self, now: i64, node: u64, key: &QueueKey, tasks: Option<Vec<Task>>, asked: usize) {
        let exhausted = tasks.as_ref().is_some_and(|tasks| tasks.len() < asked);
        if let Some(queue) = self.queues.get_mut(key) {
            queue.pull_ended(node, exhausted);
        }
        for task in tasks.unwrap_or_default() {
            if task.queue == *key {
                self.offer(now, node, task, Reason::Ready, Place::Home);
            }
        }
        self.revisit(now, key);
    }

    // ---- pollers ----

    pub(super) fn poll(&mut self, now: i64, poll: Poll) -> Result<Polled, Exhausted> {
        let goes = self.leaving && poll.origin == Origin::Local;
        if goes || self.is_shut(now, &poll.queue.namespace_id, &poll.poller) {
            return Ok(Polled::ShutDown);
        }
        if !self.queues.contains_key(&poll.queue) {
            self.room_for_queue(&poll.queue)?;
        }
        let queue = queue(&mut self.queues, &mut self.shares, &self.settings, now, &poll.queue);
        queue.polled(now);
        queue.sticky |= poll.sticky;
        queue.sightings.saw(now, &poll.poller, poll.rate);
        if let (Some(rate), TaskType::Activity) = (poll.rate, poll.queue.task_type) {
            queue.rates.ask(now, rate);
        }
        self.buffered -= queue.buffer.expire(now + self.skew);
        if poll.origin == Origin::Local {
            if let Some(started) = queue.promised_task(&poll.poller, self.skew) {
                queue.promises.served(now, &poll.poller, 0);
                return Ok(Polled::Started(Box::new(started)));
            }
            queue.promises.nothing_kept(now);
        }
        if let Some(task) = queue.next_task(now, self.skew) {
            if poll.origin == Origin::Local {
                queue.promises.served(now, &poll.poller, 0);
            }
            self.buffered -= 1;
            self.revisit(now, &poll.queue);
            return Ok(Polled::Task(Box::new(task)));
        }
        if queue.parked() >= self.limits.pollers_per_queue {
            return Err(Exhausted::QueuePollers);
        }
        if self.pollers.len() >= self.limits.pollers {
            return Err(Exhausted::Pollers);
        }
        if self.shares.of(&poll.queue.namespace_id).pollers >= self.limits.pollers_per_namespace {
            return Err(Exhausted::NamespacePollers);
        }
        let id = PollerId(self.number());
        let queue = self.queues.get_mut(&poll.queue).expect("made above");
        queue.park(poll.origin, id);
        let key = poll.queue.clone();
        let parked = Parked {
            queue: poll.queue,
            origin: poll.origin,
            poller: poll.poller,
            reservation: None,
            since: now,
            at_home: false,
            stopped: false,
        };
        self.pollers.insert(id, parked);
        self.shares.add(&key.namespace_id, shares::pollers);
        self.revisit(now, &key);
        Ok(Polled::Parked(id))
    }

    /// Whether the worker said a moment ago that it stops.
    pub(super) fn is_shut(&self, now: i64, namespace_id: &str, poller: &op::Poller) -> bool {
        let worker = (namespace_id.to_owned(), poller.worker_instance_key.clone());
        self.shut.get(&worker).is_some_and(|&until| until > now)
    }

    /// Whether there is room for one more queue, of this namespace.
    fn room_for_queue(&self, key: &QueueKey) -> Result<(), Exhausted> {
        if self.queues.len() >= self.limits.queues {
            Err(Exhausted::Queues)
        } else if self.shares.of(&key.namespace_id).queues >= self.limits.queues_per_namespace {
            Err(Exhausted::NamespaceQueues)
        } else {
            Ok(())
        }
    }

    /// The poller waits no longer. Nothing happens if it is served already.
    pub(super) fn leave(&mut self, now: i64, poller: PollerId) {
        let Some(parked) = self.take_out(now, poller) else { return };
        if let (Origin::Local, Some(queue)) = (parked.origin, self.queues.get_mut(&parked.queue)) {
            queue.promises.left(&parked.poller);
        }
    }

    fn take_out(&mut self, now: i64, poller: PollerId) -> Option<Parked> {
        let parked = self.pollers.remove(&poller)?;
        self.shares.remove(&parked.queue.namespace_id, shares::pollers);
        let queue = self.queues.get_mut(&parked.queue).expect("queues with pollers stay");
        queue.unpark(now, poller);
        if let Some(reservation) = parked.reservation {
            queue.reserved -= 1;
            if let Some(reserved) = self.reservations.get_mut(&reservation) {
                reserved.holder = Holder::Gone;
            }
        }
        Some(parked)
    }

    /// Ends a wait with an empty answer, unless it is served or reserved already.
    pub(super) fn end(&mut self, now: i64, poller: PollerId, delivery: Delivery) {
        if self.pollers.get(&poller).is_some_and(|parked| parked.reservation.is_none()) {
            self.serve(now, poller, delivery);
        }
    }

    /// Whether a poller should go to its queue's home at once. Most are served where they are before they would arrive.
    pub(super) fn hurries_home(&self, now: i64, key: &QueueKey) -> bool {
        self.queues.get(key).is_none_or(|queue| queue.wants_at_home(now))
    }

    /// The poller also waits at its queue's home from now on.
    pub(super) fn goes_home(&mut self, now: i64, poller: PollerId) {
        let Some(parked) = self.pollers.get_mut(&poller) else { return };
        parked.at_home = true;
        if let Some(queue) = self.queues.get_mut(&parked.queue) {
            queue.goes_home(now, poller);
        }
    }

    pub(super) fn is_reserved(&self, poller: PollerId) -> bool {
        self.pollers.get(&poller).is_some_and(|parked| parked.reservation.is_some())
    }

    /// A worker stops: its polls end now and for a while, its sticky queue is forgotten.
    pub(super) fn shut_down(&mut self, now: i64, namespace_id: &str, sticky_queue: &str, worker_instance_key: &str) {
        if !worker_instance_key.is_empty() && self.shut.len() < self.limits.pollers {
            let worker = (namespace_id.to_owned(), worker_instance_key.to_owned());
            self.shut.insert(worker, now + span::SHUT_DOWN);
        }
        let stopped = |parked: &Parked| {
            let same = !worker_instance_key.is_empty() && parked.poller.worker_instance_key == worker_instance_key;
            let sticky = !sticky_queue.is_empty() && parked.queue.name == sticky_queue;
            parked.queue.namespace_id == namespace_id && (same || sticky)
        };
        let mut ended = Vec::new();
        for (&id, parked) in self.pollers.iter_mut().filter(|(_, parked)| stopped(parked)) {
            parked.stopped = true;
            ended.push(id);
        }
        ended.sort_unstable();
        for poller in ended {
            self.end(now, poller, Delivery::Empty);
        }
        if !worker_instance_key.is_empty() {
            for (_, queue) in self.queues.iter_mut().filter(|(key, _)| key.namespace_id == namespace_id) {
                let broken = queue.promises.stop(worker_instance_key);
                self.outputs.extend(broken.into_iter().map(|started| Output::GiveBack(Box::new(started))));
            }
        }
        let name = sticky_queue.to_owned();
        let key = QueueKey { namespace_id: namespace_id.to_owned(), task_type: TaskType::Workflow, name };
        if let Some(queue) = self.queues.get_mut(&key) {
            self.buffered -= queue.buffer.len();
            queue.buffer = Default::default();
            queue.forget_polls();
            let broken = queue.promises.break_all(now);
            self.outputs.extend(broken.into_iter().map(|started| Output::GiveBack(Box::new(started))));
        }
    }

    /// The workers of these sticky queues lost their node: nothing waits for them until they poll again.
    pub(super) fn forget_polls(&mut self, now: i64, keys: Vec<QueueKey>) {
        for key in keys {
            if self.queues.contains_key(&key) || self.room_for_queue(&key).is_ok() {
                let queue = queue(&mut self.queues, &mut self.shares, &self.settings, now, &key);
                queue.last_use = now;
                queue.forget_polls();
            }
        }
    }

    // ---- time ----

    /// Once a second: what is not at home here any more goes, and so does what is too old.
    pub(super) fn tick(&mut self, now: i64, is_home: &dyn Fn(&QueueKey) -> bool) {
        self.shut.retain(|_, until| *until > now);
        let mut moved = Vec::new();
        let mut waiting = Vec::new();
        for (key, queue) in &mut self.queues {
            self.buffered -= queue.buffer.expire(now + self.skew);
            queue.recent.prune(now);
            queue.sightings.prune(now);
            if !is_home(key) {
                self.buffered -= queue.buffer.len();
                queue.buffer = Default::default();
                queue.forget_more();
                moved.extend(queue.remotes());
            } else {
                waiting.push(key.clone());
            }
        }
        moved.sort_unstable();
        for poller in moved {
            self.end(now, poller, Delivery::Moved);
        }
        waiting.sort_unstable();
        for key in waiting {
            self.revisit(now, &key);
        }
        self.queues.retain(|key, queue| {
            let idle = queue.idle(now);
            if idle {
                self.shares.remove(&key.namespace_id, shares::queues);
            }
            !idle
        });
    }

    /// When [`Core::wake`] has something to do.
    pub(super) fn next_wake(&self) -> Option<i64> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Serves the queues whose rate limit or pause has run out.
    pub(super) fn wake(&mut self, now: i64) {
        while self.next_wake().is_some_and(|time| time <= now) {
            let (_, key) = self.due.pop_first().expect("it was just there");
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.due = None;
                self.revisit(now, &key);
            }
        }
    }

    // ---- questions ----

    pub(super) fn has_recent_poller(&self, now: i64, key: &QueueKey, window: i64) -> bool {
        let last = self.queues.get(key).and_then(|queue| queue.last_poll(now));
        last.is_some_and(|last| last + window > now)
    }

    pub(super) fn is_full(&self, key: &QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.buffer.len() >= self.limits.buffered_per_queue)
    }

    pub(super) fn describe(&self, now: i64, key: &QueueKey) -> Described {
        let Some(queue) = self.queues.get(key) else { return Described::default() };
        Described {
            sightings: queue.sightings.all(now),
            last_poll: queue.last_poll(now),
            buffered: queue.buffer.len(),
            oldest: queue.buffer.oldest(),
            added: queue.added.rates(now),
            dispatched: queue.dispatched.rates(now),
            asked: queue.rates.asked(),
        }
    }

    // ---- within ----

    /// Brings buffered tasks to parked pollers as far as the rate allows, then asks for more if there are few left.
    pub(super) fn revisit(&mut self, now: i64, key: &QueueKey) {
        let mut served = Vec::new();
        let Some(queue) = self.queues.get_mut(key) else { return };
        let broken = queue.promises.broken(now);
        self.outputs.extend(broken.into_iter().map(|started| Output::GiveBack(Box::new(started))));
        let mut later = queue.promises.next_broken();
        while let Some(poller) = queue.first() {
            let Some(task) = queue.next_task(now, self.skew) else {
                later = earlier(later, queue.throttled_until(now));
                break;
            };
            queue.unpark(now, poller);
            self.buffered -= 1;
            served.push((poller, task));
        }
        if queue.buffer.len() < self.limits.low_water {
            let max = self.limits.buffered_per_queue;
            let (nodes, next) = queue.pulls(now);
            self.outputs.extend(nodes.into_iter().map(|node| Output::Pull { queue: key.clone(), node, max }));
            later = earlier(later, next);
        }
        if let Some(time) = later.filter(|&time| queue.due.is_none_or(|due| time < due)) {
            if let Some(due) = queue.due.replace(time) {
                self.due.remove(&(due, key.clone()));
            }
            self.due.insert((time, key.clone()));
        }
        for (poller, task) in served {
            self.serve(now, poller, Delivery::Task(Box::new(task)));
        }
    }

    pub(super) fn serve(&mut self, now: i64, poller: PollerId, delivery: Delivery) {
        let served = self.take_out(now, poller).filter(|parked| parked.origin == Origin::Local);
        if let (Some(parked), Delivery::Task(_)) = (served, &delivery) {
            if let Some(queue) = self.queues.get_mut(&parked.queue) {
                queue.promises.served(now, &parked.poller, now - parked.since);
            }
        }
        self.outputs.push(Output::Serve { poller, delivery });
    }

    fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// A queue, made with what was set for it when it is first heard of.
fn queue<'q>(
    queues: &'q mut HashMap<QueueKey, Queue>,
    shares: &mut Shares,
    settings: &HashMap<QueueKey, Settings>,
    now: i64,
    key: &QueueKey,
) -> &'q mut Queue {
    queues.entry(key.clone()).or_insert_with(|| {
        shares.add(&key.namespace_id, shares::queues);
        let mut queue = Queue::default();
        if let Some(settings) = settings.get(key) {
            queue.rates.configure(now, settings.clone());
        }
        queue
    })
}

/// The parked poller that an offered task goes to. Tasks that wait already come first; and a dispatch rate is one for
/// the whole queue, so only its home hands out where there is one.
fn taker(queue: &mut Queue, now: i64, place: Place, task: &Task) -> Option<PollerId> {
    let poller = match place {
        Place::Home => queue.first()?,
        Place::Elsewhere if queue.rates.is_limited() => return None,
        Place::Elsewhere => queue.first_local()?,
    };
    let may_go = queue.rates.allows(now) && queue.rates.allows_task(now, task);
    (queue.buffer.is_empty() && may_go).then_some(poller)
}

fn unpolled(queue: &Queue, now: i64, settled: bool) -> bool {
    match queue.last_poll(now) {
        Some(last) => settled && last + span::STICKY_WINDOW <= now,
        None => settled || queue.shut,
    }
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
