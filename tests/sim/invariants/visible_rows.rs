//! Lists and counts say what is: one row for each run, where it belongs, with its status.

use std::collections::BTreeMap;

use statemachine::tables::{id_bytes, RunKey};

use crate::view::ShardView;
use crate::{require, Checked};

const NAME: &str = "visible_rows";

pub fn check(view: &ShardView<'_>) -> Checked {
    let mut seen: BTreeMap<RunKey, usize> = BTreeMap::new();
    for (key, visible) in &view.visible {
        *seen.entry(key.run).or_default() += 1;
        let run = view.by_run.get(&key.run).and_then(|rows| rows.row.as_ref());
        let info = visible.info.clone().unwrap_or_default();
        let fits = run.is_some_and(|run| {
            let closed = run.close_time != 0;
            key.closed == closed
                && key.time == if closed { run.close_time } else { run.start_time }
                && Some(key.namespace) == id_bytes(&run.namespace_id)
                && info.status == run.status
                && info.task_queue == run.task_queue
                && info.search_attributes == run.search_attributes
                && info.memo == run.memo
                && (!closed || info.history_length == run.next_event_id - 1)
        });
        require(fits, NAME, || format!("{key:?} {info:?} of {run:?}"))?;
    }
    let once = seen.values().all(|count| *count == 1);
    require(once && seen.len() == view.runs.len(), NAME, || {
        format!("{} rows for {} runs", view.visible.len(), view.runs.len())
    })
}
