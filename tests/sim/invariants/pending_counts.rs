//! The run row counts its pending rows.

use super::Subject;
use crate::{require, Checked};

pub fn check(run: &Subject<'_>) -> Checked {
    let (row, rows) = (run.row, run.rows);
    let counted =
        [row.pending_activities, row.pending_timers, row.pending_children, row.pending_signals + row.pending_cancels];
    let found = [rows.activities.len(), rows.timers.len(), rows.children.len(), rows.externals.len()].map(|n| n as i32);
    require(counted == found, "pending_counts", || {
        format!("{}: activities, timers, children, externals: counted {counted:?}, found {found:?}", run.name())
    })
}
