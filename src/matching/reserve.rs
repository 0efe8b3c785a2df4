//! Pollers that go along with a proposal, parked or promised, and what became of them.

use statemachine::{op, QueueKey};

use super::core::Core;
use super::promises::Promises;
use super::types::{Reservation, Started};
use super::words::{Delivery, Output, PollerId};

/// A reservation that is not decided yet.
#[derive(Debug)]
pub(super) struct Reserved {
    queue: QueueKey,
    pub(super) holder: Holder,
}

#[derive(Debug)]
pub(super) enum Holder {
    Parked(PollerId),
    /// The poller has gone.
    Gone,
    /// The next poll of this worker.
    Promised(op::Poller),
}

impl Core {
    /// Takes a parked poller of this node out, for a proposal that may create its task; or promises a poll to come.
    pub(super) fn reserve(&mut self, now: i64, key: &QueueKey) -> Option<Reservation> {
        let queue = self.queues.get_mut(key)?;
        if queue.rates.is_limited() {
            return None;
        }
        let parked = queue.first_local().filter(|_| queue.buffer.is_empty());
        let promised = match parked {
            Some(_) => None,
            None if self.leaving => return None,
            None => Some(queue.promise(now)?),
        };
        self.next_id += 1;
        let id = (u64::from(self.epoch) << 32) | (self.next_id & u64::from(u32::MAX));
        let (holder, poller) = match (parked, promised) {
            (Some(poller), _) => {
                queue.unpark(now, poller);
                queue.reserved += 1;
                let parked = self.pollers.get_mut(&poller).expect("parked pollers are known");
                parked.reservation = Some(id);
                queue.promises.served(now, &parked.poller, now - parked.since);
                (Holder::Parked(poller), parked.poller.clone())
            }
            (None, Some(worker)) => {
                let poller = op::Poller { request_id: format!("{id:016x}"), ..worker.clone() };
                (Holder::Promised(worker), poller)
            }
            (None, None) => return None,
        };
        self.reservations.insert(id, Reserved { queue: key.clone(), holder });
        Some(Reservation { id, queue: key.clone(), poller })
    }

    /// The proposal made no task for it: the poller waits again, in its old place, unless its worker stopped meanwhile or
    /// something was started for its next poll.
    pub(super) fn release(&mut self, now: i64, reservation: u64) {
        let Some(reserved) = self.reservations.remove(&reservation) else { return };
        let Some(queue) = self.queues.get_mut(&reserved.queue) else { return };
        match reserved.holder {
            Holder::Gone => {}
            Holder::Promised(_) => queue.promises.end(),
            Holder::Parked(id) => {
                let parked = self.pollers.get_mut(&id).expect("reserved pollers are known");
                parked.reservation = None;
                queue.reserved -= 1;
                queue.park(parked.origin, id);
                if parked.at_home {
                    queue.goes_home(now, id);
                }
                if parked.stopped {
                    self.end(now, id, Delivery::Empty);
                } else if let Some(started) = queue.promised_task(&parked.poller, self.skew) {
                    self.serve(now, id, Delivery::Started(Box::new(started)));
                } else {
                    self.revisit(now, &reserved.queue);
                }
            }
        }
    }

    /// The proposal started a task for it. If its poller has gone, another one of the queue gets the task; if there is
    /// none here it comes back. What others reserved is dropped.
    pub(super) fn fulfil(&mut self, now: i64, started: Started) -> Result<(), Box<Started>> {
        if started.answer.id >> 32 != u64::from(self.epoch) {
            return Ok(());
        }
        let Some(reserved) = self.reservations.remove(&started.answer.id) else { return Err(Box::new(started)) };
        let stops = match &reserved.holder {
            Holder::Promised(worker) => self.leaving || self.is_shut(now, &reserved.queue.namespace_id, worker),
            Holder::Parked(_) | Holder::Gone => false,
        };
        let Some(queue) = self.queues.get_mut(&reserved.queue) else { return Err(Box::new(started)) };
        let stops = stops || queue.shut;
        let poller = match reserved.holder {
            Holder::Parked(poller) => {
                let parked = self.pollers.get_mut(&poller).expect("reserved pollers are known");
                parked.reservation = None;
                queue.reserved -= 1;
                poller
            }
            Holder::Gone => match queue.first_local() {
                Some(poller) => poller,
                None => return Err(Box::new(started)),
            },
            Holder::Promised(worker) => {
                let its = |id: &PollerId| Promises::is_for(&worker, &self.pollers[id].poller);
                let waits = queue.locals().find(its);
                if waits.is_none() && !stops {
                    queue.started(now, &started);
                    queue.promises.keep(now, worker, started);
                    self.revisit(now, &reserved.queue);
                    return Ok(());
                }
                queue.promises.end();
                match waits {
                    Some(poller) => poller,
                    None => return Err(Box::new(started)),
                }
            }
        };
        queue.started(now, &started);
        self.serve(now, poller, Delivery::Started(Box::new(started)));
        Ok(())
    }

    /// Nobody will learn soon what became of the proposal: its poller asks again.
    pub(super) fn abandon(&mut self, now: i64, reservation: u64) {
        let Some(reserved) = self.reservations.remove(&reservation) else { return };
        let Some(queue) = self.queues.get_mut(&reserved.queue) else { return };
        match reserved.holder {
            Holder::Gone => {}
            Holder::Promised(_) => queue.promises.end(),
            Holder::Parked(id) => {
                let parked = self.pollers.get_mut(&id).expect("reserved pollers are known");
                parked.reservation = None;
                queue.reserved -= 1;
                self.serve(now, id, Delivery::Empty);
            }
        }
    }

    /// This node's clients will get no more: no poll to come is relied on. Returns the sticky queues of its workers.
    pub(super) fn leave_node(&mut self, now: i64) -> Vec<QueueKey> {
        self.leaving = true;
        let mut sticky = Vec::new();
        for (key, queue) in &mut self.queues {
            if queue.sticky && !queue.shut {
                queue.forget_polls();
                sticky.push(key.clone());
            }
            let broken = queue.promises.break_all(now);
            self.outputs.extend(broken.into_iter().map(|started| Output::GiveBack(Box::new(started))));
        }
        sticky
    }
}
