//! Pairs ready tasks with waiting pollers, in memory only: whatever is lost here is found again in the shards' ready
//! tables. It never proposes an op and never reads a table; who gets a task proposes `StartTask`, which decides.
//!
//! ```text
//!   api: poll ──► this node: Core ◄── offer :effects (tasks of the shards this node leads)
//!                   │   ▲  a task meets a poller of the same node at once
//!      PollTask     │   │        OfferTasks (batches), PullTasks
//!                   ▼   │
//!               home of the queue: Core: bounded buffer, priority ► fairness ► ready time
//! ```
//!
//! [`core`] and what it is made of (`queue`, `buffer`, `rates`, `meter`, `recent`, `sightings`, `promises`, `words`)
//! are synchronous and see no clock but the times given to them. [`Matching`] is the shell around it: waiting, peers, deadlines.

mod buffer;
mod core;
mod describe;
mod forward;
mod handed;
mod meter;
mod offers;
mod peer;
mod promises;
mod query;
mod queue;
mod rates;
mod recent;
mod reserve;
mod service;
mod shares;
mod sightings;
#[cfg(test)]
mod tests;
mod topology;
mod types;
mod wire;
mod words;
mod workers;

pub use describe::{PollerInfo, QueueInfo, QueueLevel};
pub use handed::{Given, Handed};
pub use peer::{send, PeerService, MESSAGE_MOST};
pub use query::{QueryAnswer, QueryError, QueryRequest};
pub use service::{Matching, PollResult};
pub use topology::{Call, Level, ReadyBacklog, Reply, TaskSource, Topology};
pub use types::{Exhausted, Limits, PollRequest, Reservation, Started, Task, TaskKey, TaskKind};
pub use workers::WorkerPage;
