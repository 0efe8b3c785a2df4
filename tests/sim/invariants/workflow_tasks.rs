//! Workflow tasks come one after the other: scheduled, started, and completed, failed or timed out.

use proto::temporal::api::history::v1::history_event::Attributes as A;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "workflow_tasks";

pub fn check(run: &Subject<'_>) -> Checked {
    let (mut scheduled, mut started) = (0, 0);
    for event in run.events {
        let id = event.event_id;
        let fits = match &event.attributes {
            Some(A::WorkflowTaskScheduledEventAttributes(_)) => std::mem::replace(&mut scheduled, id) == 0,
            Some(A::WorkflowTaskStartedEventAttributes(a)) => {
                a.scheduled_event_id == scheduled && std::mem::replace(&mut started, id) == 0
            }
            Some(A::WorkflowTaskCompletedEventAttributes(a)) => {
                started != 0 && take(&mut scheduled, &mut started) == (a.scheduled_event_id, a.started_event_id)
            }
            Some(A::WorkflowTaskFailedEventAttributes(a)) => {
                take(&mut scheduled, &mut started) == (a.scheduled_event_id, a.started_event_id)
            }
            Some(A::WorkflowTaskTimedOutEventAttributes(a)) => {
                scheduled != 0 && take(&mut scheduled, &mut started) == (a.scheduled_event_id, a.started_event_id)
            }
            _ => true,
        };
        require(fits, NAME, || format!("{}: event {id} is out of place", run.name()))?;
    }
    let Some(task) = &run.row.task else {
        return require(scheduled == 0 || !run.rows.is_open(), NAME, || {
            format!("{}: task {scheduled} is in the history and not in the row", run.name())
        });
    };
    let normal = task.r#type() == statemachine::state::workflow_task::Type::Normal;
    let told =
        if normal { (scheduled, started) == (task.scheduled_event_id, task.started_event_id) } else { scheduled == 0 };
    require(told, NAME, || format!("{}: the history says {scheduled}, {started}, the row {task:?}", run.name()))
}

fn take(scheduled: &mut i64, started: &mut i64) -> (i64, i64) {
    (std::mem::take(scheduled), std::mem::take(started))
}
