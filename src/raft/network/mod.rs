//! To the other nodes: three HTTP/2 connections a peer, so that nothing small waits behind something big.
//!
//! ```text
//!   control   one stream, multiplexed over all shards: heartbeats, votes, pre-votes, transfers
//!   bulk      one stream per shard and follower: log entries, pipelined
//!   snapshot  one call per snapshot
//! ```
//!
//! Every call carries the cluster id and both node ids, and the other side checks them. A peer that stops answering
//! gets a new connection: after a partition heals, an old one may wait minutes for TCP to try again.

mod append;
#[cfg(test)]
mod append_test;
mod client;
mod control;
mod lane;
mod lost;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

pub use client::Factory;

use self::control::Control;
use self::lane::Lane;
use super::PeerDirectory;

pub const CLUSTER: &str = "everstep-cluster";
pub const FROM: &str = "everstep-from";
pub const TO: &str = "everstep-to";
/// A single entry may be as big as a gRPC request may be; this leaves room for many.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Who this node is, as every call says.
#[derive(Clone)]
pub struct Identity {
    pub node: u64,
    pub cluster: watch::Receiver<String>,
}

/// The ways to one peer.
pub struct Peer {
    control: Control,
    bulk: Arc<Lane>,
    snapshot: Arc<Lane>,
    /// Shards whose log lost entries there.
    lost: Mutex<BTreeSet<u32>>,
}

impl Peer {
    /// Whether it was not known yet that the shard's log lost entries there.
    fn is_first_loss(&self, shard: u32) -> bool {
        self.lost.lock().expect("nothing panics while holding the losses").insert(shard)
    }
}

/// The ways to all peers, made when first needed.
pub struct Peers {
    identity: Identity,
    directory: Arc<dyn PeerDirectory>,
    /// An answer that takes longer than this means the connection may be dead.
    patience: Duration,
    peers: Mutex<BTreeMap<u64, Arc<Peer>>>,
}

impl Peers {
    pub fn new(identity: Identity, directory: Arc<dyn PeerDirectory>, patience: Duration) -> Arc<Self> {
        Arc::new(Self { identity, directory, patience, peers: Mutex::default() })
    }

    pub fn is_cut(&self, node: u64) -> bool {
        self.directory.is_cut(node)
    }

    fn peer(&self, node: u64) -> Arc<Peer> {
        let mut peers = self.peers.lock().expect("nothing panics while holding the peers");
        let lane = || Arc::new(Lane::new(self.identity.clone(), node, self.directory.clone()));
        let new = || {
            Arc::new(Peer {
                control: Control::new(lane(), self.patience),
                bulk: lane(),
                snapshot: lane(),
                lost: Mutex::default(),
            })
        };
        peers.entry(node).or_insert_with(new).clone()
    }
}
