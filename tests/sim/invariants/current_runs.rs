//! A workflow id has one current run at most: the open one, if one is open, and what is said of it is true.

use std::collections::BTreeSet;

use statemachine::tables::{id_bytes, RunKey};

use crate::view::ShardView;
use crate::{require, Checked};

const NAME: &str = "current_runs";

pub fn check(view: &ShardView<'_>) -> Checked {
    let mut pointed = BTreeSet::new();
    for (namespace, workflow_id, current) in &view.currents {
        let run = view.runs.iter().find(|run| run.run_id == current.run_id);
        let fits = run.is_some_and(|run| {
            run.workflow_id == *workflow_id
                && id_bytes(&run.namespace_id) == Some(*namespace)
                && (run.status, run.start_time, run.close_time)
                    == (current.status, current.start_time, current.close_time)
                && run.create_request_id == current.create_request_id
        });
        require(fits, NAME, || format!("{workflow_id}: {current:?} points to {run:?}"))?;
        pointed.insert(current.run_id.as_str());
    }
    for run in view.runs.iter().filter(|run| run.close_time == 0) {
        require(pointed.contains(run.run_id.as_str()), NAME, || {
            format!("{} {} is open and not current", run.workflow_id, run.run_id)
        })?;
        let key = RunKey::new(&run.namespace_id, &run.workflow_id, &run.run_id);
        require(key.is_some_and(|key| view.by_run.contains_key(&key)), NAME, || {
            format!("{} lies elsewhere", run.run_id)
        })?;
    }
    Ok(())
}
