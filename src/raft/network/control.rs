//! Small, urgent messages to one peer: all shards share one stream, and answers come in any order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::everstep::peer::v1::{control_reply, control_request, ControlReply, ControlRequest};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::lane::Lane;

const QUEUE_MAX: usize = 1024;

/// Why a call got no answer.
#[derive(Debug)]
pub enum Failure {
    Unreachable(String),
    Timeout(Duration),
}

pub struct Control {
    lane: Arc<Lane>,
    patience: Duration,
    link: Mutex<Option<Arc<Link>>>,
}

/// One stream and what waits for answers on it.
struct Link {
    requests: mpsc::Sender<ControlRequest>,
    epoch: u64,
    next_id: AtomicU64,
    closed: AtomicBool,
    state: Mutex<LinkState>,
}

struct LinkState {
    waiting: BTreeMap<u64, oneshot::Sender<Result<control_reply::Kind, String>>>,
    last_answer: Instant,
}

impl Control {
    pub fn new(lane: Arc<Lane>, patience: Duration) -> Self {
        Self { lane, patience, link: Mutex::default() }
    }

    pub async fn call(
        &self,
        shard: u32,
        kind: control_request::Kind,
        ttl: Duration,
    ) -> Result<control_reply::Kind, Failure> {
        if self.lane.is_cut() {
            return Err(Failure::Unreachable("cut off".to_owned()));
        }
        let link = self.link().map_err(Failure::Unreachable)?;
        let (id, answer) = link.register();
        let request = ControlRequest { id, shard, kind: Some(kind) };
        if link.requests.try_send(request).is_err() {
            link.forget(id);
            self.give_up(&link);
            return Err(Failure::Unreachable("the stream is closed or full".to_owned()));
        }
        let guard = Forget { link: &link, id };
        let answered = tokio::time::timeout(ttl, answer).await;
        drop(guard);
        match answered {
            _ if self.lane.is_cut() => Err(Failure::Unreachable("cut off".to_owned())),
            Ok(Ok(Ok(kind))) => Ok(kind),
            Ok(Ok(Err(failure))) => Err(Failure::Unreachable(failure)),
            Ok(Err(_)) => Err(Failure::Unreachable("the stream broke".to_owned())),
            Err(_) => {
                if link.silent_for() > self.patience {
                    self.give_up(&link);
                }
                Err(Failure::Timeout(ttl))
            }
        }
    }

    fn link(&self) -> Result<Arc<Link>, String> {
        let mut current = self.link.lock().expect("nothing panics while holding the link");
        if let Some(link) = current.as_ref().filter(|link| !link.closed.load(Ordering::Acquire)) {
            return Ok(link.clone());
        }
        let connected = self.lane.connect()?;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let request = self.lane.request(ReceiverStream::new(queue))?;
        let link = Arc::new(Link {
            requests,
            epoch: connected.epoch,
            next_id: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            state: Mutex::new(LinkState { waiting: BTreeMap::new(), last_answer: Instant::now() }),
        });
        // The task ends with the stream: when the peer closes it, or when the last sender of requests is dropped.
        tokio::spawn(read(connected.client, request, Arc::downgrade(&link)));
        *current = Some(link.clone());
        Ok(link)
    }

    /// Drops a link that does not answer, and its connection.
    fn give_up(&self, link: &Arc<Link>) {
        link.closed.store(true, Ordering::Release);
        self.lane.broken(link.epoch);
        let mut current = self.link.lock().expect("nothing panics while holding the link");
        current.take_if(|current| Arc::ptr_eq(current, link));
    }
}

impl Link {
    fn register(&self) -> (u64, oneshot::Receiver<Result<control_reply::Kind, String>>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.lock().waiting.insert(id, sender);
        (id, receiver)
    }

    fn forget(&self, id: u64) {
        self.lock().waiting.remove(&id);
    }

    fn silent_for(&self) -> Duration {
        self.lock().last_answer.elapsed()
    }

    fn answer(&self, reply: ControlReply) {
        let waiting = {
            let mut state = self.lock();
            state.last_answer = Instant::now();
            state.waiting.remove(&reply.id)
        };
        let Some(waiting) = waiting else { return };
        let answer = match reply.kind {
            Some(control_reply::Kind::Failure(failure)) => Err(failure),
            Some(kind) => Ok(kind),
            None => Err("an empty answer".to_owned()),
        };
        // The caller may have run out of patience.
        waiting.send(answer).ok();
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.lock().waiting.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LinkState> {
        self.state.lock().expect("nothing panics while holding a link")
    }
}

/// Removes a call from those waiting, also when the caller is cancelled.
struct Forget<'l> {
    link: &'l Link,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.forget(self.id);
    }
}

type Client = proto::everstep::peer::v1::raft_client::RaftClient<tonic::transport::Channel>;

async fn read(
    mut client: Client,
    request: tonic::Request<ReceiverStream<ControlRequest>>,
    link: std::sync::Weak<Link>,
) {
    match client.control(request).await {
        Ok(replies) => {
            let mut replies = replies.into_inner();
            while let Ok(Some(reply)) = replies.message().await {
                let Some(link) = link.upgrade() else { return };
                link.answer(reply);
            }
        }
        Err(status) => tracing::debug!(%status, "control stream refused"),
    }
    if let Some(link) = link.upgrade() {
        link.close();
    }
}
