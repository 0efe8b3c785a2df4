//! Folding a run's history gives its stored state again.

use statemachine::testing::fold;
use statemachine::MemoryKv;

use super::Subject;
use crate::{Checked, Violation};

pub fn check(run: &Subject<'_>, kv: &MemoryKv) -> Checked {
    fold::check_run(kv, run.row).map_err(|what| Violation { invariant: "folded", what })
}
