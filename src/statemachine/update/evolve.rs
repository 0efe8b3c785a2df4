//! What the events of updates change.

use proto::temporal::api::history::v1::{
    WorkflowExecutionUpdateAcceptedEventAttributes, WorkflowExecutionUpdateAdmittedEventAttributes,
    WorkflowExecutionUpdateCompletedEventAttributes,
};

use super::admit::id_of;
use crate::state::update::Stage;
use crate::state::Update;
use crate::workflow::Run;
use crate::{tables, Fault, Txn};

/// A reset admits it again. It goes to the worker in the history, not in a message.
pub fn admitted(txn: &mut Txn<'_>, run: &mut Run, event_id: i64, a: &WorkflowExecutionUpdateAdmittedEventAttributes) {
    let request = a.request.clone().unwrap_or_default();
    let id = id_of(&request).to_owned();
    let number = run.next_stamp();
    run.row.updates_in_flight.push(id.clone());
    let row =
        Update { update_id: id, number, request: Some(request), admitted_event_id: event_id, ..Default::default() };
    tables::put_update(txn, run.key, &row);
    run.updates_changed = true;
}

pub fn accepted(
    txn: &mut Txn<'_>,
    run: &mut Run,
    event_id: i64,
    a: &WorkflowExecutionUpdateAcceptedEventAttributes,
) -> Result<(), Fault> {
    let id = &a.protocol_instance_id;
    let number = tables::update(txn, run.key, id)?.map(|row| row.number).unwrap_or_default();
    let row = Update {
        update_id: id.clone(),
        stage: Stage::Accepted as i32,
        number,
        accepted_event_id: event_id,
        ..Default::default()
    };
    tables::put_update(txn, run.key, &row);
    if !run.row.updates_in_flight.contains(id) {
        run.row.updates_in_flight.push(id.clone());
    }
    run.row.updates += 1;
    run.updates_changed = true;
    Ok(())
}

pub fn completed(
    txn: &mut Txn<'_>,
    run: &mut Run,
    event_id: i64,
    a: &WorkflowExecutionUpdateCompletedEventAttributes,
) -> Result<(), Fault> {
    let id = a.meta.as_ref().map(|meta| meta.update_id.as_str()).unwrap_or_default();
    let mut row = tables::update(txn, run.key, id)?.unwrap_or_default();
    id.clone_into(&mut row.update_id);
    row.stage = Stage::Completed as i32;
    row.accepted_event_id = a.accepted_event_id;
    row.completed_event_id = event_id;
    tables::put_update(txn, run.key, &row);
    run.row.updates_in_flight.retain(|other| other != id);
    run.updates_changed = true;
    Ok(())
}
