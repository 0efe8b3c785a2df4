//! A state machine on a store in memory, driven by text scripts: operations in, answers, effects and history out.
//! Tests, simulation and benches stand on it; nothing of the server does.
//!
//! Each script also shows, for free: folding the history gives the stored state (invariant 3), a second replica that is
//! closed and reopened after every line holds the same bytes (1), and every operation delivered twice changes nothing
//! the second time (4).

mod changes;
pub mod fold;
pub mod harness;
mod namespaces;
pub mod print;
pub mod script;
mod updates;

#[cfg(test)]
mod scripts_test;

pub use harness::Harness;
