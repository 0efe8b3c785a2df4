//! Signals and reads of a workflow are linearizable: a read shows all that was acknowledged, and all that others had read,
//! before it began; and what was acknowledged before another signal was sent is before it in the history.

use sim::{require, Checked};

use crate::history::{History, Reading, Workflow};

const NAME: &str = "linearizable";

/// A read has been answered.
pub fn read(history: &mut History, reading: &Reading, signals: &[String]) -> Checked {
    let workflow = &reading.workflow;
    let due = |call: &crate::history::Call| {
        call.workflow == *workflow && call.answered.is_some_and(|answered| answered < reading.invoked)
    };
    let mut acknowledged = history.calls.iter().filter(|(_, call)| due(call)).map(|(name, _)| name);
    let missing = acknowledged.find(|name| !signals.contains(name));
    require(missing.is_none(), NAME, || format!("a read of {workflow:?} does not show {missing:?}: {signals:?}"))?;
    require(signals.len() >= reading.known, NAME, || {
        format!("a read of {workflow:?} shows {} signals, an earlier one {}", signals.len(), reading.known)
    })?;
    let longest = history.longest.entry(workflow.clone()).or_default();
    let shared = longest.len().min(signals.len());
    require(longest[..shared] == signals[..shared], NAME, || {
        format!("{workflow:?} was read as {longest:?} and as {signals:?}")
    })?;
    if signals.len() > longest.len() {
        *longest = signals.to_vec();
    }
    Ok(())
}

/// `signals` is all that a workflow has in the end.
pub fn order(history: &History, workflow: &Workflow, signals: &[String]) -> Checked {
    let mut latest: Option<(&String, u64)> = None;
    for name in signals {
        let Some(call) = history.calls.get(name) else { continue };
        if let (Some((before, invoked)), Some(answered)) = (latest, call.answered) {
            require(answered > invoked, NAME, || {
                format!("{workflow:?}: {name} was acknowledged before {before} was sent, and is after it")
            })?;
        }
        if latest.is_none_or(|(_, invoked)| invoked < call.invoked) {
            latest = Some((name, call.invoked));
        }
    }
    Ok(())
}
