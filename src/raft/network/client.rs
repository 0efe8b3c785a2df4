//! What openraft sends through: one client per shard, peer and purpose, over the peer's shared connections.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::impls::EmptyNode;
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use proto::everstep::peer::v1::{self as peer, control_reply, control_request};

use super::append::{self, request_to_peer, result_from_peer};
use super::control::Failure;
use super::lost::{self, believable};
use super::{snapshot, Peer, Peers};
use crate::raft::codec;
use crate::raft::types::{RaftLogId, RaftVote, TypeConfig};
use crate::storage::{Checkpoint, LogStore};

type C = TypeConfig;
type Results<'s> = BoxStream<'s, Result<StreamAppendResult<C>, RPCError<C>>>;

/// Makes clients for one shard.
#[derive(Clone)]
pub struct Factory {
    pub shard: u32,
    pub peers: Arc<Peers>,
    /// Where this node's log is, for the case that its disk is not to be trusted.
    pub log: Arc<LogStore>,
}

impl Factory {
    fn client(&self, target: u64, is_heartbeat: bool) -> Client {
        Client {
            shard: self.shard,
            node: self.peers.identity.node,
            target,
            patience: self.peers.patience,
            peer: self.peers.peer(target),
            log: self.log.clone(),
            is_heartbeat,
            acknowledged: None,
        }
    }
}

impl RaftNetworkFactory<C> for Factory {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Client {
        self.client(target, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &EmptyNode) -> Client {
        self.client(target, true)
    }
}

pub struct Client {
    shard: u32,
    node: u64,
    target: u64,
    patience: Duration,
    peer: Arc<Peer>,
    log: Arc<LogStore>,
    /// Its appends carry no entries and go the urgent way.
    is_heartbeat: bool,
    /// The last entry that the target said it has. A client is made anew for each term that this node leads.
    acknowledged: Option<RaftLogId>,
}

impl Client {
    async fn control(
        &self,
        action: RPCTypes,
        kind: control_request::Kind,
        option: &RPCOption,
    ) -> Result<control_reply::Kind, RPCError<C>> {
        self.peer.control.call(self.shard, kind, option.soft_ttl()).await.map_err(|failure| match failure {
            Failure::Unreachable(why) => RPCError::Unreachable(Unreachable::from_string(why)),
            Failure::Timeout(timeout) => {
                RPCError::Timeout(Timeout { action, id: self.node, target: self.target, timeout })
            }
        })
    }

    async fn urgent_append(
        &self,
        request: AppendEntriesRequest<C>,
        option: &RPCOption,
    ) -> Result<StreamAppendResult<C>, RPCError<C>> {
        let kind = control_request::Kind::Heartbeat(request_to_peer(self.shard, &request));
        match self.control(RPCTypes::AppendEntries, kind, option).await? {
            control_reply::Kind::Heartbeat(reply) => result_from_peer(reply),
            _ => Err(mismatch()),
        }
    }

    /// openraft's heartbeats name the last entry that the target has said it has, as the one before: a target that has
    /// not got it has lost it.
    async fn heartbeat(
        &self,
        request: AppendEntriesRequest<C>,
        option: &RPCOption,
    ) -> Result<StreamAppendResult<C>, RPCError<C>> {
        let (vote, acknowledged) = (request.vote, request.prev_log_id);
        match (self.urgent_append(request, option).await?, acknowledged) {
            (Err(StreamAppendError::Conflict(_)), Some(acknowledged)) => {
                Err(self.expose(&vote, &acknowledged, option).await)
            }
            (answer, _) => Ok(answer),
        }
    }

    /// Tells the target that its log has lost an entry, and openraft that there is no such node.
    async fn expose(&self, vote: &RaftVote, acknowledged: &RaftLogId, option: &RPCOption) -> RPCError<C> {
        let (shard, node, index) = (self.shard, self.target, acknowledged.index);
        if self.peer.is_first_loss(shard) {
            tracing::error!(shard, node, index, "a node's log lost entries that it had acknowledged; replace the node");
        }
        let kind = control_request::Kind::LogLost(peer::LogLost {
            vote: Some(codec::vote_to_peer(vote)),
            acknowledged: Some(codec::log_id_to_peer(acknowledged)),
        });
        if let Err(error) = self.control(RPCTypes::AppendEntries, kind, option).await {
            // It ended itself, and if it did not, the next heartbeat tells it again.
            tracing::debug!(shard, node, %error, "no answer from a node whose log lost entries");
        }
        lost::unreachable()
    }

    async fn ask_vote(&self, kind: control_request::Kind, option: &RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        match self.control(RPCTypes::Vote, kind, option).await? {
            control_reply::Kind::Vote(reply) => {
                let last = reply.last.as_ref().map(codec::log_id_from_peer);
                Ok(VoteResponse::new(codec::vote_from_peer(reply.vote.as_ref()), last, reply.granted))
            }
            _ => Err(mismatch()),
        }
    }
}

fn mismatch() -> RPCError<C> {
    RPCError::Network(NetworkError::from_string("an answer of another kind"))
}

fn vote_to_peer(request: &VoteRequest<C>) -> peer::VoteRequest {
    peer::VoteRequest {
        vote: Some(codec::vote_to_peer(&request.vote)),
        last: request.last_log_id.as_ref().map(codec::log_id_to_peer),
        transfer: request.leadership_transfer,
    }
}

impl RaftNetworkV2<C> for Client {
    type SnapshotData = Arc<Checkpoint>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<C>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        Ok(match self.urgent_append(request, &option).await? {
            Ok(flushed) if flushed == last => AppendEntriesResponse::Success,
            Ok(flushed) => AppendEntriesResponse::PartialSuccess(flushed),
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Results<'s>, RPCError<C>>>
    where
        S: Stream<Item = AppendEntriesRequest<C>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            if self.is_heartbeat {
                let Some(request) = input.next().await else {
                    return Ok(Box::pin(futures::stream::empty()) as Results<'s>);
                };
                let result = self.heartbeat(request, &option).await;
                return Ok(Box::pin(futures::stream::iter([result])) as Results<'s>);
            }
            // openraft's time for a stream is a heartbeat, too short for entries that wait for a disk.
            let patience = self.patience.max(option.soft_ttl());
            let results = append::open(self.peer.bulk.clone(), self.shard, input, patience).await?;
            let acknowledged = &mut self.acknowledged;
            Ok(Box::pin(results.map(move |answer| believable(acknowledged, answer))) as Results<'s>)
        })
    }

    async fn vote(&mut self, request: VoteRequest<C>, option: RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        self.ask_vote(control_request::Kind::Vote(vote_to_peer(&request)), &option).await
    }

    async fn pre_vote(&mut self, request: VoteRequest<C>, option: RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        self.ask_vote(control_request::Kind::PreVote(vote_to_peer(&request)), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: openraft::alias::SnapshotOf<C, Arc<Checkpoint>>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        let sent = snapshot::send(self.peer.snapshot.clone(), self.shard, &vote, snapshot.snapshot, option.soft_ttl());
        tokio::select! {
            vote = sent => match vote {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(snapshot::Failure::Unreachable(why)) => {
                    Err(StreamingError::Unreachable(Unreachable::from_string(why)))
                }
                // Nobody could be brought over by it, and the rows may be damaged, too.
                Err(snapshot::Failure::Damaged(error)) => {
                    self.log.fence(&format!("{error} in that of shard {}; this node must be replaced", self.shard))
                }
            },
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<C>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<C>, RPCError<C>> {
        let kind = control_request::Kind::Transfer(peer::TransferRequest {
            from: Some(codec::vote_to_peer(request.from_leader())),
            to: *request.to_node_id(),
            last: request.last_log_id().map(codec::log_id_to_peer),
        });
        match self.control(RPCTypes::TransferLeader, kind, &option).await? {
            control_reply::Kind::Transfer(reply) if reply.accepted => Ok(Ok(())),
            control_reply::Kind::Transfer(reply) => Ok(Err(match reply.vote {
                Some(vote) => TransferLeaderError::VoteChanged {
                    expected: *request.from_leader(),
                    actual: codec::vote_from_peer(Some(&vote)),
                },
                None => TransferLeaderError::LogNotFlushed {
                    expected: request.last_log_id().cloned(),
                    actual: reply.last.as_ref().map(codec::log_id_from_peer),
                },
            })),
            _ => Err(mismatch()),
        }
    }
}
