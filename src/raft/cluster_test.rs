//! Three nodes in one process, talking over real sockets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use statemachine::op;

use super::test_kit::{proposal, Cluster, Node, LONG, SHARD};
use super::{ProposeError, RaftConfig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_agree_and_survive_their_leader() {
    let mut cluster = Cluster::start(3, RaftConfig::default()).await;
    for number in 0..20 {
        cluster.propose(&format!("before-{number}")).await;
    }
    let leader = cluster.leader().await;
    let node = &cluster.nodes[&leader];
    let read = node.group.read_index().await.expect("a quorum answers");
    node.group.wait_applied(read).await.expect("the group runs");
    assert!(node.group.snapshot().applied().expect("rows can be read").is_some_and(|applied| applied.index >= read));
    let status = node.group.status();
    assert_eq!((status.leader, status.voters.len(), status.followers.len()), (Some(leader), 3, 2));
    assert_eq!(node.sink.terms.lock().expect("no panic").last(), Some(&Some(status.term)));
    assert!(*node.sink.effects.lock().expect("no panic") >= 20);

    cluster.stop(leader).await;
    let started = Instant::now();
    cluster.propose("after").await;
    println!("failover took {:?}", started.elapsed());
    cluster.restart(leader).await;
    let last = cluster.propose("again").await;
    cluster.all_equal_at(last).await;
}

/// Whatever their clocks say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shards_time_goes_on_on_every_node_and_after_a_restart() {
    const SECOND: i64 = 1_000_000_000;
    let mut cluster = Cluster::start(3, RaftConfig::default()).await;
    let mut stamped = op::Proposal::decode(proposal("ahead")).expect("it was just encoded");
    stamped.stamp = stamped.stamp.map(|stamp| op::Stamp { now: 5000 * SECOND, ..stamp });
    let stamped = Bytes::from(stamped.encode_to_vec());
    let (leader, applied) = loop {
        let leader = cluster.leader().await;
        match cluster.nodes[&leader].group.propose(stamped.clone()).await {
            Ok(applied) => break (leader, applied),
            Err(ProposeError::NotLeader { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let last = cluster.propose("a leader that is behind").await;
    assert!(last > applied.index);
    cluster.all_equal_at(last).await;
    cluster.stop(leader).await;
    cluster.restart(leader).await;
    for (id, node) in &cluster.nodes {
        let time = node.group.time_at_least();
        assert!((5000 * SECOND..5060 * SECOND).contains(&time), "node {id}: {time}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(node.group.time_at_least() > time, "it stands still");
    }
}

/// Without the broken connection it would take the lease (2 s) and an election timeout (2 s).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_when_its_lease_ends() {
    let (election_min, election_max) = (Duration::from_millis(2000), Duration::from_millis(2001));
    let mut cluster = Cluster::start(3, RaftConfig { election_min, election_max, ..RaftConfig::default() }).await;
    let last = cluster.propose("before").await;
    cluster.all_equal_at(last).await;
    let leader = cluster.leader().await;
    let unreachable = cluster.nodes.remove(&leader).expect("it runs");
    cluster.ways.isolate(leader, true);
    cluster.ways.sever(leader);
    let started = Instant::now();
    cluster.propose("after").await;
    drop(unreachable);
    let (took, longest) = (started.elapsed(), election_max + election_min);
    assert!(took < longest - Duration::from_millis(500), "it took {took:?}, as if the connection had told nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_lives_outlasts_a_broken_connection() {
    // Longer than a busy machine takes for two heartbeats and a connection.
    let (election_min, election_max) = (Duration::from_millis(900), Duration::from_millis(1000));
    let cluster = Cluster::start(3, RaftConfig { election_min, election_max, ..RaftConfig::default() }).await;
    let last = cluster.propose("before").await;
    cluster.all_equal_at(last).await;
    let leader = cluster.leader().await;
    let term = cluster.nodes[&leader].group.status().term;
    for _ in 0..5 {
        cluster.ways.sever(leader);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(election_max * 2).await;
    cluster.propose("after").await;
    assert_eq!((cluster.leader().await, cluster.nodes[&leader].group.status().term), (leader, term));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_refuse_and_name_the_leader() {
    let cluster = Cluster::start(3, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    cluster.all_equal_at(last).await;
    let leader = cluster.leader().await;
    let (_, follower) = cluster.nodes.iter().find(|(id, _)| **id != leader).expect("there are three");
    let refused = follower.group.propose(proposal("two")).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: Some(named) }) if named == leader), "{refused:?}");
    assert!(follower.group.read_index().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_can_be_handed_over() {
    let cluster = Cluster::start(3, RaftConfig::default()).await;
    cluster.propose("one").await;
    let leader = cluster.leader().await;
    let to = leader % 3 + 1;
    let started = Instant::now();
    cluster.nodes[&leader].group.transfer_leader(to).await.expect("the other takes over");
    println!("transfer took {:?}", started.elapsed());
    let last = cluster.propose("two").await;
    assert_eq!(cluster.leader().await, to);
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_catches_up_from_a_snapshot() {
    let config = RaftConfig { log_entries_kept: 0, ..RaftConfig::default() };
    let mut cluster = Cluster::start(3, config).await;
    cluster.propose("one").await;
    let away = cluster.leader().await % 3 + 1;
    cluster.stop(away).await;
    let mut last = 0;
    for number in 0..50 {
        last = cluster.propose(&format!("meanwhile-{number}")).await;
    }
    for node in cluster.nodes.values() {
        node.group.make_snapshot().await;
        let deadline = Instant::now() + LONG;
        while node.group.status().purged.is_none_or(|purged| purged < last) {
            assert!(Instant::now() < deadline, "the log is not purged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    cluster.restart(away).await;
    cluster.all_equal_at(last).await;
    let deadline = Instant::now() + LONG;
    while cluster.nodes[&away].group.status().snapshot.is_none() {
        assert!(Instant::now() < deadline, "it came without a snapshot: {:?}", cluster.nodes[&away].group.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = cluster.propose("done").await;
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_stops_its_shard_and_no_other() {
    let cluster = Cluster::start(1, RaftConfig::default()).await;
    cluster.propose("one").await;
    let groups = &cluster.nodes[&1].groups;
    let other = groups.start_shard(1).await.expect("the group starts");
    groups.initialize(1, BTreeSet::from([1])).await.expect("the group is initialized");
    let group = &cluster.nodes[&1].group;
    let poisoned = group.propose(poison()).await;
    assert!(matches!(poisoned, Err(ProposeError::Unknown { .. })), "{poisoned:?}");
    let deadline = Instant::now() + LONG;
    while group.status().stopped.is_none() || group.is_leader() || !other.is_leader() {
        assert!(Instant::now() < deadline, "{:?}", group.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(group.propose(proposal("two")).await.is_err());
    other.propose(proposal("two")).await.expect("the other shard goes on");
}

/// An op that the core cannot carry out: nobody proposes a reset of no namespace.
fn poison() -> Bytes {
    let kind = op::op::Kind::ResetWorkflow(op::ResetWorkflow::default());
    op::Proposal { op: Some(op::Op { kind: Some(kind) }), ..Default::default() }.encode_to_vec().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_refuses_an_entry_that_cannot_be_read() {
    let mut cluster = Cluster::start(3, RaftConfig::default()).await;
    let first = cluster.propose("one").await;
    cluster.all_equal_at(first).await;
    let leader = cluster.leader().await;
    let group = &cluster.nodes[&leader].group;
    let before = group.snapshot().digest().expect("rows can be read");
    let refused = group.propose(Bytes::from_static(&[0xff; 9])).await.expect("it is answered");
    let Some(op::answer::Kind::Reject(reject)) = refused.answer.kind else { panic!("{refused:?}") };
    assert_eq!(reject.code, statemachine::reject::code::INVALID_ARGUMENT);
    assert_eq!(group.snapshot().digest().expect("rows can be read"), before, "it wrote nothing");
    cluster.all_equal_at(refused.index).await;
    cluster.stop(leader).await;
    cluster.restart(leader).await;
    let last = cluster.propose("two").await;
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_proposals_but_not_reads() {
    let cluster = Cluster::start(1, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    let data = cluster.data.path();
    let full = Node::open(2, data, &cluster.ways, RaftConfig::default(), u64::MAX).await;
    full.groups.initialize(SHARD, BTreeSet::from([2])).await.expect("the group is initialized");
    let deadline = Instant::now() + LONG;
    while !full.group.is_leader() {
        assert!(Instant::now() < deadline, "no leader");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(full.group.propose(proposal("two")).await, Err(ProposeError::DiskFull)));
    full.group.read_index().await.expect("reads need no room");
    assert!(cluster.nodes[&1].group.read_index().await.expect("it has room") >= last);
}

/// As one is that was on its way for longer than its leader led.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_for_another_term_is_not_taken() {
    let mut cluster = Cluster::start(1, RaftConfig::default()).await;
    cluster.propose("one").await;
    let term = cluster.nodes[&1].group.leadership().borrow().term;
    cluster.stop(1).await;
    cluster.restart(1).await;
    let last = cluster.propose("two").await;
    let group = &cluster.nodes[&1].group;
    let now = group.leadership().borrow().term;
    assert!(now > term, "{now} after {term}");
    for other in [term, now + 1] {
        let late = group.propose_in(Some(other), proposal("late")).await;
        assert!(matches!(late, Err(ProposeError::NotLeader { leader: None })), "{late:?}");
    }
    assert_eq!(group.read_index().await.expect("it is its own quorum"), last, "nothing was appended");
    group.propose_in(Some(now), proposal("three")).await.expect("it leads in that term");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_restarts_with_everything() {
    let mut cluster = Cluster::start(1, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    let digest = cluster.nodes[&1].group.snapshot().digest().expect("rows can be read");
    cluster.stop(1).await;
    cluster.restart(1).await;
    cluster.nodes[&1].group.wait_applied(last).await.expect("the group runs");
    assert_eq!(cluster.nodes[&1].group.snapshot().digest().expect("rows can be read"), digest);
    let leader = cluster.leader().await;
    let read = cluster.nodes[&leader].group.read_index().await.expect("it is its own quorum");
    assert!(read >= last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_answers_nothing_and_comes_back() {
    let mut cluster = Cluster::start(3, RaftConfig::default()).await;
    let last = cluster.propose("one").await;
    cluster.all_equal_at(last).await;
    let old = cluster.leader().await;
    cluster.ways.isolate(old, true);
    let cut_off = cluster.nodes.remove(&old).expect("it runs");
    let lost = cut_off.group.propose(proposal("lost"));
    let answered = tokio::time::timeout(Duration::from_millis(1500), lost).await;
    assert!(!matches!(answered, Ok(Ok(_))), "no quorum");
    assert!(cut_off.group.read_index().await.is_err(), "its reads could be stale");
    for number in 0..5 {
        cluster.propose(&format!("without-{number}")).await;
    }
    cluster.ways.isolate(old, false);
    let healed = Instant::now();
    cluster.nodes.insert(old, cut_off);
    let last = cluster.propose("healed").await;
    cluster.all_equal_at(last).await;
    println!("healing took {:?}", healed.elapsed());
    assert!(healed.elapsed() < Duration::from_secs(10));
}

/// Snapshots everywhere, and nothing of the log below them.
async fn purge(cluster: &Cluster, last: u64) {
    for node in cluster.nodes.values() {
        node.group.make_snapshot().await;
        let deadline = Instant::now() + LONG;
        while node.group.status().purged.is_none_or(|purged| purged < last) {
            assert!(Instant::now() < deadline, "the log is not purged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn caught_up(cluster: &Cluster, node: u64) {
    let deadline = Instant::now() + LONG;
    loop {
        let leader = cluster.leader().await;
        let followers = cluster.nodes[&leader].group.status().followers;
        let able = |status: &super::FollowerStatus| status.node == node && status.lag == 0;
        if followers.iter().any(|status| able(status) && status.silent_millis.is_some_and(|millis| millis < 1000)) {
            return;
        }
        assert!(Instant::now() < deadline, "node {node} does not catch up: {followers:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_learns_from_a_snapshot_and_votes_in_place_of_a_dead_one() {
    let config = RaftConfig { log_entries_kept: 0, ..RaftConfig::default() };
    let mut cluster = Cluster::with_room(3, 4, config).await;
    let mut last = 0;
    for number in 0..50 {
        last = cluster.propose(&format!("before-{number}")).await;
    }
    cluster.all_equal_at(last).await;
    purge(&cluster, last).await;
    let dead = cluster.leader().await % 3 + 1;
    cluster.stop(dead).await;
    cluster.restart(4).await;

    let leader = cluster.leader().await;
    let group = cluster.nodes[&leader].group.clone();
    group.add_learner(4).await.expect("two of three agree");
    caught_up(&cluster, 4).await;
    assert!(cluster.nodes[&4].group.status().snapshot.is_some(), "the log alone cannot have brought it");
    let voters: BTreeSet<u64> = [1, 2, 3, 4].into_iter().filter(|&node| node != dead).collect();
    group.change_voters(voters.clone()).await.expect("two of three agree");
    group.remove_learners(BTreeSet::from([dead])).await.expect("it has no vote any more");
    let status = group.status();
    assert_eq!((status.voters, status.learners, status.joint), (voters, BTreeSet::new(), false));

    // It counts: without one of the others, the new one makes the quorum.
    let other = (1..4).find(|&node| node != dead && node != leader).expect("there are three");
    cluster.stop(other).await;
    let last = cluster.propose("after").await;
    cluster.all_equal_at(last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_quorum_changes_nothing() {
    let config = RaftConfig { propose_timeout: Duration::from_secs(1), ..RaftConfig::default() };
    let mut cluster = Cluster::with_room(3, 4, config).await;
    cluster.propose("one").await;
    let leader = cluster.leader().await;
    for node in (1..=3).filter(|&node| node != leader) {
        cluster.stop(node).await;
    }
    cluster.restart(4).await;
    let group = cluster.nodes[&leader].group.clone();
    assert!(group.add_learner(4).await.is_err(), "one of three decides nothing");
    assert!(group.change_voters(BTreeSet::from([leader, 4])).await.is_err(), "nor can it make itself a majority");
}
