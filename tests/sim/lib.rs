//! Deterministic simulation of the core: shards, their replicas and leaders, clients and workers, all in one thread
//! and all from one seed. See README.md.
//!
//! ```text
//!   seed ─► Settings + list of Steps ─► World ── propose ─► Shard: log ─► leader's rows ─► answer, effects
//!                                         │                          └──► followers' rows, in batches, later
//!                                         └── every so many steps ─► invariants/*
//! ```
//!
//! A step is a kind and a number from which all its choices come, so that any part of a list of steps is a list of
//! steps: that is what lets a failing one be cut down (`shrink`). Nothing here knows a clock, a thread or a hash map.

pub mod digest;
pub mod invariants;
pub mod ledger;
pub mod random;
pub mod settings;
pub mod shard;
pub mod shrink;
pub mod steps;
pub mod trial;
pub mod view;
pub mod workers;
pub mod world;

pub use random::Random;
pub use settings::Settings;
pub use trial::{Trial, Verdict};
pub use world::World;

/// What must never be: the invariant that does not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

pub type Checked<T = ()> = Result<T, Violation>;

/// The violation of `invariant`, unless `holds`.
pub fn require(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Violation { invariant, what: what() })
}
