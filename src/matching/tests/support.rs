//! Names for the tests of matching: short ways to make tasks and pollers.

use statemachine::{op, QueueKey, TaskType};

use crate::matching::core::Core;
use crate::matching::types::{span, Limits, Task};
use crate::matching::words::{Delivery, Offered, Origin, Output, Place, Poll, Polled, PollerId, Reason};

pub(super) const HERE: u64 = 1;

pub(super) fn queue(name: &str) -> QueueKey {
    QueueKey { namespace_id: "ns".into(), task_type: TaskType::Activity, name: name.into() }
}

pub(super) fn sticky_queue(name: &str) -> QueueKey {
    QueueKey { namespace_id: "ns".into(), task_type: TaskType::Workflow, name: name.into() }
}

pub(super) fn task(queue: &QueueKey, run_id: &str, priority: i32, ready_time: i64) -> Task {
    let reference = op::TaskRef {
        run_id: run_id.into(),
        scheduled_event_id: 5,
        attempt: 1,
        priority,
        ready_time,
        ..Default::default()
    };
    Task::ready(queue.clone(), reference, false)
}

pub(super) fn poller(identity: &str) -> op::Poller {
    op::Poller { identity: identity.into(), worker_instance_key: format!("{identity}-key"), ..Default::default() }
}

/// A core with its own clock, in seconds; what it serves is written down as `poller=run`.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: i64,
    pub(super) queue: QueueKey,
    pub(super) pulls: Vec<(u64, usize)>,
}

impl Bench {
    pub(super) fn new(limits: Limits) -> Self {
        let mut core = Core::new(0, limits);
        let now = 100 * span::SECOND;
        core.tick(now, &|_| true);
        Self { core, now, queue: queue("q"), pulls: Vec::new() }
    }

    pub(super) fn pass(&mut self, milliseconds: i64) {
        self.now += milliseconds * span::SECOND / 1000;
        self.core.wake(self.now);
    }

    pub(super) fn offer(&mut self, run_id: &str) -> Offered {
        self.offer_task(task(&self.queue, run_id, 3, self.now))
    }

    pub(super) fn offer_task(&mut self, task: Task) -> Offered {
        self.core.offer(self.now, HERE, task, Reason::Ready, Place::Home)
    }

    pub(super) fn give_back(&mut self, run_id: &str) -> Offered {
        let task = task(&self.queue, run_id, 3, 0);
        self.core.offer(self.now, HERE, task, Reason::Returned, Place::Home)
    }

    pub(super) fn try_poll(&mut self, identity: &str, origin: Origin, rate: Option<f64>) -> Polled {
        let poll = Poll { queue: self.queue.clone(), origin, sticky: false, poller: poller(identity), rate };
        self.core.poll(self.now, poll).expect("within the limits")
    }

    /// Polls and tells which run came at once.
    pub(super) fn poll(&mut self, identity: &str) -> Option<String> {
        match self.try_poll(identity, Origin::Local, None) {
            Polled::Task(task) => Some(task.task.run_id),
            Polled::Started(_) | Polled::Parked(_) | Polled::ShutDown => None,
        }
    }

    /// How many polls get a task at once.
    pub(super) fn hand_outs(&mut self) -> usize {
        let mut count = 0;
        loop {
            match self.try_poll("w", Origin::Local, None) {
                Polled::Task(_) => count += 1,
                Polled::Parked(id) => {
                    self.core.leave(self.now, id);
                    return count;
                }
                Polled::Started(_) | Polled::ShutDown => return count,
            }
        }
    }

    pub(super) fn park(&mut self, identity: &str, origin: Origin) -> PollerId {
        match self.try_poll(identity, origin, None) {
            Polled::Parked(id) => id,
            other => panic!("{identity} did not wait: {other:?}"),
        }
    }

    /// Runs served since the last look; pulls are put aside.
    pub(super) fn served(&mut self) -> Vec<(PollerId, String)> {
        let mut served = Vec::new();
        for output in self.core.take_outputs() {
            match output {
                Output::Serve { poller, delivery } => served.push((poller, name(&delivery))),
                Output::Pull { node, max, .. } => self.pulls.push((node, max)),
                Output::GiveBack(started) => panic!("nobody came for {started:?}"),
            }
        }
        served
    }
}

fn name(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Task(task) => task.task.run_id.clone(),
        Delivery::Started(started) => format!("started {}", started.answer.id),
        Delivery::Empty => "empty".into(),
        Delivery::Moved => "moved".into(),
    }
}
