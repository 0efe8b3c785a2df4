//! Nothing that a cluster lives through may make a node stop itself.

use crate::record;

/// Tells it as a violation; the panic ends the task that cannot go on.
pub fn stop(what: &str, why: impl std::fmt::Display) -> ! {
    record::violated("no_fault", format!("{what}: {why}"));
    panic!("{what}: {why}")
}
