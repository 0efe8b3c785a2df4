//! A poller parked here also waits at its queue's home.

use std::time::Duration;

use proto::everstep::peer::v1 as peer;
use statemachine::QueueKey;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout, Instant};

use super::offers::Outgoing;
use super::service::Matching;
use super::topology::{Call, Reply};
use super::wire;
use super::words::{Place, Poll, PollerId, Reason};

/// How often a waiting poller looks where the home is, beside when homes are known to move.
const LOOK: Duration = Duration::from_secs(1);
/// Before another try, after the home was gone or unknown.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an ended call may still bring a task.
const LAST_WORD: Duration = Duration::from_secs(1);
/// So long a poll waits for a task of this node's own shards before it also waits at the home.
const HERE_FIRST: Duration = Duration::from_millis(5);

/// How a registration ended for a poller that is still waiting.
enum Came {
    Nothing,
    /// A task, when a proposal had the poller already: it went back.
    TooLate,
}

impl Matching {
    /// Keeps the poller registered at the home, wherever that moves, until the deadline is long past. Dropping the
    /// future ends the registration; a task that comes through it after that goes back.
    pub(super) async fn register_at_home(&self, id: PollerId, poll: &Poll, deadline: Instant) {
        let topology = &self.shared.topology;
        self.wait_here_first(id, &poll.queue).await;
        let end = deadline + Duration::from_secs(60);
        while Instant::now() < end {
            match topology.home(&poll.queue) {
                Some(home) if home == topology.this_node() => self.look_again().await,
                Some(home) => self.wait_at(home, id, poll, deadline).await,
                None => sleep(PAUSE).await,
            }
        }
    }

    /// A busy worker's poll is mostly taken where it is, by a proposal: it does not go to the home for that.
    async fn wait_here_first(&self, id: PollerId, queue: &QueueKey) {
        if self.place(queue) == Place::Home || self.with_inner(|inner, now| inner.core.hurries_home(now, queue)) {
            return;
        }
        sleep(HERE_FIRST).await;
        self.until_free(id).await;
    }

    /// One registration; ends when it is answered or when the home is elsewhere.
    async fn wait_at(&self, home: u64, id: PollerId, poll: &Poll, deadline: Instant) {
        self.with_inner(|inner, now| inner.core.goes_home(now, id));
        let remaining = deadline.saturating_duration_since(Instant::now());
        let request = peer::PollTaskRequest {
            node: self.shared.topology.this_node(),
            poll_id: id.0,
            queue: Some(wire::queue(&poll.queue)),
            poller: Some(poll.poller.clone()),
            max_tasks_per_second: poll.rate,
            timeout: remaining.as_nanos() as i64,
        };
        // The task below lives on when this future is dropped: it must hand back what the home may be sending.
        let (_registered, ended) = oneshot::channel();
        let mut call = tokio::spawn(self.clone().call_home(home, id, request, ended));
        loop {
            tokio::select! {
                came = &mut call => match came {
                    Ok(Came::TooLate) => return self.until_free(id).await,
                    Ok(Came::Nothing) | Err(_) => break,
                },
                () = self.look_again() => {
                    if self.shared.topology.home(&poll.queue) != Some(home) {
                        break;
                    }
                }
            }
        }
        sleep(PAUSE).await;
    }

    /// Waits while a proposal has the poller.
    async fn until_free(&self, id: PollerId) {
        while self.with_inner(|inner, _| inner.core.is_reserved(id)) {
            sleep(HERE_FIRST).await;
        }
    }

    /// Waits until the home may have moved.
    async fn look_again(&self) {
        tokio::select! {
            () = self.shared.moved.notified() => {}
            () = sleep(LOOK) => {}
        }
    }

    async fn call_home(
        self,
        home: u64,
        id: PollerId,
        request: peer::PollTaskRequest,
        mut ended: oneshot::Receiver<()>,
    ) -> Came {
        if !matches!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
            return Came::Nothing;
        }
        let mut call = self.shared.topology.call(home, Call::PollTask(Box::new(request)));
        let reply = tokio::select! {
            reply = &mut call => reply,
            _ = &mut ended => {
                self.send_to(home, Outgoing::Cancel(id.0));
                match timeout(LAST_WORD, call).await {
                    Ok(reply) => reply,
                    Err(_) => return Came::Nothing,
                }
            }
        };
        let task = match reply {
            Ok(Reply::PollTask(response)) => response.task,
            Ok(_) => None,
            Err(status) => {
                tracing::debug!(home, %status, "a poll could not wait at its home");
                None
            }
        };
        let Some(Ok((task, _))) = task.map(wire::task_from) else { return Came::Nothing };
        if let Err(task) = self.with_inner(|inner, now| inner.core.deliver(now, id, task)) {
            self.offer_each(vec![*task], Reason::Returned);
        }
        Came::TooLate
    }
}
