//! Proposals on a stream, against a peer that answers when and as it is told, and over connections that break in one
//! direction or fall silent.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::StreamExt;
use proto::everstep::admin::v1 as admin;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::cluster_server::{Cluster, ClusterServer};
use statemachine::state;
use tokio::io::{copy, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch, Mutex};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::proposals::{Failure, Proposals, IN_FLIGHT_MAX};
use super::sessions::Session;
use super::{taking, Peers};

const THERE: u64 = 2;
/// Much less than the ten seconds after which a proposal without a quorum is given up.
const SOON: Duration = Duration::from_secs(3);

type Call = JoinHandle<Result<peer::ProposeResponse, Failure>>;
type Frames = mpsc::Sender<Result<peer::OutcomeFrame, Status>>;

/// Hands every stream that is opened to the test: what comes, and where answers go.
struct Told {
    streams: mpsc::Sender<(Streaming<peer::ProposalFrame>, Frames)>,
    sessions: mpsc::Sender<Option<Session>>,
}

#[tonic::async_trait]
impl Cluster for Told {
    async fn proposals(
        &self,
        request: Request<Streaming<peer::ProposalFrame>>,
    ) -> Result<Response<BoxStream<'static, Result<peer::OutcomeFrame, Status>>>, Status> {
        let (answers, queue) = mpsc::channel(16);
        self.sessions.try_send(Session::of(request.metadata())).map_err(|_| Status::unavailable("the test is over"))?;
        self.streams
            .send((request.into_inner(), answers))
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(queue).boxed()))
    }

    async fn propose(&self, _: Request<peer::ProposeRequest>) -> Result<Response<peer::ProposeResponse>, Status> {
        Err(Status::internal("only the stream is tested"))
    }

    async fn read_index(
        &self,
        _: Request<peer::ReadIndexRequest>,
    ) -> Result<Response<peer::ReadIndexResponse>, Status> {
        Err(Status::internal("only the stream is tested"))
    }

    async fn buffer_query(
        &self,
        _: Request<peer::BufferQueryRequest>,
    ) -> Result<Response<peer::BufferQueryResponse>, Status> {
        Err(Status::internal("only the stream is tested"))
    }

    async fn node_status(&self, _: Request<peer::NodeStatusRequest>) -> Result<Response<admin::NodeStatus>, Status> {
        Err(Status::internal("only the stream is tested"))
    }
}

struct Bench {
    peers: Peers,
    proposals: Arc<Proposals>,
    opened: Mutex<mpsc::Receiver<(Streaming<peer::ProposalFrame>, Frames)>>,
    /// What the streams said about themselves.
    sessions: Mutex<mpsc::Receiver<Option<Session>>>,
}

impl Bench {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        Self::reached_at(&address, listener)
    }

    fn reached_at(address: &str, listener: TcpListener) -> Self {
        let peers = Self::peers(address);
        let (streams, opened) = mpsc::channel(4);
        let (told, sessions) = mpsc::channel(16);
        let served = ClusterServer::new(Told { streams, sessions: told });
        let served = tonic::transport::Server::builder().add_service(served);
        tokio::spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { peers, proposals: Arc::default(), opened: Mutex::new(opened), sessions: Mutex::new(sessions) }
    }

    fn peers(address: &str) -> Peers {
        let there = state::Node { node_id: THERE, peer_address: address.to_owned(), ..Default::default() };
        Peers::new("blue", 1, [there]).expect("a plain id")
    }

    /// Sends a proposal to `shard`; the shard tells them apart.
    fn send(&self, shard: u32, op: usize) -> Call {
        let (proposals, client) = (self.proposals.clone(), self.peers.client(THERE).expect("known"));
        let request = peer::ProposeRequest { shard, op: vec![0; op].into(), ..Default::default() };
        tokio::spawn(async move { proposals.call(THERE, client, request).await })
    }

    async fn next_session(&self) -> Session {
        self.sessions.lock().await.recv().await.expect("the server runs").expect("every stream says what it is")
    }

    async fn next_stream(&self) -> (Streaming<peer::ProposalFrame>, Frames) {
        let mut opened = self.opened.lock().await;
        tokio::time::timeout(Duration::from_secs(10), opened.recv()).await.expect("soon").expect("the server runs")
    }
}

/// Reads until so many proposals are there.
async fn read(frames: &mut Streaming<peer::ProposalFrame>, count: usize) -> Vec<peer::NumberedProposal> {
    let mut read = Vec::new();
    while read.len() < count {
        read.extend(frames.message().await.expect("open").expect("not ended").proposals);
    }
    read
}

fn outcome(proposal: &peer::NumberedProposal) -> peer::NumberedOutcome {
    let index = u64::from(proposal.request.as_ref().expect("a request").shard);
    let committed = peer::propose_response::Committed { index, ..Default::default() };
    let outcome = Some(peer::propose_response::Outcome::Committed(committed));
    peer::NumberedOutcome { id: proposal.id, response: Some(peer::ProposeResponse { outcome }) }
}

fn index(response: &peer::ProposeResponse) -> u64 {
    match &response.outcome {
        Some(peer::propose_response::Outcome::Committed(committed)) => committed.index,
        other => panic!("not committed: {other:?}"),
    }
}

#[tokio::test]
async fn answers_find_their_callers_in_any_order() {
    let bench = Bench::start().await;
    let calls: Vec<_> = (1..=20).map(|shard| bench.send(shard, 10)).collect();
    let (mut frames, answers) = bench.next_stream().await;
    let proposals = read(&mut frames, calls.len()).await;
    // One that nobody asked for is passed over.
    let stray = peer::NumberedOutcome { id: 10_000, response: None };
    let outcomes = std::iter::once(stray).chain(proposals.iter().rev().map(outcome)).collect();
    answers.send(Ok(peer::OutcomeFrame { outcomes })).await.expect("open");
    for (call, shard) in calls.into_iter().zip(1..) {
        assert_eq!(index(&call.await.expect("no panic").expect("answered")), shard);
    }
}

#[tokio::test]
async fn what_was_under_way_when_the_stream_broke_is_unknown_and_the_next_call_opens_another() {
    let bench = Bench::start().await;
    let lost = bench.send(1, 10);
    let (mut frames, answers) = bench.next_stream().await;
    read(&mut frames, 1).await;
    drop((frames, answers));
    assert!(matches!(lost.await.expect("no panic"), Err(Failure::Unknown(_))));
    let next = bench.send(2, 10);
    let (mut frames, answers) = bench.next_stream().await;
    let proposals = read(&mut frames, 1).await;
    answers.send(Ok(peer::OutcomeFrame { outcomes: vec![outcome(&proposals[0])] })).await.expect("open");
    assert_eq!(index(&next.await.expect("no panic").expect("answered")), 2);

    // The peer takes nothing more of the first.
    let (first, second) = (bench.next_session().await, bench.next_session().await);
    assert_eq!(first.incarnation, second.incarnation);
    assert!(first.number < second.number, "{first:?}, {second:?}");
}

#[tokio::test]
async fn a_call_that_was_dropped_leaves_the_others_alone() {
    let bench = Bench::start().await;
    let (dropped, kept) = (bench.send(1, 10), bench.send(2, 10));
    let (mut frames, answers) = bench.next_stream().await;
    let proposals = read(&mut frames, 2).await;
    dropped.abort();
    assert!(dropped.await.expect_err("aborted").is_cancelled());
    answers.send(Ok(peer::OutcomeFrame { outcomes: proposals.iter().map(outcome).collect() })).await.expect("open");
    assert_eq!(index(&kept.await.expect("no panic").expect("answered")), 2);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let (peers, proposals) = (Bench::peers(&address), Proposals::default());
    let answered = proposals.call(THERE, peers.client(THERE).expect("known"), peer::ProposeRequest::default()).await;
    assert!(matches!(answered, Err(Failure::Unsent)), "{answered:?}");
}

#[tokio::test]
async fn a_big_request_has_to_go_by_itself() {
    let bench = Bench::start().await;
    let answered = bench.send(1, 2 << 20).await.expect("no panic");
    assert!(matches!(answered, Err(Failure::ByItself)), "{answered:?}");
}

/// A node of an earlier version.
#[tokio::test]
async fn where_streams_are_unknown_a_request_has_to_go_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let routes = tonic::service::Routes::default();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
    let (peers, proposals) = (Bench::peers(&address), Proposals::default());
    let answered = proposals.call(THERE, peers.client(THERE).expect("known"), peer::ProposeRequest::default()).await;
    assert!(matches!(answered, Err(Failure::ByItself)), "{answered:?}");
}

#[tokio::test]
async fn a_call_that_was_dropped_before_it_was_sent_is_not_sent() {
    let bench = Bench::start().await;
    let first = bench.send(1, 10);
    let (mut frames, answers) = bench.next_stream().await;
    let proposals = read(&mut frames, 1).await;
    // Nobody reads the stream: what does not fit its window stays here.
    let many: Vec<_> = (2..34).map(|shard| bench.send(shard, 1 << 17)).collect();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    many.iter().for_each(tokio::task::JoinHandle::abort);
    for call in many {
        assert!(call.await.expect_err("aborted").is_cancelled());
    }
    let last = bench.send(99, 10);
    let mut sent = 0;
    let last_sent = loop {
        let next = read(&mut frames, 1).await.remove(0);
        if next.request.as_ref().is_some_and(|request| request.shard == 99) {
            break next;
        }
        sent += 1;
    };
    assert!(sent < 32, "{sent} of 32 that nobody waits for");
    let outcomes = vec![outcome(&proposals[0]), outcome(&last_sent)];
    answers.send(Ok(peer::OutcomeFrame { outcomes })).await.expect("open");
    first.await.expect("no panic").expect("answered");
    assert_eq!(index(&last.await.expect("no panic").expect("answered")), 99);
}

async fn unknown(call: Call) {
    let answered = tokio::time::timeout(SOON, call).await.expect("soon").expect("no panic");
    assert!(matches!(answered, Err(Failure::Unknown(_))), "{answered:?}");
}

#[tokio::test]
async fn without_answers_the_requests_end_too() {
    let bench = Bench::start().await;
    let lost = bench.send(1, 10);
    let (mut frames, answers) = bench.next_stream().await;
    read(&mut frames, 1).await;
    drop(answers);
    unknown(lost).await;
    let end = tokio::time::timeout(SOON, frames.message()).await.expect("soon");
    assert_eq!(end.expect("no error"), None);
}

#[tokio::test]
async fn who_waits_for_room_on_a_stream_is_released_when_it_ends() {
    let bench = Bench::start().await;
    // Nobody reads: some fit the stream's window, some the queue, and the rest waits.
    let calls: Vec<_> = (0..IN_FLIGHT_MAX as u32 + 600).map(|shard| bench.send(shard, 8 << 10)).collect();
    let (_frames, answers) = bench.next_stream().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(answers);
    let mut unsent = 0;
    for call in calls {
        let answered = tokio::time::timeout(SOON, call).await.expect("soon").expect("no panic");
        unsent += usize::from(matches!(answered, Err(Failure::Unsent)));
    }
    assert!(unsent > 0, "all of them had room");
}

/// Serves the next stream: the first shard waits for its quorum, the second is not taken, the others commit.
async fn serve_next(bench: &Bench) {
    let (frames, answers) = bench.next_stream().await;
    let served = taking::serve(frames, |request| {
        let shard = request.shard;
        (shard != 2).then_some(async move {
            if shard == 1 {
                std::future::pending::<()>().await;
            }
            let committed = peer::propose_response::Committed { index: shard.into(), ..Default::default() };
            peer::ProposeResponse { outcome: Some(peer::propose_response::Outcome::Committed(committed)) }
        })
    });
    tokio::spawn(async move {
        let mut served = std::pin::pin!(served);
        while let Some(item) = served.next().await {
            if answers.send(item).await.is_err() {
                return;
            }
        }
    });
}

/// What is still being committed must not keep a stream open on which nothing is taken any more.
#[tokio::test]
async fn a_node_that_takes_no_more_ends_the_stream_at_once() {
    let bench = Bench::start().await;
    let under_way = bench.send(1, 10);
    serve_next(&bench).await;
    assert_eq!(index(&bench.send(3, 10).await.expect("no panic").expect("answered")), 3);
    unknown(bench.send(2, 10)).await;
    unknown(under_way).await;
    let next = bench.send(4, 10);
    serve_next(&bench).await;
    assert_eq!(index(&next.await.expect("no panic").expect("answered")), 4);
}

/// Passes connections on; those that are there when `mute` is sent carry no answers any more, and stay open.
async fn proxy(listener: TcpListener, to: String, mute: watch::Receiver<()>) {
    while let Ok((client, _)) = listener.accept().await {
        let (to, mut mute) = (to.clone(), mute.clone());
        mute.mark_unchanged();
        tokio::spawn(async move {
            let server = TcpStream::connect(to).await.expect("the server listens");
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let answers = async {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    if mute.has_changed().unwrap_or(true) {
                        std::future::pending::<()>().await;
                    }
                    to_client.write_all(&buffer[..length]).await.expect("the client is there");
                }
            };
            let _ended = tokio::join!(copy(&mut from_client, &mut to_server), answers);
        });
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let (front, back) = (
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
    );
    let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
    let (mute, muted) = watch::channel(());
    let (reached_at, listens_at) = (address(&front), address(&back));
    tokio::spawn(proxy(front, listens_at, muted));
    let bench = Bench::reached_at(&reached_at, back);

    let lost = bench.send(1, 10);
    let (mut frames, answers) = bench.next_stream().await;
    let proposals = read(&mut frames, 1).await;
    mute.send_replace(());
    answers.send(Ok(peer::OutcomeFrame { outcomes: proposals.iter().map(outcome).collect() })).await.expect("open");
    let since = std::time::Instant::now();
    let answered = lost.await.expect("no panic");
    assert!(matches!(answered, Err(Failure::Unknown(_))), "{answered:?}");
    assert!(since.elapsed() < Duration::from_secs(6), "two seconds to the next ping and two for its answer");

    let next = bench.send(2, 10);
    let (mut frames, answers) = bench.next_stream().await;
    let proposals = read(&mut frames, 1).await;
    answers.send(Ok(peer::OutcomeFrame { outcomes: vec![outcome(&proposals[0])] })).await.expect("open");
    assert_eq!(index(&next.await.expect("no panic").expect("answered")), 2);
}
