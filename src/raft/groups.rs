//! All Raft groups of this node.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::everstep::peer::v1::raft_server::{Raft, RaftServer};

use super::{EffectSink, Group, OpenError, PeerDirectory, RaftOptions};
use crate::storage::DiskState;

pub struct Groups {}

impl Groups {
    /// Opens the node's log store. No group runs until `start_shard`.
    pub async fn open(
        _options: RaftOptions,
        _sink: Arc<dyn EffectSink>,
        _peers: Arc<dyn PeerDirectory>,
    ) -> Result<Arc<Self>, OpenError> {
        unimplemented!()
    }

    /// Opens the shard's state store and starts its group; returns the running one if there is one.
    pub async fn start_shard(&self, _shard: u32) -> Result<Arc<Group>, OpenError> {
        unimplemented!()
    }

    /// Gives a started, empty group its first voters. Harmless if it already has a log.
    pub async fn initialize(&self, _shard: u32, _voters: BTreeSet<u64>) -> Result<(), OpenError> {
        unimplemented!()
    }

    pub fn group(&self, _shard: u32) -> Option<Arc<Group>> {
        unimplemented!()
    }

    /// The started groups, by shard.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        unimplemented!()
    }

    /// Whether the data directory has room; proposals are refused while it is full.
    pub fn disk(&self) -> DiskState {
        unimplemented!()
    }

    /// The service to mount on the peer server. Messages may have up to 64 MiB.
    pub fn tonic_service(self: &Arc<Self>) -> RaftServer<impl Raft> {
        unimplemented!() as RaftServer<Unbuilt>
    }

    /// Stops every group and makes all state durable. Transfer leaderships away first to stop without a gap.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}

struct Unbuilt;

#[tonic::async_trait]
impl Raft for Unbuilt {}
