//! The shell: what waits, on what, and until when. Decisions are the core's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use proto::everstep::peer::v1 as peer;
use proto::temporal::api::taskqueue::v1::TaskQueueConfig;
use statemachine::op::TaskRef;
use statemachine::QueueKey;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::handed::Handed;
use super::offers::{FullQueues, Outboxes};
use super::query::Queries;
use super::topology::{Call, TaskSource, Topology};
use super::types::{Exhausted, Limits, PollRequest, Reservation, Started, Task};
use super::wire;
use super::words::{Delivery, Origin, Output, Place, Poll, Polled, PollerId, Reason};
use super::workers::Workers;

/// A poll that is reserved at its deadline waits so much longer for the proposal's answer.
const RESERVED_GRACE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);
/// Sticky queues in one call.
const FORGOTTEN_AT_ONCE: usize = 1024;
/// For a call to a peer that has no reason to wait.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Matching on this node. Clones are the same one.
#[derive(Clone)]
pub struct Matching {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) topology: Arc<dyn Topology>,
    source: OnceLock<Arc<dyn TaskSource>>,
    inner: Mutex<Inner>,
    pub(super) outboxes: Outboxes,
    pub(super) full: FullQueues,
    pub(super) queries: Queries,
    pub(super) workers: Workers,
    clock: Clock,
    /// Steps of the core are also taken on apply threads.
    runtime: Handle,
    changed: Notify,
    /// Homes moved.
    pub(super) moved: Notify,
    draining: CancellationToken,
    pub(super) stopped: CancellationToken,
}

/// What the lock guards; it is held for the core's steps only, never while waiting.
pub(super) struct Inner {
    pub(super) core: Core,
    pub(super) waiting: HashMap<PollerId, oneshot::Sender<Delivery>>,
    /// The polls that other nodes registered here: (node, its poll id).
    pub(super) registered: HashMap<(u64, u64), PollerId>,
    generation: u64,
    /// Homes moved since the last tick.
    moved: bool,
    /// What the ticker knows of the next wake.
    announced: Option<i64>,
}

/// What a poll got.
#[derive(Debug)]
pub enum PollResult {
    Task(Handed),
    /// A proposal started this task for the poller: no `StartTask` is needed.
    Started(Box<Started>),
    Empty,
}

impl Matching {
    /// Starts with nothing known. Its loops run until [`Matching::stop`].
    pub fn start(topology: Arc<dyn Topology>, limits: Limits) -> Self {
        let clock = Clock { base: topology.time(), started: Instant::now() };
        let inner = Inner {
            core: Core::new(clock.now(), limits.clone()).with_epoch(rand::random()),
            waiting: HashMap::new(),
            registered: HashMap::new(),
            generation: topology.generation(),
            moved: false,
            announced: None,
        };
        let stopped = CancellationToken::new();
        let shared = Arc::new(Shared {
            topology,
            source: OnceLock::new(),
            inner: Mutex::new(inner),
            outboxes: Outboxes::new(limits.offers_per_peer),
            full: FullQueues::default(),
            queries: Queries::new(limits.queries, clock.now() as u64),
            workers: Workers::default(),
            clock,
            runtime: Handle::current(),
            changed: Notify::new(),
            moved: Notify::new(),
            draining: stopped.child_token(),
            stopped,
        });
        let matching = Self { shared };
        tokio::spawn(matching.clone().run_ticks());
        matching
    }

    /// Where ready tasks are read from; the first call counts.
    pub fn set_source(&self, source: Arc<dyn TaskSource>) {
        if self.shared.source.set(source).is_err() {
            tracing::warn!("matching has a task source already");
        }
    }

    /// This node is about to leave: its clients' polls end empty, now and from now on. The rest goes on, for this node
    /// may lead shards and be home of queues a little longer. The others hear which sticky queues nobody polls now.
    pub async fn drain(&self) {
        self.shared.draining.cancel();
        let sticky = self.with_inner(|inner, now| inner.core.leave_node(now));
        let calls = sticky.chunks(FORGOTTEN_AT_ONCE).map(|queues| {
            let queues = queues.iter().map(wire::queue).collect();
            self.call_others(Call::ForgetPolls(peer::ForgetPollsRequest { queues }))
        });
        join_all(calls).await;
    }

    /// Ends the loops, and the polls with them.
    pub fn stop(&self) {
        self.shared.stopped.cancel();
    }

    /// What was set for queues.
    pub fn configure(&self, settings: Vec<(QueueKey, TaskQueueConfig)>) {
        self.with_inner(|inner, now| {
            for (queue, config) in settings {
                inner.core.configure(now, queue, config.into());
            }
        });
    }

    // ---- pollers ----

    /// Waits for a task until the deadline. Dropping the future loses nothing.
    pub async fn poll(&self, request: PollRequest) -> Result<PollResult, Exhausted> {
        let poll = Poll {
            queue: request.queue,
            origin: Origin::Local,
            sticky: request.sticky,
            poller: request.poller,
            rate: request.max_tasks_per_second,
        };
        let mut ticket = match self.register(poll.clone(), None)? {
            Registered::Task(task) => return Ok(PollResult::Task(self.handed(task))),
            Registered::Started(started) => return Ok(PollResult::Started(started)),
            Registered::ShutDown => return Ok(PollResult::Empty),
            Registered::Parked(ticket) => ticket,
        };
        let id = ticket.id;
        let delivery = tokio::select! {
            biased;
            delivery = ticket.wait(request.deadline) => delivery,
            () = self.register_at_home(id, &poll, request.deadline) => Delivery::Empty,
        };
        Ok(match delivery {
            Delivery::Task(task) => PollResult::Task(self.handed(task)),
            Delivery::Started(answer) => PollResult::Started(answer),
            Delivery::Empty | Delivery::Moved => PollResult::Empty,
        })
    }

    pub(super) fn register(&self, poll: Poll, peer: Option<(u64, u64)>) -> Result<Registered, Exhausted> {
        self.with_inner(|inner, now| {
            Ok(match inner.core.poll(now, poll)? {
                Polled::Task(task) => Registered::Task(task),
                Polled::Started(started) => Registered::Started(started),
                Polled::ShutDown => Registered::ShutDown,
                Polled::Parked(id) => {
                    let (sender, receiver) = oneshot::channel();
                    inner.waiting.insert(id, sender);
                    if let Some(peer) = peer {
                        inner.registered.insert(peer, id);
                    }
                    Registered::Parked(Ticket { matching: self.clone(), id, receiver, peer })
                }
            })
        })
    }

    fn handed(&self, task: Box<Task>) -> Handed {
        Handed::new(self.clone(), task)
    }

    /// Ends the worker's polls on all nodes, at once and for the next 30 s, and forgets its sticky queue.
    pub async fn shutdown_worker(&self, namespace_id: &str, sticky_queue: &str, worker_instance_key: &str) {
        self.end_worker_polls(namespace_id, sticky_queue, worker_instance_key);
        let request = peer::EndWorkerPollsRequest {
            namespace_id: namespace_id.to_owned(),
            sticky_queue: sticky_queue.to_owned(),
            worker_instance_key: worker_instance_key.to_owned(),
        };
        self.call_others(Call::EndWorkerPolls(request)).await;
    }

    /// Tells every other node something; who cannot be reached finds out by itself.
    async fn call_others(&self, call: Call) {
        let this = self.shared.topology.this_node();
        let others = self.shared.topology.alive_nodes().into_iter().filter(|&node| node != this);
        let calls =
            others.map(|node| tokio::time::timeout(CALL_TIMEOUT, self.shared.topology.call(node, call.clone())));
        join_all(calls).await;
    }

    pub(super) fn end_worker_polls(&self, namespace_id: &str, sticky_queue: &str, worker_instance_key: &str) {
        self.with_inner(|inner, now| inner.core.shut_down(now, namespace_id, sticky_queue, worker_instance_key));
    }

    // ---- reservations ----

    /// Takes a poller parked on this node out, for a proposal that may create a task for it, or promises one to come.
    pub fn reserve(&self, queue: &QueueKey) -> Option<Reservation> {
        self.with_inner(|inner, now| inner.core.reserve(now, queue))
    }

    /// The proposal made no task for the reservation: its poller waits again.
    pub fn release(&self, reservation: u64) {
        self.with_inner(|inner, now| inner.core.release(now, reservation));
    }

    /// A proposal of this node, or of another one, started a task for a reservation. If its poller has gone, the task
    /// goes to another one that waits here, or back.
    pub fn fulfil(&self, started: Started) {
        if let Err(started) = self.with_inner(|inner, now| inner.core.fulfil(now, started)) {
            self.give_back_started(*started);
        }
    }

    /// Nobody knows yet what became of the proposal. Its pollers wait a little longer, for this node may apply it.
    pub fn doubt(&self, reservations: Vec<u64>) {
        let matching = self.clone();
        self.shared.runtime.spawn(async move {
            tokio::time::sleep(RESERVED_GRACE).await;
            matching.with_inner(|inner, now| {
                for reservation in reservations {
                    inner.core.abandon(now, reservation);
                }
            });
        });
    }

    fn give_back_started(&self, started: Started) {
        if let Some(task) = started.task() {
            self.give_back(started.shard, task.clone());
        }
    }

    /// A task was started for a poller that has gone: back to its queue with it.
    pub(super) fn give_back(&self, shard: u32, task: TaskRef) {
        metrics::counter!("everstep_matching_started_for_nobody").increment(1);
        if let Some(source) = self.source() {
            source.given_back(shard, task);
        }
    }

    // ---- within ----

    pub(super) fn source(&self) -> Option<&Arc<dyn TaskSource>> {
        self.shared.source.get()
    }

    /// Of this node alone, and never back.
    pub(super) fn now(&self) -> i64 {
        self.shared.clock.now()
    }

    /// Of the shards, as other nodes have it, too.
    pub(super) fn time(&self) -> i64 {
        self.shared.topology.time()
    }

    pub(super) fn place(&self, queue: &QueueKey) -> Place {
        if self.shared.topology.home(queue) == Some(self.shared.topology.this_node()) {
            Place::Home
        } else {
            Place::Elsewhere
        }
    }

    /// One step of the core, and then what follows from it.
    pub(super) fn with_inner<R>(&self, step: impl FnOnce(&mut Inner, i64) -> R) -> R {
        let generation = self.shared.topology.generation();
        let mut inner = self.shared.inner.lock().expect("no step of the core panics");
        let now = self.now();
        inner.core.skew = self.time() - now;
        if inner.generation != generation {
            inner.generation = generation;
            inner.core.unsettle(now);
            inner.moved = true;
            self.shared.moved.notify_waiters();
            self.shared.changed.notify_one();
        }
        let result = step(&mut inner, now);
        let Flushed { pulls, given_back } = inner.flush();
        if inner.wakes_earlier() {
            self.shared.changed.notify_one();
        }
        drop(inner);
        for (queue, node, max) in pulls {
            self.shared.runtime.spawn(self.clone().pull(queue, node, max));
        }
        for started in given_back {
            self.give_back_started(started);
        }
        result
    }

    /// Runs the core's clock: every second, and when a rate limit lets the next task go.
    async fn run_ticks(self) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            let (wake, moved) = self.with_inner(|inner, _| {
                inner.announced = inner.core.next_wake();
                (inner.announced, std::mem::take(&mut inner.moved))
            });
            if moved {
                next_tick = Instant::now();
            }
            let wait = wake.map_or(TICK, |wake| Duration::from_nanos((wake - self.now()).max(0) as u64));
            tokio::select! {
                () = self.shared.stopped.cancelled() => return,
                () = self.shared.changed.notified() => {}
                () = tokio::time::sleep_until(next_tick.min(Instant::now() + wait)) => {}
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                let (this, topology) = (self.shared.topology.this_node(), &self.shared.topology);
                self.with_inner(|inner, now| inner.core.tick(now, &|queue| topology.home(queue) == Some(this)));
                self.shared.full.prune();
            }
            self.with_inner(|inner, now| inner.core.wake(now));
        }
    }
}

impl Inner {
    /// Gives the core's answers to the polls; returns what else it asks for.
    fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        for output in self.core.take_outputs() {
            match output {
                Output::Serve { poller, delivery } => {
                    let sender = self.waiting.remove(&poller).expect("who is parked waits");
                    // A ticket leaves the waiting list, under this lock, before it drops its receiver.
                    sender.send(delivery).expect("a waiting ticket listens");
                }
                Output::Pull { queue, node, max } => flushed.pulls.push((queue, node, max)),
                Output::GiveBack(started) => flushed.given_back.push(*started),
            }
        }
        flushed
    }

    fn wakes_earlier(&self) -> bool {
        match (self.core.next_wake(), self.announced) {
            (Some(next), Some(announced)) => next < announced,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// What the core asks for besides answers.
#[derive(Default)]
struct Flushed {
    pulls: Vec<(QueueKey, u64, usize)>,
    given_back: Vec<Started>,
}

pub(super) enum Registered {
    Task(Box<Task>),
    Started(Box<Started>),
    Parked(Ticket),
    ShutDown,
}

/// A poller's place in the core. Dropping it takes the poller out, and gives back a task that came meanwhile.
pub(super) struct Ticket {
    matching: Matching,
    pub(super) id: PollerId,
    receiver: oneshot::Receiver<Delivery>,
    peer: Option<(u64, u64)>,
}

impl Ticket {
    pub(super) async fn wait(&mut self, deadline: Instant) -> Delivery {
        let mut until = deadline;
        let shared = self.matching.shared.clone();
        let ending = if self.peer.is_none() { &shared.draining } else { &shared.stopped };
        loop {
            tokio::select! {
                biased;
                delivery = &mut self.receiver => return delivery.expect("the core ends no poll without an answer"),
                () = ending.cancelled() => return Delivery::Empty,
                () = tokio::time::sleep_until(until) => {
                    let reserved = self.matching.with_inner(|inner, _| inner.core.is_reserved(self.id));
                    if !reserved || until > deadline {
                        return Delivery::Empty;
                    }
                    until = deadline + RESERVED_GRACE;
                }
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let id = self.id;
        let waited = self.matching.with_inner(|inner, now| {
            if let Some(peer) = self.peer {
                if inner.registered.get(&peer) == Some(&id) {
                    inner.registered.remove(&peer);
                }
            }
            inner.core.leave(now, id);
            inner.waiting.remove(&id).is_some()
        });
        if waited {
            return;
        }
        match self.receiver.try_recv() {
            Ok(Delivery::Task(task)) => self.matching.offer_each(vec![*task], Reason::Returned),
            Ok(Delivery::Started(started)) => self.matching.give_back_started(*started),
            Ok(Delivery::Empty | Delivery::Moved) | Err(_) => {}
        }
    }
}

/// Nanoseconds since the epoch that never go back.
struct Clock {
    base: i64,
    started: Instant,
}

impl Clock {
    fn now(&self) -> i64 {
        self.base + self.started.elapsed().as_nanos() as i64
    }
}
