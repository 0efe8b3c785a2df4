//! What the other nodes call: checks who they are and hands their messages to the shard's group.

use std::sync::{Arc, Weak};

use futures::StreamExt;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    VoteRequest,
};
use proto::everstep::peer::v1::raft_server::Raft;
use proto::everstep::peer::v1::{self as peer, control_reply, control_request, snapshot_chunk};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::budget::budget;
use super::network::{CLUSTER, FROM, TO};
use super::types::TypeConfig;
use super::{codec, machine, metric, succession, Group, Groups};
use crate::storage::{work, DiskState, StoreError};

/// Control messages of one peer that are being answered.
const CONTROL_MAX: usize = 1024;

type Replies<T> = tonic::codegen::BoxStream<T>;

pub struct Service {
    groups: Weak<Groups>,
}

impl Service {
    pub fn new(groups: &Arc<Groups>) -> Self {
        Self { groups: Arc::downgrade(groups) }
    }

    /// The groups and the caller, if the call is from a node of this cluster and meant for this node.
    fn admit<T>(&self, request: &Request<T>) -> Result<(Arc<Groups>, u64), Status> {
        let groups = self.groups.upgrade().ok_or_else(|| Status::unavailable("this node is stopping"))?;
        let text = |key| request.metadata().get(key).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let identity = groups.identity();
        let cluster = identity.cluster.borrow().clone();
        if cluster.is_empty() {
            return Err(Status::unavailable("this node is in no cluster yet"));
        }
        if text(CLUSTER) != cluster {
            return Err(Status::failed_precondition("this node is of another cluster"));
        }
        if text(TO) != identity.node.to_string() {
            return Err(Status::failed_precondition(format!("this is node {}", identity.node)));
        }
        match text(FROM).parse() {
            Ok(from) if from != identity.node => Ok((groups, from)),
            _ => Err(Status::failed_precondition("the caller has no node id of its own")),
        }
    }
}

fn group(groups: &Groups, shard: u32) -> Result<Arc<Group>, Status> {
    groups.group(shard).ok_or_else(|| Status::unavailable(format!("shard {shard} is not started here")))
}

#[tonic::async_trait]
impl Raft for Service {
    async fn control(
        &self,
        request: Request<Streaming<peer::ControlRequest>>,
    ) -> Result<Response<Replies<peer::ControlReply>>, Status> {
        let (groups, from) = self.admit(&request)?;
        let groups = Arc::downgrade(&groups);
        let mut requests = request.into_inner();
        let (replies, queue) = mpsc::channel(CONTROL_MAX);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let (Some(groups), replies) = (groups.upgrade(), replies.clone()) else { return };
                if groups.is_cut(from) {
                    continue;
                }
                // Each on its own: a shard that waits for its disk must not hold up the others.
                tokio::spawn(async move {
                    let id = request.id;
                    let kind = answer(&groups, request).await.unwrap_or_else(control_reply::Kind::Failure);
                    replies.send(Ok(peer::ControlReply { id, kind: Some(kind) })).await.ok();
                });
            }
            if let Some(groups) = groups.upgrade() {
                succession::connection_lost(&groups, from);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    async fn append(
        &self,
        request: Request<Streaming<peer::AppendRequest>>,
    ) -> Result<Response<Replies<peer::AppendReply>>, Status> {
        let (groups, from) = self.admit(&request)?;
        let mut requests = request.into_inner();
        // The first message names the shard; headers go out at once, because the caller waits for them.
        let replies = async move {
            let first = match requests.message().await {
                Ok(Some(first)) => first,
                Ok(None) => return futures::stream::empty().boxed(),
                Err(status) => return futures::stream::iter([Err(status)]).boxed(),
            };
            match group(&groups, first.shard) {
                Ok(group) => append(groups, from, group, first, requests),
                Err(status) => futures::stream::iter([Err(status)]).boxed(),
            }
        };
        Ok(Response::new(futures::stream::once(replies).flatten().boxed()))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<peer::SnapshotChunk>>,
    ) -> Result<Response<peer::SnapshotReply>, Status> {
        let (groups, from) = self.admit(&request)?;
        if groups.is_cut(from) {
            return Err(Status::unavailable("cut off"));
        }
        let mut chunks = request.into_inner();
        let Some(snapshot_chunk::Kind::Header(header)) = chunks.message().await?.and_then(|chunk| chunk.kind) else {
            return Err(Status::invalid_argument("a snapshot begins with its header"));
        };
        let group = group(&groups, header.shard)?;
        let manifest = header.manifest.unwrap_or_default();
        let (store, disk) = (group.store().clone(), group.disk.clone());
        let failed = |error: StoreError| Status::internal(error.to_string());
        let bytes = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let receiver = blocking(move || disk.has_room_for(bytes).then(|| store.receive(manifest))).await?;
        let no_room = || Status::resource_exhausted(format!("no room on the disk for a snapshot of {bytes} bytes"));
        let mut receiver = receiver.ok_or_else(no_room)?.map_err(failed)?;
        while let Some(chunk) = chunks.message().await? {
            let Some(snapshot_chunk::Kind::Data(data)) = chunk.kind else {
                return Err(Status::invalid_argument("a snapshot has one header"));
            };
            if groups.disk() == DiskState::Full {
                return Err(Status::resource_exhausted("the disk is full"));
            }
            receiver = blocking(move || receiver.write(&data).map(|()| receiver)).await?.map_err(failed)?;
        }
        let checkpoint = blocking(move || receiver.finish()).await?.map_err(failed)?;
        tracing::info!(shard = header.shard, last = ?checkpoint.last(), "received a snapshot");
        let snapshot = machine::describe(checkpoint).map_err(failed)?;
        let vote = codec::vote_from_peer(header.vote.as_ref());
        let installed = group.raft().install_full_snapshot(vote, snapshot).await;
        let reply = installed.map_err(|fatal| Status::unavailable(fatal.to_string()))?;
        metrics::counter!(metric::SNAPSHOTS_RECEIVED).increment(1);
        Ok(Response::new(peer::SnapshotReply { vote: Some(codec::vote_to_peer(&reply.vote)) }))
    }
}

async fn blocking<T: Send + 'static>(piece: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    work::blocking(piece).await.map_err(|error| Status::internal(error.to_string()))
}

fn append(
    groups: Arc<Groups>,
    from: u64,
    group: Arc<Group>,
    first: peer::AppendRequest,
    requests: Streaming<peer::AppendRequest>,
) -> Replies<peer::AppendReply> {
    // A request that cannot be taken ends the input; what was taken before is still answered.
    let (refuse, refused) = tokio::sync::oneshot::channel();
    let (raft, shard) = (group.raft().clone(), first.shard);
    let (budget, answers) = budget();
    let input = futures::stream::iter([Ok(first)]).chain(requests).scan(Some(refuse), move |refuse, request| {
        let taken = request.and_then(|request| {
            if groups.is_cut(from) {
                return Err(Status::unavailable("cut off"));
            }
            if request.shard != shard {
                return Err(Status::invalid_argument("a stream is of one shard"));
            }
            group.hear();
            if groups.disk() == DiskState::Full && !request.entries.is_empty() {
                return Err(Status::resource_exhausted("the disk is full"));
            }
            let bytes = request.entries.iter().map(|entry| entry.payload.len()).sum();
            let request = request_from_peer(request).map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok((request, bytes))
        });
        let taken = match taken {
            Ok(taken) => Some(taken),
            Err(status) => {
                refuse.take().map(|refuse| refuse.send(status));
                None
            }
        };
        std::future::ready(taken)
    });
    let input = input.then(move |(request, bytes)| {
        let budget = budget.clone();
        async move { budget.take(bytes).await.then_some(request) }
    });
    let input = input.take_while(|request| std::future::ready(request.is_some())).filter_map(std::future::ready);
    let results = raft.stream_append(input).map(move |result| {
        answers.answered();
        match result {
            Ok(result) => Ok(result_to_peer(result)),
            Err(fatal) => Err(Status::unavailable(fatal.to_string())),
        }
    });
    let end = futures::stream::once(refused).filter_map(|refused| std::future::ready(refused.ok().map(Err)));
    results.chain(end).boxed()
}

fn request_from_peer(request: peer::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, StoreError> {
    Ok(AppendEntriesRequest {
        vote: codec::vote_from_peer(request.vote.as_ref()),
        prev_log_id: request.previous.as_ref().map(codec::log_id_from_peer),
        entries: request.entries.into_iter().map(codec::entry_from_peer).collect::<Result<_, _>>()?,
        leader_commit: request.committed.as_ref().map(codec::log_id_from_peer),
    })
}

fn result_to_peer(result: StreamAppendResult<TypeConfig>) -> peer::AppendReply {
    use peer::append_reply::{Flushed, Result as Kind};
    let kind = match result {
        Ok(last) => Kind::Flushed(Flushed { last: last.as_ref().map(codec::log_id_to_peer) }),
        Err(StreamAppendError::Conflict(id)) => Kind::Conflict(codec::log_id_to_peer(&id)),
        Err(StreamAppendError::HigherVote(vote)) => Kind::HigherVote(codec::vote_to_peer(&vote)),
    };
    peer::AppendReply { result: Some(kind) }
}

/// Answers one control message; an error is text for the other side's log.
async fn answer(groups: &Groups, request: peer::ControlRequest) -> Result<control_reply::Kind, String> {
    let group = groups.group(request.shard).ok_or_else(|| format!("shard {} is not started here", request.shard))?;
    let raft = group.raft();
    match request.kind {
        Some(control_request::Kind::Heartbeat(request)) => {
            group.hear();
            let request = request_from_peer(request).map_err(|error| error.to_string())?;
            let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
            let previous = request.prev_log_id;
            let response = raft.append_entries(request).await.map_err(|error| error.to_string())?;
            Ok(control_reply::Kind::Heartbeat(result_to_peer(response.into_stream_result(previous, last))))
        }
        Some(control_request::Kind::Vote(request)) => {
            let response = raft.vote(vote_from_peer(&request)).await.map_err(|error| error.to_string())?;
            Ok(control_reply::Kind::Vote(vote_to_peer(&response)))
        }
        Some(control_request::Kind::PreVote(request)) => {
            let response = raft.pre_vote(vote_from_peer(&request)).await.map_err(|error| error.to_string())?;
            Ok(control_reply::Kind::Vote(vote_to_peer(&response)))
        }
        Some(control_request::Kind::Transfer(request)) => {
            let last = request.last.as_ref().map(codec::log_id_from_peer);
            let from = codec::vote_from_peer(request.from.as_ref());
            let request = TransferLeaderRequest::new(from, request.to, last);
            let response = raft.handle_transfer_leader(request).await.map_err(|error| error.to_string())?;
            Ok(control_reply::Kind::Transfer(transfer_to_peer(response.err())))
        }
        Some(control_request::Kind::LogLost(claim)) => match lost(&group, &claim).map_err(|error| error.to_string())? {
            Some(why) => groups.fence(&why),
            None => Err("the entry is here, or another leader is followed".to_owned()),
        },
        None => Err("a request of an unknown kind".to_owned()),
    }
}

/// Whether the leader that is followed rightly says that an entry is gone which this node had acknowledged to it.
fn lost(group: &Group, claim: &peer::LogLost) -> Result<Option<String>, StoreError> {
    let leader = codec::vote_to_store(&codec::vote_from_peer(claim.vote.as_ref()));
    let Some(acknowledged) = claim.acknowledged.as_ref().map(codec::log_id_from_peer) else { return Ok(None) };
    if group.log.vote() != Some(leader) || group.log.holds(codec::log_id_to_store(&acknowledged))? {
        return Ok(None);
    }
    let end = group.log.bounds().1.map_or(0, |end| end.index);
    Ok(Some(format!(
        "that of shard {} ends at entry {end} and lost {}, which it had acknowledged to node {}; this node must be replaced",
        group.shard, acknowledged.index, leader.node
    )))
}

fn vote_from_peer(request: &peer::VoteRequest) -> VoteRequest<TypeConfig> {
    let last = request.last.as_ref().map(codec::log_id_from_peer);
    let mut vote = VoteRequest::new(codec::vote_from_peer(request.vote.as_ref()), last);
    vote.leadership_transfer = request.transfer;
    vote
}

fn vote_to_peer(response: &openraft::raft::VoteResponse<TypeConfig>) -> peer::VoteReply {
    peer::VoteReply {
        vote: Some(codec::vote_to_peer(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(codec::log_id_to_peer),
    }
}

fn transfer_to_peer(error: Option<TransferLeaderError<TypeConfig>>) -> peer::TransferReply {
    let why = error.as_ref().map(ToString::to_string).unwrap_or_default();
    match error {
        None => peer::TransferReply { accepted: true, ..Default::default() },
        Some(TransferLeaderError::VoteChanged { actual, .. }) => {
            peer::TransferReply { why, vote: Some(codec::vote_to_peer(&actual)), ..Default::default() }
        }
        Some(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            peer::TransferReply { why, last: actual.as_ref().map(codec::log_id_to_peer), ..Default::default() }
        }
    }
}
