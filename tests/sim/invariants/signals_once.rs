//! An acknowledged signal is in the history of its run, or held back, exactly once.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::HistoryEvent;

use super::Subject;
use crate::ledger::Ledger;
use crate::{require, Checked};

const NAME: &str = "signals_once";

fn name(event: &HistoryEvent) -> Option<&str> {
    match &event.attributes {
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(a)) => Some(&a.signal_name),
        _ => None,
    }
}

pub fn check(run: &Subject<'_>, ledger: &Ledger) -> Checked {
    let mut found: BTreeMap<&str, u32> = BTreeMap::new();
    let held_back = run.rows.buffered.iter().filter_map(|row| row.event.as_ref());
    for name in run.events.iter().chain(held_back).filter_map(name) {
        *found.entry(name).or_default() += 1;
    }
    let twice = found.iter().find(|(name, count)| **count > 1 && **name != "external");
    require(twice.is_none(), NAME, || format!("{}: {twice:?}", run.name()))?;
    let acknowledged = ledger.signals.get(&run.row.run_id);
    let lost = acknowledged.into_iter().flatten().find(|name| !found.contains_key(name.as_str()));
    require(lost.is_none(), NAME, || format!("{}: {lost:?} was acknowledged and is gone", run.name()))
}
