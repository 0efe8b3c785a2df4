//! One shard's Raft group as the rest of the node sees it.

use std::collections::BTreeSet;

use bytes::Bytes;
use statemachine::op;
use tokio::sync::watch;

use super::{ChangeError, GroupStatus, ProposeError, ReadError, Snapshot};

/// A committed and applied proposal.
#[derive(Debug, Clone)]
pub struct Applied {
    pub index: u64,
    pub answer: op::Answer,
}

/// Who leads a group, as far as this node knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<u64>,
}

pub struct Group {}

impl Group {
    pub fn shard(&self) -> u32 {
        unimplemented!()
    }

    /// Replicates an encoded `op::Proposal` and waits until it is applied here. Only the leader accepts.
    pub async fn propose(&self, _proposal: Bytes) -> Result<Applied, ProposeError> {
        unimplemented!()
    }

    /// An index such that a reader of any replica that has applied it sees every write acknowledged before this call.
    /// Only the leader answers, after a quorum confirmed it; concurrent calls share one round.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        unimplemented!()
    }

    /// Waits until this replica has applied `index`.
    pub async fn wait_applied(&self, _index: u64) -> Result<(), ReadError> {
        unimplemented!()
    }

    /// A consistent view of this replica's rows, as of its last applied batch.
    pub fn snapshot(&self) -> Snapshot {
        unimplemented!()
    }

    pub fn leader(&self) -> Option<u64> {
        unimplemented!()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        unimplemented!()
    }

    pub fn is_leader(&self) -> bool {
        unimplemented!()
    }

    pub fn status(&self) -> GroupStatus {
        unimplemented!()
    }

    /// Asks a voter to take over and waits until it leads or the attempt has failed.
    pub async fn transfer_leader(&self, _to: u64) -> Result<(), ChangeError> {
        unimplemented!()
    }

    /// Adds a member without a vote and waits until it has caught up.
    pub async fn add_learner(&self, _node: u64) -> Result<(), ChangeError> {
        unimplemented!()
    }

    /// Makes `voters` the group's voters; members that are no longer voters leave it.
    pub async fn change_membership(&self, _voters: BTreeSet<u64>) -> Result<(), ChangeError> {
        unimplemented!()
    }
}
