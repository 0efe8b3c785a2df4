//! An acknowledged signal is in the history of its workflow once; one without an answer at most once.

use std::collections::BTreeSet;

use sim::{require, Checked};

use crate::history::{History, Workflow};

const NAME: &str = "acknowledged_once";

/// `signals` is all that a workflow has in the end.
pub fn check(history: &History, workflow: &Workflow, signals: &[String]) -> Checked {
    let mut found = BTreeSet::new();
    for name in signals {
        require(found.insert(name), NAME, || format!("{workflow:?} has {name} twice"))?;
        let sent = history.calls.get(name).is_some_and(|call| call.workflow == *workflow);
        require(sent, NAME, || format!("{workflow:?} has {name}, which nobody sent there"))?;
    }
    let acknowledged = history.calls.iter().filter(|(_, call)| call.workflow == *workflow && call.answered.is_some());
    let lost = acknowledged.map(|(name, _)| name).find(|name| !found.contains(name));
    require(lost.is_none(), NAME, || format!("{workflow:?}: {lost:?} was acknowledged and is gone"))
}
