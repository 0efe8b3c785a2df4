//! Where everything is and how to get there: nodes, the slot map, which node leads a shard.
//!
//! ```text
//!   api, effects ─► Router ──propose──► leader here:  Stamp + Limits + Op ─► raft::Group
//!                     │                 elsewhere:    peer stream `Proposals` ─► that node's ClusterService
//!                     └────read────► barrier (ReadIndex, coalesced) ─► wait applied here ─► local Snapshot
//!
//!   bootstrap ─► groups 0..=N, the cluster record, the slot map, the first namespaces
//!   balance   ─► leaderships spread over the nodes        drain ─► handed over before this node leaves
//!   members   ─► nodes join, leave and are replaced       admin ─► what operators ask for
//! ```
//!
//! It never interprets an op beyond finding its shard and never holds state that cannot be read again from the
//! system shard, which every node replicates. A call is retried with the same op id until its deadline: an election
//! is latency to the caller, not an error.

mod admin;
mod balance;
mod barrier;
mod bootstrap;
mod clock;
mod cuts;
mod drain;
mod error;
mod feed;
mod leader;
mod members;
mod namespaces;
mod peers;
mod proposals;
#[cfg(test)]
mod proposals_test;
mod router;
mod service;
mod sessions;
mod slots;
mod status;
mod taking;
mod target;
pub mod tasks;

pub use admin::AdminService;
pub use balance::balance;
pub use bootstrap::{bootstrap, Bootstrap, BootstrapError};
pub use clock::now;
pub use drain::{drain, Draining};
pub use error::RouteError;
pub use feed::ChangeFeed;
pub use leader::{LeaderHooks, Reservations};
pub use members::keep_members;
pub use namespaces::{NamespaceError, Namespaces};
pub use peers::{Lane, Peer, Peers};
pub use router::{Router, RouterOptions};
pub use service::ClusterService;
pub use slots::SlotMap;
pub use status::NodeFacts;
pub use target::{Buffered, Committed, Queries, QueryResults, Target, SYSTEM_SHARD};
