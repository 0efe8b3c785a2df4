//! Raft groups: one per shard, over one log store per node. The only place that knows openraft.
//!
//! ```text
//!   Group::propose ─► openraft ─► log store (storage::log, one fsync for all shards) ─► callback
//!                        │  └──► network: bulk appends │ heartbeats and votes │ snapshots   (three channels a peer)
//!                     commit
//!                        └─► machine: statemachine::apply on the shard's thread ─► one batch in its state store
//!                               ├─► Answer to the proposer
//!                               └─► Effects to the EffectSink
//! ```
//!
//! It never interprets a proposal beyond handing it to `statemachine::apply`, and no type of openraft leaves it. Of the rows
//! it reads one: the shard's time (`shard_time`).
//! Entries, votes and memberships have an encoding of our own on disk and on the wire (`codec`), so that an upgrade
//! of openraft never changes a stored byte.

mod applier;
mod budget;
mod codec;
mod error;
mod group;
mod groups;
mod leadership;
mod log;
mod machine;
mod maintenance;
mod mend;
pub mod metric;
mod network;
mod options;
mod runtime;
mod server;
mod shard_time;
mod status;
mod succession;
mod types;

use statemachine::Effect;
use tonic::transport::{Channel, Endpoint};

pub use crate::storage::{DiskState, Snapshot};
pub use error::{ChangeError, OpenError, ProposeError, ReadError};
pub use group::{Applied, Group, Leadership};
pub use groups::Groups;
pub use options::{RaftConfig, RaftOptions};
pub use status::{FollowerStatus, GroupStatus};

/// Where the effects of applied entries go. Called on the shard's apply thread: implementations must only hand over.
pub trait EffectSink: Send + Sync + 'static {
    /// Effects of entries applied on this node, in log order, once their rows can be read and before anyone who waits
    /// for those entries is told. `is_leader` is a hint: this node believed it led then. After a snapshot replaced a
    /// shard's rows it is a lone `ClusterChanged`.
    fn applied(&self, shard: u32, is_leader: bool, effects: Vec<Effect>);

    /// `Some(term)`: this node leads the shard in that term and has applied every entry of earlier terms, so that its
    /// tables can be scanned for work. `None`: it does not lead any more.
    fn leadership(&self, shard: u32, term: Option<u64>);
}

/// Knows where the other nodes listen.
pub trait PeerDirectory: Send + Sync + 'static {
    /// `host:port` of a node's peer server; `None` while unknown, which counts as unreachable.
    fn address(&self, node: u64) -> Option<String>;

    /// Whether a test has cut this node off from that one.
    fn is_cut(&self, _node: u64) -> bool {
        false
    }

    /// A connection to that place, made once it is used. The simulation of clusters has a network of its own.
    fn connect(&self, endpoint: Endpoint) -> Channel {
        endpoint.connect_lazy()
    }
}

#[cfg(test)]
mod cluster_test;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod damaged_snapshot_test;
#[cfg(test)]
mod lost_log_test;
#[cfg(test)]
mod mend_test;
#[cfg(test)]
mod network_test;
#[cfg(test)]
mod power_loss_test;
#[cfg(test)]
mod scripts_test;
#[cfg(test)]
mod stalled_disk_test;
#[cfg(test)]
mod suite_test;
#[cfg(test)]
mod test_kit;
