//! Ready tasks on their way to a poller or to their home, and the home's pulls.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::offer_tasks_response::Offered as WireOffered;
use statemachine::QueueKey;
use tokio::sync::mpsc;
use tokio::time::{timeout, Instant};

use super::service::{Matching, CALL_TIMEOUT};
use super::topology::{Call, Reply};
use super::types::Task;
use super::wire;
use super::words::{Offered, Reason};

const BATCH: usize = 256;
/// A home that was full is offered tasks again after this.
const FULL: Duration = Duration::from_secs(1);

impl Matching {
    /// Tasks became ready on shards that this node leads. Never waits; what finds no room is dropped, for it is in the
    /// ready table. Offer again what stays there: known tasks cost little.
    pub fn offer(&self, tasks: Vec<Task>) {
        self.offer_each(tasks, Reason::Ready);
    }

    /// `false` while the home has no room for more of this queue; it will pull.
    pub fn wants(&self, queue: &QueueKey) -> bool {
        self.shared.full.limit(queue).is_none() && !self.with_inner(|inner, _| inner.core.is_full(queue))
    }

    pub(super) fn offer_each(&self, tasks: Vec<Task>, reason: Reason) {
        let this = self.shared.topology.this_node();
        let places: Vec<_> = tasks.iter().map(|task| self.place(&task.queue)).collect();
        let mut unpolled = Vec::new();
        let mut away = Vec::new();
        self.with_inner(|inner, now| {
            for (task, place) in tasks.into_iter().zip(places) {
                match inner.core.offer(now, this, task, reason, place) {
                    Offered::Away(task) => away.push(*task),
                    Offered::Unpolled(task) => unpolled.push(*task),
                    Offered::Taken | Offered::Kept | Offered::Known | Offered::Full => {}
                }
            }
        });
        self.report_unpolled(unpolled);
        for task in away {
            // One with a fairness key may find room where another key has much.
            let refused = self.shared.full.limit(&task.queue).is_some_and(|priority| task.priority >= priority);
            if refused && task.fairness_key.is_empty() && reason == Reason::Ready {
                continue;
            }
            if let Some(home) = self.shared.topology.home(&task.queue).filter(|&home| home != this) {
                self.send_to(home, Outgoing::Task(Box::new(task), reason));
            }
        }
    }

    fn report_unpolled(&self, tasks: Vec<Task>) {
        if let Some(source) = self.source() {
            tasks.into_iter().for_each(|task| source.unpolled(task));
        }
    }

    /// Leaves something for the loop that talks to the peer. When that is behind, it is dropped.
    pub(super) fn send_to(&self, node: u64, outgoing: Outgoing) {
        if self.shared.stopped.is_cancelled() {
            return;
        }
        let (sender, receiver) = self.shared.outboxes.get(node);
        if let Some(receiver) = receiver {
            tokio::spawn(self.clone().run_outbox(node, receiver));
        }
        if sender.try_send(outgoing).is_err() {
            tracing::debug!(node, "too much on its way to a peer; it will be offered again");
        }
    }

    async fn run_outbox(self, node: u64, mut receiver: mpsc::Receiver<Outgoing>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = self.shared.stopped.cancelled() => return,
                _ = receiver.recv_many(&mut batch, BATCH) => {}
            }
            let mut tasks = Vec::new();
            let mut polls = Vec::new();
            for outgoing in batch.drain(..) {
                match outgoing {
                    Outgoing::Task(task, reason) => tasks.push((*task, reason)),
                    Outgoing::Cancel(poll) => polls.push(poll),
                }
            }
            tokio::join!(self.offer_to(node, tasks), self.cancel_at(node, polls));
        }
    }

    async fn cancel_at(&self, node: u64, poll_ids: Vec<u64>) {
        if poll_ids.is_empty() {
            return;
        }
        let request = peer::CancelPollsRequest { node: self.shared.topology.this_node(), poll_ids };
        let call = self.shared.topology.call(node, Call::CancelPolls(request));
        if let Ok(Err(status)) = timeout(CALL_TIMEOUT, call).await {
            tracing::debug!(node, %status, "polls could not be ended");
        }
    }

    async fn offer_to(&self, node: u64, tasks: Vec<(Task, Reason)>) {
        if tasks.is_empty() {
            return;
        }
        let offered = self.call_offer(node, &tasks).await;
        let mut unpolled = Vec::new();
        let mut moved = Vec::new();
        for ((task, reason), offered) in tasks.into_iter().zip(offered.unwrap_or_default()) {
            match offered {
                WireOffered::Full => self.shared.full.mark(&task),
                WireOffered::Unpolled => unpolled.push(task),
                WireOffered::Moved => moved.push((task, reason)),
                WireOffered::Taken | WireOffered::Kept | WireOffered::Known | WireOffered::Unspecified => {}
            }
        }
        self.report_unpolled(unpolled);
        // Where this node knows no better, the tasks are offered again from their table.
        moved.retain(|(task, _)| self.shared.topology.home(&task.queue).is_some_and(|home| home != node));
        for (task, reason) in moved {
            self.offer_each(vec![task], reason);
        }
    }

    /// Brings tasks to another node; one answer a task, `None` if it could not be asked.
    pub(super) async fn call_offer(&self, node: u64, tasks: &[(Task, Reason)]) -> Option<Vec<WireOffered>> {
        let request = peer::OfferTasksRequest {
            node: self.shared.topology.this_node(),
            tasks: tasks.iter().map(|(task, reason)| wire::task(task, *reason)).collect(),
        };
        match timeout(CALL_TIMEOUT, self.shared.topology.call(node, Call::OfferTasks(request))).await {
            Ok(Ok(Reply::OfferTasks(response))) => Some(response.offered().collect()),
            Ok(Ok(_)) => None,
            Ok(Err(status)) => {
                tracing::debug!(node, %status, "tasks could not be offered");
                None
            }
            Err(_) => {
                tracing::debug!(node, "tasks could not be offered in time");
                None
            }
        }
    }

    /// Gets tasks that did not fit before from the node whose shards hold them.
    pub(super) async fn pull(self, queue: QueueKey, node: u64, max: usize) {
        let tasks = if node == self.shared.topology.this_node() {
            match self.source() {
                Some(source) => timeout(CALL_TIMEOUT, source.ready_tasks(&queue, max)).await.ok(),
                None => None,
            }
        } else {
            self.call_pull(&queue, node, max).await
        };
        self.with_inner(|inner, now| inner.core.pulled(now, node, &queue, tasks, max));
    }

    async fn call_pull(&self, queue: &QueueKey, node: u64, max: usize) -> Option<Vec<Task>> {
        let request = peer::PullTasksRequest { queue: Some(wire::queue(queue)), max: max as u32 };
        match timeout(CALL_TIMEOUT, self.shared.topology.call(node, Call::PullTasks(request))).await {
            Ok(Ok(Reply::PullTasks(response))) => {
                let tasks = response.tasks.into_iter().map(wire::task_from);
                Some(tasks.filter_map(|task| task.ok().map(|(task, _)| task)).collect())
            }
            _ => None,
        }
    }
}

pub(super) enum Outgoing {
    Task(Box<Task>, Reason),
    /// A poll registered at the peer waits no longer.
    Cancel(u64),
}

/// One bounded queue of things to send per peer, made when first needed.
pub(super) struct Outboxes {
    capacity: usize,
    senders: Mutex<HashMap<u64, mpsc::Sender<Outgoing>>>,
}

impl Outboxes {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, senders: Mutex::default() }
    }

    /// The way to the peer; with it, when it is new, the end that a loop has to empty.
    fn get(&self, node: u64) -> (mpsc::Sender<Outgoing>, Option<mpsc::Receiver<Outgoing>>) {
        let mut senders = self.senders.lock().expect("nothing panics while it is held");
        if let Some(sender) = senders.get(&node) {
            return (sender.clone(), None);
        }
        let (sender, receiver) = mpsc::channel(self.capacity);
        senders.insert(node, sender.clone());
        (sender, Some(receiver))
    }
}

/// Queues whose home refused a task lately, and the priority of what it refused.
#[derive(Default)]
pub(super) struct FullQueues {
    marks: Mutex<HashMap<QueueKey, (Instant, i32)>>,
}

impl FullQueues {
    fn mark(&self, task: &Task) {
        let mut marks = self.marks.lock().expect("nothing panics while it is held");
        let mark = marks.entry(task.queue.clone()).or_insert((Instant::now(), task.priority));
        *mark = (Instant::now() + FULL, mark.1.min(task.priority));
    }

    /// Tasks of this priority number or a higher one are not wanted.
    fn limit(&self, queue: &QueueKey) -> Option<i32> {
        let marks = self.marks.lock().expect("nothing panics while it is held");
        marks.get(queue).filter(|(until, _)| *until > Instant::now()).map(|(_, priority)| *priority)
    }

    pub(super) fn clear(&self, queue: &QueueKey) {
        self.marks.lock().expect("nothing panics while it is held").remove(queue);
    }

    pub(super) fn prune(&self) {
        let now = Instant::now();
        self.marks.lock().expect("nothing panics while it is held").retain(|_, (until, _)| *until > now);
    }
}
