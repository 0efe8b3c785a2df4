//! Nothing of a closed run is due, waits or is under way.

use statemachine::state::update::Stage;

use super::Subject;
use crate::{require, Checked};

pub fn check(run: &Subject<'_>) -> Checked {
    if run.rows.is_open() {
        return Ok(());
    }
    let row = run.row;
    let admitted = run.rows.updates.iter().any(|update| update.stage() == Stage::Admitted);
    let quiet = row.task.is_none()
        && row.sticky.is_none()
        && row.buffered_events == 0
        && row.run_deadline == 0
        && row.first_task_deadline == 0
        && row.updates_in_flight.is_empty()
        && !admitted
        && run.rows.activities.iter().all(|activity| !activity.queued && activity.deadline == 0);
    require(quiet, "closed_runs_rest", || format!("{}: {row:?}", run.name()))
}
