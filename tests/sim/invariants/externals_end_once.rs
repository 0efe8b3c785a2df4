//! A signal or cancel request to another workflow has one outcome; without one it is under way.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes as A;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "externals_end_once";

pub fn check(run: &Subject<'_>) -> Checked {
    let mut open: BTreeMap<i64, bool> = BTreeMap::new();
    for event in run.events {
        let initiated = match &event.attributes {
            Some(
                A::SignalExternalWorkflowExecutionInitiatedEventAttributes(_)
                | A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(_),
            ) => {
                open.insert(event.event_id, true);
                continue;
            }
            Some(A::ExternalWorkflowExecutionSignaledEventAttributes(a)) => a.initiated_event_id,
            Some(A::SignalExternalWorkflowExecutionFailedEventAttributes(a)) => a.initiated_event_id,
            Some(A::ExternalWorkflowExecutionCancelRequestedEventAttributes(a)) => a.initiated_event_id,
            Some(A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a)) => a.initiated_event_id,
            _ => continue,
        };
        require(open.insert(initiated, false) == Some(true), NAME, || {
            format!("{}: event {} is a second outcome of {initiated}", run.name(), event.event_id)
        })?;
    }
    let open: Vec<i64> = open.into_iter().filter(|(_, open)| *open).map(|(id, _)| id).collect();
    let rows: Vec<i64> = run.rows.externals.iter().map(|row| row.initiated_event_id).collect();
    let known = rows.iter().all(|id| open.contains(id));
    let all = open.len() == rows.len() || !run.rows.buffered.is_empty();
    require(known && all, NAME, || format!("{}: without an outcome {open:?}, under way {rows:?}", run.name()))
}
