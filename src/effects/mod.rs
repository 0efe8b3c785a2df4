//! The leader's hands: what has to be done after commit, and what waits in memory for it.
//!
//! ```text
//!   raft::machine ─► Hub ─┬─ every replica: Watchers (long polls), caches of the system shard
//!                         └─ the leader: ─ Alarm    ─► deadlines ─► propose Tick when something is due
//!                                        ─ TaskReady ─► dispatch ─► matching.offer
//!                                        ─ OutboxReady ─► outbox ─► propose Deliver to the target's shard, then AckOutbox
//!                                        ─ CallbackReady ─► callbacks ─► request, then propose SettleCallback
//!                        ─ NamespaceChanged ─► sweep ─► propose changes of all its runs, page by page (system shard)
//!                                        ─ Queries that wait for a run's next workflow task
//! ```
//!
//! An Effect is a hint. Everything here is soft state: `recover` builds it from the tables when this node begins to
//! lead a shard, drops it when it ends, and a slow second look at the tables finds what a lost Effect left behind.
//! It never writes state except by proposing an op.

mod backlog;
mod callbacks;
mod deadlines;
mod dispatch;
mod hub;
pub mod json;
mod outbox;
mod queries;
mod recover;
mod reservations;
mod source;
mod sweep;
mod topology;
mod watch;

pub use backlog::tell_backlogs;
pub use callbacks::CallbackCaller;
pub use hub::{Hands, Hub};
pub use queries::QueryRegistry;
pub use reservations::ParkedPollers;
pub use source::ReadyTasks;
pub use topology::QueueHomes;
pub use watch::{Progress, Watch, Watchers};
