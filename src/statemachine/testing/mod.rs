//! A state machine on a store in memory, driven by text scripts: operations in, answers, effects and history out.
//! Tests, simulation and benches stand on it; nothing of the server does.
//!
//! Each script also shows, for free: folding the history gives the stored state (invariant 3), a second replica holds
//! the same bytes (1), and every operation delivered twice is answered alike and changes nothing the second time (4).
//! It runs in every [`harness::Mode`], with equal results: each op in the log twice, effects lost at random, and the
//! state closed and reopened after every line. src/raft/scripts_test.rs does the last on a real store.

mod callbacks;
mod changes;
pub mod fold;
pub mod harness;
mod namespaces;
pub mod print;
mod properties;
pub mod script;
pub mod soft;
mod updates;

#[cfg(test)]
mod scripts_test;

pub use harness::Harness;
