//! Streams whose other side goes silent at the worst moments.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use openraft::raft::AppendEntriesRequest;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::raft_server::{Raft, RaftServer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::append;
use super::lane::Lane;
use super::Identity;
use crate::raft::codec;
use crate::raft::types::TypeConfig;
use crate::raft::PeerDirectory;
use crate::storage::LogId;

const SHARD: u32 = 0;
/// More than an answer takes on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(1);
/// Far more than any stream here may take.
const LONG: Duration = Duration::from_secs(20);

/// Answers so many requests of a stream, and then says nothing any more, not even that the stream has ended: as when the
/// network takes what comes later.
struct Peer {
    answers: usize,
}

#[tonic::async_trait]
impl Raft for Peer {
    async fn control(
        &self,
        _request: Request<Streaming<peer::ControlRequest>>,
    ) -> Result<Response<BoxStream<peer::ControlReply>>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn append(
        &self,
        request: Request<Streaming<peer::AppendRequest>>,
    ) -> Result<Response<BoxStream<peer::AppendReply>>, Status> {
        let flushed = |request: Result<peer::AppendRequest, Status>| {
            let flushed = peer::append_reply::Flushed { last: request?.previous };
            Ok(peer::AppendReply { result: Some(peer::append_reply::Result::Flushed(flushed)) })
        };
        let answers = request.into_inner().map(flushed).take(self.answers);
        Ok(Response::new(Box::pin(answers.chain(futures::stream::pending()))))
    }

    async fn install_snapshot(
        &self,
        _request: Request<Streaming<peer::SnapshotChunk>>,
    ) -> Result<Response<peer::SnapshotReply>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

struct At(String);

impl PeerDirectory for At {
    fn address(&self, _node: u64) -> Option<String> {
        Some(self.0.clone())
    }
}

async fn lane_to(peer: Peer) -> Arc<Lane> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = tonic::transport::Server::builder().add_service(RaftServer::new(peer));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let identity = Identity { node: 1, cluster: watch::channel("test".to_owned()).1 };
    Arc::new(Lane::new(identity, 2, Arc::new(At(address))))
}

fn request(index: u64) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: codec::vote_from_peer(Some(&peer::Vote { term: 1, node: 1, committed: true })),
        prev_log_id: Some(codec::log_id_from_store(LogId { term: 1, leader: 1, index })),
        leader_commit: None,
        entries: Vec::new(),
    }
}

/// What openraft sees of a stream with these requests until it ends: how many answers are good. Whether the connection is
/// given up, too.
async fn outcome(answers: usize, requests: u64) -> (Vec<bool>, bool) {
    let lane = lane_to(Peer { answers }).await;
    let epoch = lane.connect().expect("an address").epoch;
    let input = futures::stream::iter((1..=requests).map(request));
    let results = append::open(lane.clone(), SHARD, input, PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    let items = tokio::time::timeout(LONG, results.map(|item| matches!(item, Ok(Ok(_)))).collect::<Vec<_>>());
    (items.await.expect("it ends"), lane.connect().expect("an address").epoch > epoch)
}

#[tokio::test]
async fn a_stream_whose_end_is_lost_ends_all_the_same() {
    assert_eq!(outcome(2, 2).await, (vec![true, true], true));
}

#[tokio::test]
async fn a_stream_whose_answers_are_lost_fails() {
    assert_eq!(outcome(1, 2).await, (vec![true, false], true));
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_send_goes_on() {
    let lane = lane_to(Peer { answers: 2 }).await;
    let epoch = lane.connect().expect("an address").epoch;
    let (requests, input) = tokio::sync::mpsc::channel(1);
    requests.send(request(1)).await.expect("it is open");
    let input = tokio_stream::wrappers::ReceiverStream::new(input);
    let results = append::open(lane.clone(), SHARD, input, PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    let mut results = Box::pin(results);
    assert!(matches!(results.next().await, Some(Ok(Ok(_)))));
    let silent = tokio::time::timeout(PATIENCE * 3, results.next()).await;
    assert!(silent.is_err(), "nobody waits for anything: {silent:?}");
    requests.send(request(2)).await.expect("it is open");
    assert!(matches!(results.next().await, Some(Ok(Ok(_)))));
    assert_eq!(lane.connect().expect("an address").epoch, epoch);
}
