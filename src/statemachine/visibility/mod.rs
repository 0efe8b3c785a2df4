//! The row that lists and counts read, written in the same batch as the state it describes.

pub mod attributes;

use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::workflow::v1::WorkflowExecutionInfo;

use crate::state::{Run as Row, Visible};
use crate::tables::{id_bytes, VisibleKey};
use crate::time::{duration, timestamp, timestamp_if_set};
use crate::workflow::Run;
use crate::Context;

/// Writes the run's row, moving it from the open to the closed part when it closes.
pub fn write(ctx: &mut Context<'_, '_>, run: &mut Run) {
    let closed = !run.is_open();
    let time = if closed { run.row.close_time } else { run.row.start_time };
    remove(ctx, run);
    run.row.visible = true;
    run.row.visible_sort_time = time;
    let key = VisibleKey { namespace: id_bytes(&run.row.namespace_id).unwrap_or_default(), closed, time, run: run.key };
    key.put(ctx.txn, &Visible { info: Some(info(&run.row)) });
}

/// Removes the run's row.
pub fn remove(ctx: &mut Context<'_, '_>, run: &mut Run) {
    if !std::mem::take(&mut run.row.visible) {
        return;
    }
    let time = run.row.visible_sort_time;
    let key = |closed| VisibleKey {
        namespace: id_bytes(&run.row.namespace_id).unwrap_or_default(),
        closed,
        time,
        run: run.key,
    };
    key(time != run.row.start_time).delete(ctx.txn);
    if time == run.row.start_time {
        // A run that closed in the instant it started: its row may be in either part.
        key(true).delete(ctx.txn);
    }
}

/// What lists say of a run. Counts that change with every event are filled in once it is closed.
pub fn info(row: &Row) -> WorkflowExecutionInfo {
    let closed = row.close_time != 0;
    WorkflowExecutionInfo {
        execution: Some(WorkflowExecution { workflow_id: row.workflow_id.clone(), run_id: row.run_id.clone() }),
        r#type: Some(WorkflowType { name: row.workflow_type.clone() }),
        start_time: Some(timestamp(row.start_time)),
        execution_time: Some(timestamp(row.execution_time)),
        close_time: timestamp_if_set(row.close_time),
        status: row.status,
        history_length: if closed { row.next_event_id - 1 } else { 0 },
        history_size_bytes: if closed { row.history_size } else { 0 },
        state_transition_count: if closed { row.state_transitions } else { 0 },
        execution_duration: closed.then(|| duration(row.close_time - row.execution_time)),
        parent_execution: row
            .parent
            .as_ref()
            .map(|parent| WorkflowExecution { workflow_id: parent.workflow_id.clone(), run_id: parent.run_id.clone() }),
        root_execution: row.root.clone(),
        memo: row.memo.clone(),
        search_attributes: row.search_attributes.clone(),
        task_queue: row.task_queue.clone(),
        ..Default::default()
    }
}
