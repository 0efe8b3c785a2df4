//! No row is left of a run that is gone.

use crate::view::ShardView;
use crate::{require, Checked};

pub fn check(view: &ShardView<'_>) -> Checked {
    let orphan = view.by_run.values().find(|rows| rows.row.is_none());
    require(orphan.is_none(), "no_orphans", || format!("{orphan:?}"))
}
