//! What a node takes from others: calls that are meant for it, from nodes of its cluster; and what it does about answers
//! that never come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{stream, StreamExt};
use proto::everstep::peer::v1::raft_client::RaftClient;
use proto::everstep::peer::v1::{self as peer, append_reply, control_reply, control_request, snapshot_chunk};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use super::network::{CLUSTER, FROM, TO};
use super::test_kit::{Cluster, LONG, SHARD};
use super::RaftConfig;
use crate::storage::test_disk::TestDisk;

/// Not started anywhere.
const UNKNOWN: u32 = 77;

/// What a call says about itself: cluster, caller, called.
type Said<'s> = [(&'static str, &'s str); 3];

/// What node 1 says to node 2.
const RIGHT: Said<'static> = [(CLUSTER, "test"), (FROM, "1"), (TO, "2")];

fn request<T>(message: T, said: &Said<'_>) -> Request<T> {
    let mut request = Request::new(message);
    for (key, value) in said.iter().filter(|(_, value)| !value.is_empty()) {
        request.metadata_mut().insert(*key, value.parse().expect("text"));
    }
    request
}

fn heartbeat(shard: u32) -> peer::ControlRequest {
    let kind = control_request::Kind::Heartbeat(peer::AppendRequest { shard, ..Default::default() });
    peer::ControlRequest { id: 1, shard, kind: Some(kind) }
}

fn header(shard: u32) -> peer::SnapshotChunk {
    let header = peer::SnapshotHeader { shard, ..Default::default() };
    peer::SnapshotChunk { kind: Some(snapshot_chunk::Kind::Header(header)) }
}

/// The first entry of a log, or the second, from node 1 as the leader of term 1.
fn entry(shard: u32, index: u64) -> peer::AppendRequest {
    let previous = index.checked_sub(1).map(|index| peer::LogId { term: 1, leader: 1, index });
    let entries = vec![peer::Entry { term: 1, leader: 1, index, ..Default::default() }];
    let vote = Some(peer::Vote { term: 1, node: 1, committed: true });
    peer::AppendRequest { shard, vote, previous, entries, committed: None }
}

/// A cluster of node 1, and node 2 beside it, which has empty groups only.
async fn lone_and_empty() -> (Cluster, RaftClient<Channel>) {
    let mut cluster = Cluster::with_room(1, 2, RaftConfig::default()).await;
    cluster.restart(2).await;
    let address = format!("http://{}", cluster.ways.address(1, 2));
    let channel = Endpoint::from_shared(address).expect("an address").connect().await.expect("node 2 listens");
    (cluster, RaftClient::new(channel))
}

/// How each of the three kinds of calls ends. A snapshot without its header is refused for that, once it is admitted.
async fn ends(client: &mut RaftClient<Channel>, said: &Said<'_>) -> [Code; 3] {
    let code = |result: Result<(), tonic::Status>| result.err().map_or(Code::Ok, |status| status.code());
    let control = client.control(request(stream::empty(), said)).await.map(drop);
    let append = client.append(request(stream::empty(), said)).await.map(drop);
    let snapshot = client.install_snapshot(request(stream::empty(), said)).await.map(drop);
    [code(control), code(append), code(snapshot)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_says_who_calls_whom_in_which_cluster() {
    let (_cluster, mut client) = lone_and_empty().await;
    assert_eq!(ends(&mut client, &RIGHT).await, [Code::Ok, Code::Ok, Code::InvalidArgument]);
    let wrong_values = [(CLUSTER, "other"), (CLUSTER, ""), (TO, "3"), (TO, ""), (FROM, "2"), (FROM, "x"), (FROM, "")];
    for (wrong, value) in wrong_values {
        let said = RIGHT.map(|(key, right)| (key, if key == wrong { value } else { right }));
        assert_eq!(ends(&mut client, &said).await, [Code::FailedPrecondition; 3], "{wrong} is {value:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_names_a_shard_that_is_here() {
    let (_cluster, mut client) = lone_and_empty().await;
    let requests = stream::iter([heartbeat(UNKNOWN)]);
    let mut replies = client.control(request(requests, &RIGHT)).await.expect("it is admitted").into_inner();
    let reply = replies.message().await.expect("it is answered").and_then(|reply| reply.kind);
    assert!(matches!(&reply, Some(control_reply::Kind::Failure(why)) if why.contains("not started")), "{reply:?}");

    let requests = stream::iter([entry(UNKNOWN, 0)]);
    let mut replies = client.append(request(requests, &RIGHT)).await.expect("it is admitted").into_inner();
    assert_eq!(replies.message().await.expect_err("no such shard").code(), Code::Unavailable);

    let chunks = stream::iter([header(UNKNOWN)]);
    let refused = client.install_snapshot(request(chunks, &RIGHT)).await;
    assert_eq!(refused.expect_err("no such shard").code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_another_shard_are_not_taken_for_those_of_the_stream() {
    let (cluster, mut client) = lone_and_empty().await;
    let node = &cluster.nodes[&2];
    node.groups.start_shard(SHARD + 1).await.expect("the group starts");
    let requests = stream::iter([entry(SHARD, 0), entry(SHARD + 1, 1)]);
    let mut replies = client.append(request(requests, &RIGHT)).await.expect("it is admitted").into_inner();
    let first = replies.message().await.expect("it is taken").and_then(|reply| reply.result);
    assert!(matches!(first, Some(append_reply::Result::Flushed(_))), "{first:?}");
    let second = replies.message().await;
    assert_eq!(second.expect_err("it is not of this stream").code(), Code::InvalidArgument);
    assert_eq!(node.group.log.bounds().1.map(|last| last.index), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_the_disk_has_no_room_for_is_refused_at_once() {
    let (cluster, mut client) = lone_and_empty().await;
    let file = peer::SnapshotFile { name: "000001.sst".to_owned(), size: 1 << 60, ..Default::default() };
    let manifest = Some(peer::SnapshotManifest { files: vec![file.clone(), file], ..Default::default() });
    let header = peer::SnapshotHeader { shard: SHARD, vote: None, manifest };
    let chunk = peer::SnapshotChunk { kind: Some(snapshot_chunk::Kind::Header(header)) };
    let refused = client.install_snapshot(request(stream::iter([chunk]), &RIGHT)).await.expect_err("no disk has that");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), format!("no room on the disk for a snapshot of {} bytes", 1_u64 << 61));
    let node = &cluster.nodes[&2];
    assert_eq!(node.group.store().checkpoint().and_then(|snapshot| snapshot.last()), None);
    assert_eq!(node.groups.disk(), crate::storage::DiskState::Room);
}

/// What is more than the budget of a stream, and what sockets hold, stays with who sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_disk_stands_still_takes_a_bounded_number_of_bytes() {
    const ENTRIES: u64 = 64;
    let (cluster, mut client) = lone_and_empty().await;
    let log = cluster.data.path().join("2/log");
    let disk = TestDisk::watch(&log, &cluster.data.path().join("kept"));
    let stall = disk.stall();
    let taken = Arc::new(AtomicU64::new(0));
    let counted = taken.clone();
    let requests = stream::iter(0..ENTRIES).map(move |index| {
        counted.fetch_add(1, Ordering::Relaxed);
        let mut request = entry(SHARD, index);
        request.entries[0].payload = vec![7; 4 << 20].into();
        request
    });
    let mut replies = client.append(request(requests, &RIGHT)).await.expect("it is admitted").into_inner();
    stall.is_felt();
    let mut before = u64::MAX;
    while before != taken.load(Ordering::Relaxed) {
        before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert!((4..=12).contains(&before), "{before} of {ENTRIES} entries of 4 MiB were taken");

    drop(stall);
    let deadline = Instant::now() + LONG;
    let mut last = None;
    while last < Some(ENTRIES - 1) {
        assert!(Instant::now() < deadline, "{last:?} is the last that was answered");
        let reply = replies.message().await.expect("it goes on").and_then(|reply| reply.result);
        let Some(append_reply::Result::Flushed(flushed)) = reply else { panic!("{reply:?}") };
        last = flushed.last.map(|last| last.index);
    }
}

/// With one of three nodes down, entries need the answers of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_answers_are_lost_is_given_up_for_another() {
    let (election_min, election_max) = (Duration::from_millis(900), Duration::from_millis(1000));
    let mut cluster = Cluster::start(3, RaftConfig { election_min, election_max, ..RaftConfig::default() }).await;
    let last = cluster.propose("before").await;
    cluster.all_equal_at(last).await;
    let leader = cluster.leader().await;
    let (down, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.stop(down).await;
    cluster.ways.lose_answers(leader, other);
    let last = cluster.propose("after").await;
    cluster.all_equal_at(last).await;
    let deadline = Instant::now() + LONG;
    while cluster.nodes[&cluster.leader().await].group.read_index().await.is_err() {
        assert!(Instant::now() < deadline, "heartbeats are not answered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
