//! A closed run has one closing event, the last, that says what its row says; an open one has none.

use proto::temporal::api::enums::v1::{EventType, WorkflowExecutionStatus as Status};
use proto::temporal::api::history::v1::HistoryEvent;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "one_close_event";

/// The status that a closing event stands for.
pub fn status_of(event: &HistoryEvent) -> Option<Status> {
    match EventType::try_from(event.event_type).ok()? {
        EventType::WorkflowExecutionCompleted => Some(Status::Completed),
        EventType::WorkflowExecutionFailed => Some(Status::Failed),
        EventType::WorkflowExecutionTimedOut => Some(Status::TimedOut),
        EventType::WorkflowExecutionCanceled => Some(Status::Canceled),
        EventType::WorkflowExecutionTerminated => Some(Status::Terminated),
        EventType::WorkflowExecutionContinuedAsNew => Some(Status::ContinuedAsNew),
        _ => None,
    }
}

pub fn check(run: &Subject<'_>) -> Checked {
    let closings: Vec<_> =
        run.events.iter().filter_map(|event| Some((event.event_id, status_of(event)? as i32))).collect();
    let expected = match run.rows.is_open() {
        true => Vec::new(),
        false => vec![(run.row.next_event_id - 1, run.row.status)],
    };
    require(closings == expected, NAME, || {
        format!("{} with status {} has closing events {closings:?}", run.name(), run.row.status)
    })?;
    let open = matches!(Status::try_from(run.row.status), Ok(Status::Running | Status::Paused));
    require(open == run.rows.is_open(), NAME, || {
        format!("{}: status {} and close time {}", run.name(), run.row.status, run.row.close_time)
    })
}
