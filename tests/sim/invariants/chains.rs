//! Chains do not fork: a run follows one other at most, and a run that says it has a successor is closed.

use std::collections::BTreeMap;

use crate::view::ShardView;
use crate::{require, Checked};

const NAME: &str = "chains";

pub fn check(views: &[ShardView<'_>]) -> Checked {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    for run in views.iter().flat_map(|view| &view.runs).filter(|run| !run.successor_run_id.is_empty()) {
        require(run.close_time != 0, NAME, || format!("{} is open and has a successor", run.run_id))?;
        let other = before.insert(&run.successor_run_id, &run.run_id);
        require(other.is_none(), NAME, || format!("{} follows {} and {other:?}", run.successor_run_id, run.run_id))?;
    }
    for run in views.iter().flat_map(|view| &view.runs) {
        let Some(before) = before.get(run.run_id.as_str()) else { continue };
        let first = views.iter().flat_map(|view| &view.runs).find(|run| run.run_id == *before);
        let same =
            first.is_some_and(|first| first.first_run_id == run.first_run_id && first.workflow_id == run.workflow_id);
        require(same, NAME, || format!("{} and {before} are of different chains", run.run_id))?;
    }
    Ok(())
}
