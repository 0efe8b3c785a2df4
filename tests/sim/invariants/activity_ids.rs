//! Each pending activity can be found by its id, and nothing else.

use super::Subject;
use crate::{require, Checked};

pub fn check(run: &Subject<'_>) -> Checked {
    let mut rows: Vec<_> = run
        .rows
        .activities
        .iter()
        .map(|activity| (activity.activity_id.clone(), activity.scheduled_event_id))
        .collect();
    rows.sort();
    let mut ids = run.rows.activity_ids.clone();
    ids.sort();
    require(rows == ids, "activity_ids", || format!("{}: ids {ids:?}, rows {rows:?}", run.name()))
}
