//! Log entries to one follower of one shard: requests and answers flow independently on one stream.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Future, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use proto::everstep::peer::v1 as peer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::lane::Lane;
use crate::raft::codec;
use crate::raft::types::TypeConfig;

/// Requests between openraft and the connection. Few, so that entries pile up into bigger requests instead.
const QUEUE_MAX: usize = 2;

type Item = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;
type Pump = Pin<Box<dyn Future<Output = ()> + Send>>;

pub fn request_to_peer(shard: u32, request: &AppendEntriesRequest<TypeConfig>) -> peer::AppendRequest {
    peer::AppendRequest {
        shard,
        vote: Some(codec::vote_to_peer(&request.vote)),
        previous: request.prev_log_id.as_ref().map(codec::log_id_to_peer),
        entries: request.entries.iter().map(codec::entry_to_peer).collect(),
        committed: request.leader_commit.as_ref().map(codec::log_id_to_peer),
    }
}

pub fn result_from_peer(reply: peer::AppendReply) -> Item {
    match reply.result {
        Some(peer::append_reply::Result::Flushed(flushed)) => {
            Ok(Ok(flushed.last.as_ref().map(codec::log_id_from_peer)))
        }
        Some(peer::append_reply::Result::Conflict(id)) => {
            Ok(Err(StreamAppendError::Conflict(codec::log_id_from_peer(&id))))
        }
        Some(peer::append_reply::Result::HigherVote(vote)) => {
            Ok(Err(StreamAppendError::HigherVote(codec::vote_from_peer(Some(&vote)))))
        }
        None => Err(RPCError::Network(NetworkError::from_string("an empty answer"))),
    }
}

/// Everything one stream needs; dropping it ends the stream in both directions at once.
struct Session {
    lane: Arc<Lane>,
    epoch: u64,
    /// Moves requests from openraft to the connection; `None` once openraft has no more.
    pump: Option<Pump>,
    replies: Streaming<peer::AppendReply>,
    sent: Arc<AtomicU64>,
    answered: u64,
    /// When the oldest unanswered request may have been sent, at the latest; if there is none and none will come, when the
    /// last answer came.
    waiting_since: Instant,
    patience: Duration,
    failed: bool,
}

/// Opens the stream once there is something to send: openraft delays its first request after a failure, and a peer that
/// is down must be left alone meanwhile. It ends when `input` has ended and everything is answered, or with the first
/// error.
pub async fn open<S>(
    lane: Arc<Lane>,
    shard: u32,
    mut input: S,
    patience: Duration,
) -> Result<impl Stream<Item = Item> + Send, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let unreachable = |why: String| RPCError::Unreachable(Unreachable::from_string(why));
    let Some(first) = input.next().await else { return Ok(futures::stream::empty().left_stream()) };
    if lane.is_cut() {
        return Err(unreachable("cut off".to_owned()));
    }
    let mut connected = lane.connect().map_err(unreachable)?;
    let (requests, queue) = mpsc::channel(QUEUE_MAX);
    let first = futures::stream::iter([request_to_peer(shard, &first)]);
    let call = lane.request(first.chain(ReceiverStream::new(queue))).map_err(unreachable)?;
    let sent = Arc::new(AtomicU64::new(1));
    let counter = sent.clone();
    let cut_off = lane.clone();
    let pump: Pump = Box::pin(async move {
        while let Some(request) = input.next().await {
            counter.fetch_add(1, Ordering::Relaxed);
            if cut_off.is_cut() {
                // As if the network took it: no answer will come.
                std::future::pending::<()>().await;
            }
            if requests.send(request_to_peer(shard, &request)).await.is_err() {
                return;
            }
        }
    });
    let opened = tokio::time::timeout(patience, connected.client.append(call)).await;
    let replies = match opened {
        Ok(Ok(replies)) => replies.into_inner(),
        Ok(Err(status)) => return Err(unreachable(status.to_string())),
        Err(_) => {
            lane.broken(connected.epoch);
            return Err(unreachable("opening a stream took too long".to_owned()));
        }
    };
    let session = Session {
        lane,
        epoch: connected.epoch,
        pump: Some(pump),
        replies,
        sent,
        answered: 0,
        waiting_since: Instant::now(),
        patience,
        failed: false,
    };
    let items = futures::stream::unfold(session, |mut session| async move {
        let item = session.next().await?;
        Some((item, session))
    });
    Ok(items.right_stream())
}

impl Session {
    async fn next(&mut self) -> Option<Item> {
        if self.failed {
            return None;
        }
        let item = self.answer().await?;
        self.failed = !matches!(item, Ok(Ok(_)));
        Some(item)
    }

    async fn answer(&mut self) -> Option<Item> {
        loop {
            let check = tokio::time::sleep(self.patience);
            tokio::select! {
                reply = self.replies.message() => {
                    self.answered += 1;
                    self.waiting_since = Instant::now();
                    return match reply {
                        Ok(Some(_)) if self.lane.is_cut() => {
                            Some(Err(RPCError::Unreachable(Unreachable::from_string("cut off"))))
                        }
                        Ok(Some(reply)) => Some(result_from_peer(reply)),
                        Ok(None) => None,
                        Err(status) => Some(Err(RPCError::Unreachable(Unreachable::from_string(status)))),
                    };
                }
                () = run(&mut self.pump) => self.pump = None,
                () = check => {
                    let all_answered = self.sent.load(Ordering::Relaxed) <= self.answered;
                    if all_answered && self.pump.is_some() {
                        self.waiting_since = Instant::now();
                    } else if self.waiting_since.elapsed() > self.patience {
                        self.lane.broken(self.epoch);
                        if all_answered {
                            // Only the stream's end was lost. Nothing more is sent that could miss an answer, and
                            // openraft sends nothing else to this node before it sees an end.
                            return None;
                        }
                        let why = format!("node {} does not answer", self.lane.target());
                        return Some(Err(RPCError::Unreachable(Unreachable::from_string(why))));
                    }
                }
            }
        }
    }
}

/// Runs the pump; never ends once it has.
async fn run(pump: &mut Option<Pump>) {
    match pump {
        Some(pump) => pump.await,
        None => std::future::pending().await,
    }
}
