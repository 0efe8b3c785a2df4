//! Every deadline row is the one its run, task, activity or timer knows of, and all they know of are there.

use std::collections::BTreeSet;

use statemachine::state::Run;
use statemachine::tables::{DeadlineKey, DeadlineKind, RunKey};

use crate::view::{RunRows, ShardView};
use crate::{require, Checked};

const NAME: &str = "deadlines_owned";

pub fn check(view: &ShardView<'_>) -> Checked {
    let rows: BTreeSet<DeadlineKey> = view.deadlines.iter().map(|(key, _)| *key).collect();
    let mut owned = BTreeSet::new();
    for (key, run) in &view.by_run {
        if let Some(row) = &run.row {
            of_run(&mut owned, *key, row);
            of_pending(&mut owned, *key, run);
        }
    }
    let orphan = rows.difference(&owned).next();
    require(orphan.is_none(), NAME, || format!("nobody knows of {orphan:?}"))?;
    let missing = owned.difference(&rows).next();
    require(missing.is_none(), NAME, || format!("there is no row {missing:?}"))
}

fn of_run(owned: &mut BTreeSet<DeadlineKey>, run: RunKey, row: &Run) {
    let mut own = |due: i64, kind: DeadlineKind, entity: i64, stamp: u64| {
        if due != 0 {
            owned.insert(DeadlineKey { due, kind, run, entity, stamp });
        }
    };
    own(row.run_deadline, DeadlineKind::RunTimeout, 0, 0);
    own(row.first_task_deadline, DeadlineKind::FirstTask, 0, 0);
    own(row.retention_deadline, DeadlineKind::Retention, 0, 0);
    if let Some(task) = &row.task {
        let kind = match task.started_event_id {
            0 => DeadlineKind::TaskScheduleToStart,
            _ => DeadlineKind::TaskStartToClose,
        };
        own(task.deadline, kind, task.scheduled_event_id, task.stamp);
    }
}

fn of_pending(owned: &mut BTreeSet<DeadlineKey>, run: RunKey, rows: &RunRows<'_>) {
    for activity in rows.activities.iter().filter(|activity| activity.deadline != 0) {
        let kind = match activity.retry_due == activity.deadline {
            true => DeadlineKind::ActivityRetry,
            false => DeadlineKind::ActivityTimeout,
        };
        let (due, entity, stamp) = (activity.deadline, activity.scheduled_event_id, activity.stamp);
        owned.insert(DeadlineKey { due, kind, run, entity, stamp });
    }
    for timer in rows.timers.iter().filter(|_| rows.is_open()) {
        let (due, entity, stamp) = (timer.due, timer.started_event_id, timer.stamp);
        owned.insert(DeadlineKey { due, kind: DeadlineKind::Timer, run, entity, stamp });
    }
}
