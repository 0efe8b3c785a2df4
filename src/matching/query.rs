//! Queries: tasks that exist in memory only, and whose answers go back to whoever asks.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::offer_tasks_response::Offered as WireOffered;
use proto::temporal::api::workflowservice::v1::RespondQueryTaskCompletedRequest;
use statemachine::QueueKey;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout, timeout_at, Instant};

use super::service::{Matching, CALL_TIMEOUT};
use super::topology::{Call, Reply};
use super::types::{span, Exhausted, Task};
use super::words::{Offered, Place, Reason};

/// What the worker sent.
pub type QueryAnswer = RespondQueryTaskCompletedRequest;

const STICKY_WINDOW: Duration = Duration::from_nanos(span::STICKY_WINDOW as u64);
const QUERY_WINDOW: Duration = Duration::from_nanos(span::QUERY_WINDOW as u64);
/// How often a waiting query looks whether its home moved or its sticky worker went.
const LOOK: Duration = Duration::from_secs(1);
/// Before another try, after the home was full or gone.
const PAUSE: Duration = Duration::from_millis(100);
/// So long before the deadline the caller is told that no worker polls (Temporal: returnEmptyTaskTimeBudget).
const LAST_CALL: Duration = Duration::from_secs(1);

/// A query to be answered by a worker of the sticky queue, if one polls it, or else of the normal queue.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    pub sticky: Option<QueueKey>,
    pub normal: QueueKey,
    /// `origin_node`, `id`, `sticky` and `deadline` are filled in here.
    pub task: peer::QueryTask,
    pub deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Temporal answers FAILED_PRECONDITION with this text.
    #[error("no poller seen for task queue recently, worker may be down")]
    NoPoller,
    #[error("the query was not answered in time")]
    Deadline,
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

enum Tried {
    Answered(Box<QueryAnswer>),
    Unpolled,
    TimedOut,
}

impl Matching {
    /// Has a worker answer the query. Dropping the future forgets it.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let QueryRequest { sticky, normal, mut task, deadline } = request;
        let mut asked = self.ask()?;
        task.origin_node = self.shared.topology.this_node();
        task.id = asked.id;
        if let Some(sticky) = sticky {
            let half = deadline.saturating_duration_since(Instant::now()) / 2;
            let until = Instant::now() + half.min(STICKY_WINDOW);
            task.sticky = true;
            if let Tried::Answered(answer) = self.query_at(&sticky, &mut task, until, &mut asked).await {
                return Ok(*answer);
            }
        }
        task.sticky = false;
        let last_call = deadline.checked_sub(LAST_CALL).unwrap_or(deadline).max(Instant::now() + LAST_CALL / 2);
        if let Tried::Answered(answer) = self.query_at(&normal, &mut task, last_call.min(deadline), &mut asked).await {
            return Ok(*answer);
        }
        if !self.has_recent_poller(&normal, QUERY_WINDOW).await {
            return Err(QueryError::NoPoller);
        }
        match timeout_at(deadline, &mut asked.receiver).await {
            Ok(Ok(answer)) => Ok(*answer),
            Ok(Err(_)) | Err(_) => Err(QueryError::Deadline),
        }
    }

    /// Brings a worker's answer to the node where the query waits; `false` if nobody waits for it any more.
    pub async fn complete_query(&self, origin_node: u64, id: u64, answer: QueryAnswer) -> bool {
        if origin_node == self.shared.topology.this_node() {
            return self.complete_query_here(id, answer);
        }
        let request = peer::CompleteQueryRequest { id, answer: Some(answer) };
        let call = self.shared.topology.call(origin_node, Call::CompleteQuery(Box::new(request)));
        match timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(Reply::CompleteQuery(response))) => response.found,
            _ => false,
        }
    }

    pub(super) fn complete_query_here(&self, id: u64, answer: QueryAnswer) -> bool {
        let sender = self.shared.queries.lock().waiting.remove(&id);
        sender.is_some_and(|sender| sender.send(Box::new(answer)).is_ok())
    }

    /// Whether somebody polled the queue within the window, anywhere. In doubt: yes.
    pub async fn has_recent_poller(&self, queue: &QueueKey, window: Duration) -> bool {
        let nanos = window.as_nanos() as i64;
        if self.with_inner(|inner, now| inner.core.has_recent_poller(now, queue, nanos)) {
            return true;
        }
        match self.shared.topology.home(queue) {
            None => true,
            Some(home) if home == self.shared.topology.this_node() => false,
            Some(home) => match self.polls_at(home, queue).await {
                Some(last_poll) => last_poll > 0 && last_poll + nanos > self.time(),
                None => true,
            },
        }
    }

    async fn polls_at(&self, node: u64, queue: &QueueKey) -> Option<i64> {
        let request = peer::DescribeQueueRequest { queue: Some(super::wire::queue(queue)), polls_only: true };
        match timeout(CALL_TIMEOUT, self.shared.topology.call(node, Call::DescribeQueue(request))).await {
            Ok(Ok(Reply::DescribeQueue(response))) => Some(response.last_poll),
            _ => None,
        }
    }

    /// Offers the query to one queue until it is answered, nobody polls the sticky queue, or the time is up.
    async fn query_at(&self, queue: &QueueKey, task: &mut peer::QueryTask, until: Instant, asked: &mut Asked) -> Tried {
        task.deadline = self.time() + until.saturating_duration_since(Instant::now()).as_nanos() as i64;
        let task = Task::query(queue.clone(), task.clone(), self.time());
        let mut placed_at = None;
        loop {
            let home = self.shared.topology.home(queue);
            let mut look = LOOK;
            if placed_at.is_none() || placed_at != Some(home) {
                match self.place_query(&task).await {
                    Placed::Yes => placed_at = Some(home),
                    Placed::Unpolled => return Tried::Unpolled,
                    Placed::No => look = PAUSE,
                }
            } else if task.sticky && !self.has_recent_poller(queue, STICKY_WINDOW).await {
                return Tried::Unpolled;
            }
            tokio::select! {
                biased;
                answer = &mut asked.receiver => match answer {
                    Ok(answer) => return Tried::Answered(answer),
                    Err(_) => return Tried::TimedOut,
                },
                () = sleep_until(until) => return Tried::TimedOut,
                () = sleep(look) => {}
            }
        }
    }

    async fn place_query(&self, task: &Task) -> Placed {
        let place = self.place(&task.queue);
        let this = self.shared.topology.this_node();
        let offered = self.with_inner(|inner, now| inner.core.offer(now, this, task.clone(), Reason::Ready, place));
        let task = match (offered, place) {
            (Offered::Taken | Offered::Kept | Offered::Known, _) => return Placed::Yes,
            (Offered::Unpolled(_), _) => return Placed::Unpolled,
            (Offered::Full, _) | (Offered::Away(_), Place::Home) => return Placed::No,
            (Offered::Away(task), Place::Elsewhere) => task,
        };
        let Some(home) = self.shared.topology.home(&task.queue).filter(|&home| home != this) else {
            return Placed::No;
        };
        let offered = self.call_offer(home, &[(*task, Reason::Ready)]).await;
        match offered.and_then(|offered| offered.first().copied()) {
            Some(WireOffered::Taken | WireOffered::Kept | WireOffered::Known) => Placed::Yes,
            Some(WireOffered::Unpolled) => Placed::Unpolled,
            Some(WireOffered::Full | WireOffered::Moved | WireOffered::Unspecified) | None => Placed::No,
        }
    }

    fn ask(&self) -> Result<Asked, Exhausted> {
        let (sender, receiver) = oneshot::channel();
        let mut queries = self.shared.queries.lock();
        if queries.waiting.len() >= self.shared.queries.limit {
            return Err(Exhausted::Queries);
        }
        queries.next += 1;
        let id = queries.next;
        queries.waiting.insert(id, sender);
        Ok(Asked { id, receiver, matching: self.clone() })
    }
}

enum Placed {
    Yes,
    No,
    Unpolled,
}

/// A query that waits for its answer; dropping it forgets it.
struct Asked {
    id: u64,
    receiver: oneshot::Receiver<Box<QueryAnswer>>,
    matching: Matching,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.matching.shared.queries.lock().waiting.remove(&self.id);
    }
}

/// The queries that callers of this node wait for.
pub(super) struct Queries {
    limit: usize,
    inner: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Box<QueryAnswer>>>,
}

impl Queries {
    /// Ids start at a number that a node that was here before, with the same id, did not reach.
    pub(super) fn new(limit: usize, first: u64) -> Self {
        Self { limit, inner: Mutex::new(Waiting { next: first, waiting: HashMap::new() }) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.inner.lock().expect("nothing panics while it is held")
    }
}
