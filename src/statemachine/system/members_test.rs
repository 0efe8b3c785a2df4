//! A cluster of three grows, shrinks and refuses.

use bytes::Bytes;

use crate::op::{answer, op::Kind, *};
use crate::state::{Cluster, MemberState, Node};
use crate::{apply, tables, MemoryKv, Txn};

struct Shard(MemoryKv);

impl Shard {
    fn of(nodes: u64) -> Self {
        let mut shard = Self(MemoryKv::default());
        let cluster = Cluster { cluster_id: "c".into(), data_shards: 1, ..Default::default() };
        let nodes = (1..=nodes).map(node).collect();
        shard.done(Kind::InitCluster(InitCluster { cluster: Some(cluster), nodes, ..Default::default() }));
        shard
    }

    /// Every op comes twice; the second time it answers the same and changes nothing.
    fn apply(&mut self, kind: Kind) -> Result<(), String> {
        let first = self.once(kind.clone());
        if !matches!(kind, Kind::PlaceShard(_)) {
            let rows = self.0.clone();
            assert_eq!(self.once(kind), first);
            assert_eq!(format!("{rows:?}"), format!("{:?}", self.0));
        }
        first
    }

    fn once(&mut self, kind: Kind) -> Result<(), String> {
        let proposal = Proposal {
            stamp: Some(Stamp { now: 7, seed: Bytes::from_static(&[1; 16]) }),
            op: Some(Op { kind: Some(kind) }),
            ..Default::default()
        };
        let base = self.0.clone();
        let mut txn = Txn::new(&base);
        let outcome = apply(&mut txn, &proposal).expect("no fault");
        self.0.write(txn.into_writes());
        match outcome.answer.kind {
            Some(answer::Kind::Reject(reject)) => Err(reject.message),
            _ => Ok(()),
        }
    }

    fn done(&mut self, kind: Kind) {
        self.apply(kind).expect("it is accepted");
    }

    fn refused(&mut self, kind: Kind) -> String {
        self.apply(kind).expect_err("it is refused")
    }

    fn state(&self, id: u64) -> MemberState {
        tables::member(&self.0, id).expect("readable").map_or(MemberState::Active, |row| row.state())
    }

    fn place(&mut self, shard: u32, voters: &[u64]) {
        let version = tables::placement(&self.0, shard).expect("readable").map_or(0, |row| row.version);
        self.done(Kind::PlaceShard(PlaceShard { shard, voters: voters.to_vec(), version }));
    }

    fn settle(&mut self, shard: u32) {
        let version = tables::placement(&self.0, shard).expect("readable").expect("placed").version;
        self.done(Kind::SettleShard(SettleShard { shard, version }));
    }
}

fn node(node_id: u64) -> Node {
    Node { node_id, peer_address: format!("10.0.0.{node_id}:7234"), ..Default::default() }
}

fn join(id: u64, incarnation: &'static str) -> Kind {
    Kind::JoinNode(JoinNode { node: Some(node(id)), incarnation: Bytes::from_static(incarnation.as_bytes()) })
}

fn remove(node_id: u64, replaced_by: u64) -> Kind {
    Kind::RemoveNode(RemoveNode { node_id, replaced_by })
}

fn finish(node_id: u64) -> Kind {
    Kind::FinishNode(FinishNode { node_id })
}

#[test]
fn a_node_joins_and_replaces_another() {
    let mut shard = Shard::of(3);
    shard.place(1, &[1, 2, 3]);
    shard.settle(1);
    shard.done(join(4, "first"));
    assert_eq!(shard.state(4), MemberState::Joining);
    shard.done(finish(4));
    assert_eq!(shard.state(4), MemberState::Active);

    shard.done(remove(3, 4));
    assert_eq!(shard.refused(finish(3)), "node 3 may still vote in shard 1");
    shard.place(1, &[4, 2, 1]);
    assert_eq!(shard.refused(finish(3)), "node 3 may still vote in shard 1");
    shard.settle(1);
    let placed = tables::placement(&shard.0, 1).expect("readable").expect("placed");
    assert_eq!((placed.voters, placed.settled, placed.previous), (vec![1, 2, 4], 2, vec![]));
    shard.done(finish(3));
    assert_eq!(shard.state(3), MemberState::Removed);
    let left: Vec<u64> = tables::nodes(&shard.0).expect("readable").iter().map(|node| node.node_id).collect();
    assert_eq!(left, [1, 2, 4]);
    assert_eq!(shard.refused(join(3, "again")), "node 3 was removed; a node id is used once: take another one");
    let comes_back = Kind::PutNode(PutNode { node: Some(node(3)), incarnation: Bytes::new() });
    assert_eq!(shard.refused(comes_back), "node 3 was removed; a node id is used once: take another one");
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let mut shard = Shard::of(3);
    assert_eq!(shard.refused(remove(9, 0)), "node 9 is not a member");
    assert_eq!(shard.refused(remove(1, 9)), "node 9 is not a member");
    assert_eq!(shard.refused(remove(1, 1)), "node 1 cannot replace itself");
    shard.done(remove(1, 0));
    assert_eq!(shard.refused(remove(2, 0)), "node 1 is still leaving: one node at a time");
    shard.done(join(4, "first"));
    let other = shard.refused(join(4, "second"));
    assert!(other.starts_with("node 4 is a member with another data directory"), "{other}");
    let mut same_address = node(5);
    same_address.peer_address = node(2).peer_address;
    let same_address = JoinNode { node: Some(same_address), incarnation: Bytes::from_static(b"x") };
    assert_eq!(shard.refused(Kind::JoinNode(same_address)), "node 2 is at 10.0.0.2:7234 already");
    assert_eq!(Shard::of(1).refused(remove(1, 0)), "node 1 is the only one");
}

#[test]
fn a_data_directory_is_remembered() {
    let mut shard = Shard::of(3);
    let put = |incarnation: &'static str| {
        Kind::PutNode(PutNode { node: Some(node(2)), incarnation: Bytes::from_static(incarnation.as_bytes()) })
    };
    shard.done(put("first"));
    shard.done(put(""));
    assert!(shard.refused(put("second")).contains("another data directory"));
}

#[test]
fn versions_keep_what_is_late_from_undoing_what_came_after() {
    let mut shard = Shard::of(3);
    shard.place(1, &[1, 2]);
    shard.place(1, &[1, 3]);
    let late = Kind::PlaceShard(PlaceShard { shard: 1, voters: vec![1], version: 1 });
    assert_eq!(shard.refused(late), "shard 1 was placed anew meanwhile");
    shard.done(Kind::SettleShard(SettleShard { shard: 1, version: 1 }));
    let placed = tables::placement(&shard.0, 1).expect("readable").expect("placed");
    assert_eq!((placed.settled, placed.previous), (0, vec![1, 2]));
    let prefer = |node_id| Kind::PreferLeader(PreferLeader { shard: 1, node_id });
    assert_eq!(shard.refused(prefer(2)), "node 2 is no voter of shard 1");
    shard.done(prefer(3));
    shard.place(1, &[1, 2]);
    shard.settle(1);
    assert_eq!(tables::placement(&shard.0, 1).expect("readable").expect("placed").preferred_leader, 0);
}

#[test]
fn a_drained_node_stays_so_until_it_is_undone() {
    let mut shard = Shard::of(2);
    for draining in [true, false] {
        shard.done(Kind::DrainNode(DrainNode { node_id: 2, draining }));
        assert_eq!(tables::member(&shard.0, 2).expect("readable").map(|row| row.draining), Some(draining));
    }
}
