//! A task that waits for a worker has one ready row, and every ready row has such a task: no task is lost.

use std::collections::BTreeSet;

use statemachine::state::{Activity, Run};
use statemachine::tables::RunKey;
use statemachine::TaskType;

use crate::view::ShardView;
use crate::{require, Checked};

const NAME: &str = "ready_rows";

/// Run, kind, scheduled event, stamp, queue.
type Waiting = (RunKey, TaskType, i64, u64, String);

pub fn check(view: &ShardView<'_>) -> Checked {
    let rows: BTreeSet<Waiting> = view
        .ready
        .iter()
        .map(|(key, row)| (key.run, key.queue.task_type, key.scheduled_event_id, row.stamp, key.queue.name.clone()))
        .collect();
    require(rows.len() == view.ready.len(), NAME, || "two rows for one task".to_owned())?;
    let mut waiting = BTreeSet::new();
    for (key, run) in view.by_run.iter().filter(|(_, run)| run.is_open()) {
        let Some(row) = &run.row else { continue };
        of_workflow_task(&mut waiting, *key, row)?;
        for activity in &run.activities {
            of_activity(&mut waiting, *key, row, activity)?;
        }
    }
    let lost = waiting.difference(&rows).next();
    require(lost.is_none(), NAME, || format!("no row for {lost:?}"))?;
    let orphan = rows.difference(&waiting).next();
    require(orphan.is_none(), NAME, || format!("nothing waits behind {orphan:?}"))
}

fn of_workflow_task(waiting: &mut BTreeSet<Waiting>, key: RunKey, row: &Run) -> Checked {
    let Some(task) = row.task.as_ref().filter(|task| task.started_event_id == 0) else { return Ok(()) };
    require(task.queued, NAME, || format!("{}: {task:?} waits without a row", row.workflow_id))?;
    waiting.insert((key, TaskType::Workflow, task.scheduled_event_id, task.stamp, task.queue.clone()));
    Ok(())
}

fn of_activity(waiting: &mut BTreeSet<Waiting>, key: RunKey, row: &Run, activity: &Activity) -> Checked {
    let waits = activity.started_time == 0 && activity.retry_due == 0 && activity.pause.is_none();
    require(activity.queued == waits, NAME, || format!("{}: waits {waits}, {activity:?}", row.workflow_id))?;
    let backs_off = activity.retry_due != 0 && activity.started_time == 0;
    let comes_back = activity.deadline != 0 || row.run_deadline != 0;
    require(!backs_off || comes_back, NAME, || format!("{}: never comes back: {activity:?}", row.workflow_id))?;
    if waits {
        let id = activity.scheduled_event_id;
        waiting.insert((key, TaskType::Activity, id, activity.stamp, activity.task_queue.clone()));
    }
    Ok(())
}
