//! An update is accepted once and completed once, in that order, and its row says how far it is.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes as A;
use statemachine::state::update::Stage;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "updates_once";

pub fn check(run: &Subject<'_>) -> Checked {
    let mut stages: BTreeMap<&str, Stage> = BTreeMap::new();
    for event in run.events {
        let fits = match &event.attributes {
            Some(A::WorkflowExecutionUpdateAcceptedEventAttributes(a)) => {
                stages.insert(&a.protocol_instance_id, Stage::Accepted).is_none()
            }
            Some(A::WorkflowExecutionUpdateCompletedEventAttributes(a)) => {
                let id = a.meta.as_ref().map(|meta| meta.update_id.as_str()).unwrap_or_default();
                stages.insert(id, Stage::Completed) == Some(Stage::Accepted)
            }
            _ => true,
        };
        require(fits, NAME, || format!("{}: event {} comes out of order", run.name(), event.event_id))?;
    }
    for update in &run.rows.updates {
        let told = stages.remove(update.update_id.as_str());
        let written = matches!(update.stage(), Stage::Accepted | Stage::Completed).then_some(update.stage());
        require(told == written, NAME, || format!("{}: {update:?}, the history says {told:?}", run.name()))?;
        let in_flight = run.row.updates_in_flight.contains(&update.update_id);
        let should = run.rows.is_open() && matches!(update.stage(), Stage::Admitted | Stage::Accepted);
        require(in_flight == should, NAME, || format!("{}: {update:?} in flight: {in_flight}", run.name()))?;
    }
    require(stages.is_empty(), NAME, || format!("{}: updates without rows: {stages:?}", run.name()))
}
