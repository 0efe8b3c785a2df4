//! Proposals to the leaders on other nodes: one stream a peer, on which requests and answers travel in any order, as
//! many in one message as there are. A call of its own for each would cost several times as much as it carries.
//!
//! A stream that has ended in one direction ends in the other: nothing is sent where no answer can come from. What has no
//! answer by then may have been done; it is tried again, elsewhere or on the next stream, and recognised. It may also be
//! under way for long, and come after another try was refused and its caller was told so: a proposal names the term in which
//! it may be taken, and a stream takes the place of those before it (`sessions`). A peer that is silent altogether is
//! given up by the connection's pings (`peers`). The other side is `taking`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use futures::StreamExt;
use prost::Message;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::cluster_client::ClusterClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use super::sessions::Session;
use super::Peer;

/// Requests of one peer that wait for their answers; more wait for room.
pub(super) const IN_FLIGHT_MAX: usize = 1024;
/// Requests or answers in one message, so that even the biggest find room in it.
pub(super) const BATCH_MAX: usize = 8;
/// A bigger request goes by a call of its own.
const REQUEST_BYTES_MAX: usize = 1 << 20;

type Answered = Result<peer::ProposeResponse, Failure>;

/// Why a proposal has no answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It cannot have reached the node.
    Unsent,
    /// It has to go by a call of its own: it is too big, or the node is of a version without streams.
    ByItself,
    /// It may have been done.
    Unknown(String),
}

/// The streams to the other nodes, each opened when first needed and again when it broke.
pub(super) struct Proposals {
    links: Mutex<Links>,
    /// Of this process.
    incarnation: u64,
}

#[derive(Default)]
struct Links {
    open: BTreeMap<u64, Arc<Link>>,
    /// So many were opened.
    opened: u64,
}

impl Default for Proposals {
    fn default() -> Self {
        Self { links: Mutex::default(), incarnation: rand::random() }
    }
}

struct Link {
    requests: mpsc::Sender<peer::NumberedProposal>,
    next_id: AtomicU64,
    /// `None` once the stream has ended.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answered>>>>,
}

impl Proposals {
    pub(super) async fn call(&self, node: u64, client: ClusterClient<Peer>, request: peer::ProposeRequest) -> Answered {
        if request.encoded_len() > REQUEST_BYTES_MAX {
            return Err(Failure::ByItself);
        }
        let link = self.link(node, client);
        let id = link.next_id.fetch_add(1, Ordering::Relaxed);
        let Some(mut answer) = link.register(id) else { return Err(Failure::Unsent) };
        let _registered = Registered { link: &link, id };
        let broke = || Failure::Unknown(format!("the stream to node {node} broke"));
        tokio::select! {
            biased;
            sent = link.requests.send(peer::NumberedProposal { id, request: Some(request) }) => {
                sent.map_err(|_| broke())?;
            }
            // The stream ended while this waited for room on it.
            ended = &mut answer => return match ended {
                Ok(Err(Failure::ByItself)) => Err(Failure::ByItself),
                _ => Err(Failure::Unsent),
            },
        }
        answer.await.unwrap_or_else(|_| Err(broke()))
    }

    fn link(&self, node: u64, client: ClusterClient<Peer>) -> Arc<Link> {
        let mut links = self.links.lock().expect("nothing panics while it is held");
        if let Some(link) = links.open.get(&node).filter(|link| link.is_open()) {
            return link.clone();
        }
        let (requests, queue) = mpsc::channel(IN_FLIGHT_MAX);
        let waiting = Mutex::new(Some(HashMap::new()));
        let link = Arc::new(Link { requests, next_id: AtomicU64::new(1), waiting });
        // It ends with the stream: when the peer closes it, or when the link is dropped.
        links.opened += 1;
        let session = Session { incarnation: self.incarnation, number: links.opened };
        tokio::spawn(read(client, queue, Arc::downgrade(&link), session));
        links.open.insert(node, link.clone());
        link
    }
}

impl Link {
    fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    fn register(&self, id: u64) -> Option<oneshot::Receiver<Answered>> {
        let (sender, receiver) = oneshot::channel();
        self.lock().as_mut()?.insert(id, sender);
        Some(receiver)
    }

    fn waits(&self, id: u64) -> bool {
        self.lock().as_ref().is_some_and(|waiting| waiting.contains_key(&id))
    }

    fn answered(&self, reply: peer::NumberedOutcome) {
        let waiting = self.lock().as_mut().and_then(|waiting| waiting.remove(&reply.id));
        if let Some(waiting) = waiting {
            // The caller may have gone.
            waiting.send(Ok(reply.response.unwrap_or_default())).ok();
        }
    }

    fn close(&self, failure: &Failure) {
        let waiting = self.lock().take();
        for (_, waiting) in waiting.into_iter().flatten() {
            waiting.send(Err(failure.clone())).ok();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answered>>>> {
        self.waiting.lock().expect("nothing panics while it is held")
    }
}

/// Removes a call from those waiting, also when the caller is cancelled.
struct Registered<'l> {
    link: &'l Link,
    id: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.link.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

async fn read(
    mut client: ClusterClient<Peer>,
    queue: mpsc::Receiver<peer::NumberedProposal>,
    link: Weak<Link>,
    session: Session,
) {
    let waits = {
        let link = link.clone();
        move |proposal: &peer::NumberedProposal| link.upgrade().is_some_and(|link| link.waits(proposal.id))
    };
    let frames = ReceiverStream::new(queue).ready_chunks(BATCH_MAX).map(move |mut proposals| {
        // Nobody waits for those whose callers have gone.
        proposals.retain(&waits);
        peer::ProposalFrame { proposals }
    });
    // Dropped when there are no more answers, which ends the requests.
    let (_answering, ended) = oneshot::channel::<()>();
    let mut request = Request::new(frames.take_until(ended));
    session.put(request.metadata_mut());
    let failure = match client.proposals(request).await {
        Ok(replies) => answers(replies.into_inner(), &link).await,
        Err(status) if super::router::refused_at_connect(&status) => Failure::Unsent,
        Err(status) if status.code() == Code::Unimplemented => Failure::ByItself,
        Err(status) => Failure::Unknown(status.to_string()),
    };
    if let Some(link) = link.upgrade() {
        link.close(&failure);
    }
}

async fn answers(mut replies: Streaming<peer::OutcomeFrame>, link: &Weak<Link>) -> Failure {
    loop {
        let frame = match replies.message().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Failure::Unknown("the node closed the stream".to_owned()),
            Err(status) => return Failure::Unknown(status.to_string()),
        };
        let Some(link) = link.upgrade() else { return Failure::Unknown("this node stops".to_owned()) };
        frame.outcomes.into_iter().for_each(|outcome| link.answered(outcome));
    }
}
