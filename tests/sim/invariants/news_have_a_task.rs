//! What a workflow has not yet heard of brings it a task: no run is stuck.

use proto::temporal::api::enums::v1::EventType as T;
use proto::temporal::api::history::v1::HistoryEvent;

use super::Subject;
use crate::{require, Checked};

/// Whether the workflow must be told of an event.
fn is_news(event: &HistoryEvent) -> bool {
    matches!(
        T::try_from(event.event_type),
        Ok(T::WorkflowExecutionStarted
            | T::WorkflowExecutionSignaled
            | T::WorkflowExecutionCancelRequested
            | T::ActivityTaskCompleted
            | T::ActivityTaskFailed
            | T::ActivityTaskTimedOut
            | T::ActivityTaskCanceled
            | T::TimerFired
            | T::StartChildWorkflowExecutionFailed
            | T::ChildWorkflowExecutionStarted
            | T::ChildWorkflowExecutionCompleted
            | T::ChildWorkflowExecutionFailed
            | T::ChildWorkflowExecutionCanceled
            | T::ChildWorkflowExecutionTimedOut
            | T::ChildWorkflowExecutionTerminated
            | T::ExternalWorkflowExecutionSignaled
            | T::SignalExternalWorkflowExecutionFailed
            | T::ExternalWorkflowExecutionCancelRequested
            | T::RequestCancelExternalWorkflowExecutionFailed
            | T::WorkflowTaskFailed
            | T::WorkflowTaskTimedOut)
    )
}

pub fn check(run: &Subject<'_>) -> Checked {
    let row = run.row;
    let waits = row.first_task_withheld || row.first_task_deadline != 0 || row.pause.is_some();
    if !run.rows.is_open() || row.task.is_some() || waits {
        return Ok(());
    }
    let heard = run.events.iter().rposition(|event| event.event_type == T::WorkflowTaskCompleted as i32);
    let news = run.events.iter().skip(heard.map_or(0, |at| at + 1)).find(|event| is_news(event));
    require(news.is_none(), "news_have_a_task", || format!("{}: nobody hears of {news:?}", run.name()))?;
    let admitted =
        run.rows.updates.iter().find(|update| update.stage() == statemachine::state::update::Stage::Admitted);
    require(admitted.is_none(), "news_have_a_task", || format!("{}: nobody hears of {admitted:?}", run.name()))
}
