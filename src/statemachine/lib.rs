//! The deterministic core: what every replica does with each entry of its log.
//!
//! ```text
//!   Proposal { Stamp, Op } ──► apply(&mut Txn) ──► Outcome { Answer, Effects }
//!                                   │
//!                          decide: Op + rows ─► Changes | Reject
//!                          evolve: Changes ─► rows          (the only writer of workflow state)
//! ```
//!
//! It sees the stored rows and the proposal, nothing else: no clock, no randomness, no I/O, no threads and no
//! hash-ordered maps. Time is the stamp's (never backwards within a shard), ids derive from the stamp's seed.
//! A [`Reject`] is a refusal that is the same on every replica and writes nothing; a [`Fault`] is this node's own
//! failure and stops it rather than let it diverge. An [`Effect`] is a hint to the leader: losing every one of them
//! must lose no work, because all soft state can be rebuilt from the tables.

pub mod activity;
pub mod apply;
pub mod callback;
pub mod child;
pub mod context;
pub mod deadline;
pub mod effect;
pub mod external;
pub mod fault;
pub mod kv;
pub mod limits;
pub mod outbox;
pub mod reject;
pub mod slot;
pub mod system;
pub mod tables;
pub mod task_queue;
pub mod time;
pub mod timer;
pub mod txn;
pub mod update;
pub mod visibility;
pub mod workflow;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use apply::{apply, Outcome};
pub use context::Context;
pub use effect::{Effect, QueueKey, TaskType};
pub use fault::Fault;
pub use kv::{Kv, MemoryKv};
pub use reject::Reject;
pub use slot::{slot_of, SLOTS};
pub use txn::Txn;

pub use proto::everstep::op::v1 as op;
pub use proto::everstep::state::v1 as state;
