//! Invariant 3: folding a run's history through `evolve` gives its stored state again.

use prost::Message;
use proto::temporal::api::history::v1::HistoryEvent;

use crate::state::update::Stage;
use crate::state::workflow_task::Type;
use crate::state::{Activity, Callback, Child, Run as Row, Timer, Update};
use crate::tables::{self, Table};
use crate::workflow::{evolve, Run};
use crate::{MemoryKv, Txn};

/// What must be equal: the run row and its pending things, without what has no event.
#[derive(Debug, PartialEq)]
pub struct Folded {
    row: Row,
    activities: Vec<Activity>,
    /// The scheduled event that the id of each of them names.
    activity_ids: Vec<Option<i64>>,
    timers: Vec<Timer>,
    children: Vec<Child>,
    externals: Vec<i64>,
    updates: Vec<Update>,
    callbacks: Vec<Callback>,
}

/// What is wrong with a run of the store that is not the fold of its history.
pub fn check(kv: &MemoryKv) -> Result<(), String> {
    for (key, value) in &kv.rows {
        if key.get(2) == Some(&(Table::Run as u8)) && key[..2] != [0xff, 0xff] {
            check_run(kv, &Row::decode(value.as_slice()).expect("a run row"))?;
        }
    }
    Ok(())
}

/// The same for one run, whose row is given.
pub fn check_run(kv: &MemoryKv, row: &Row) -> Result<(), String> {
    if row.buffered_events > 0 {
        return Ok(()); // Held-back events have changed state and are no history yet.
    }
    let key = tables::RunKey::new(&row.namespace_id, &row.workflow_id, &row.run_id).expect("ids");
    let blank = Row {
        namespace_id: row.namespace_id.clone(),
        namespace: row.namespace.clone(),
        run_id: row.run_id.clone(),
        ..Default::default()
    };
    let batches = tables::read_batches(kv, key, 1, i64::MAX, usize::MAX).expect("no fault");
    let events: Vec<_> = batches.iter().flat_map(|batch| batch.events().expect("events")).collect();
    let (folded, again) = of_events(key, blank, &events)?;
    let stored = project(kv, key, row.clone());
    let again = project(&folded, key, again);
    if again == stored {
        return Ok(());
    }
    let id = &stored.row.workflow_id;
    Err(format!("{id}: the history folds to\n{again:?}\nand stored is\n{stored:?}"))
}

/// The rows and the run row that a history stands for. `blank` says whose it is.
pub fn of_events(key: tables::RunKey, blank: Row, events: &[HistoryEvent]) -> Result<(MemoryKv, Row), String> {
    let mut folded = MemoryKv::default();
    let mut run = Run::new(key, Row { next_event_id: 1, ..blank });
    let mut txn = Txn::new(&folded);
    for event in events {
        evolve::apply(&mut txn, &mut run, event).map_err(|fault| format!("event {}: {fault}", event.event_id))?;
        run.push(event.clone());
    }
    let writes = txn.into_writes();
    folded.write(writes);
    Ok((folded, run.row))
}

/// Leaves out what has no event: the list in `evolve`'s documentation.
fn project(kv: &MemoryKv, key: tables::RunKey, row: Row) -> Folded {
    let row = project_row(row);
    let children = tables::children(kv, key).expect("no fault");
    let externals = tables::externals(kv, key).expect("no fault");
    let activities = tables::activities(kv, key).expect("no fault");
    let by_id = |activity: &Activity| tables::activity_by_id(kv, key, &activity.activity_id).expect("no fault");
    Folded {
        row,
        activity_ids: activities.iter().map(by_id).collect(),
        activities: activities
            .into_iter()
            .map(|activity| Activity {
                scheduled_event_id: activity.scheduled_event_id,
                activity_id: activity.activity_id,
                activity_type: activity.activity_type,
                cancel_requested: activity.cancel_requested,
                scheduled_time: activity.scheduled_time,
                ..Default::default()
            })
            .collect(),
        timers: tables::timers(kv, key).expect("no fault"),
        children: children
            .into_iter()
            .map(|child| Child { outbox_id: 0, request_id: String::new(), ..child })
            .collect(),
        externals: externals.into_iter().map(|row| row.initiated_event_id).collect(),
        updates: tables::updates(kv, key)
            .expect("no fault")
            .into_iter()
            .filter(|update| matches!(update.stage(), Stage::Accepted | Stage::Completed))
            .map(|update| Update { number: 0, ..update })
            .collect(),
        callbacks: tables::callbacks(kv, key)
            .expect("no fault")
            .into_iter()
            .map(|row| Callback {
                number: row.number,
                callback: row.callback,
                request_id: row.request_id,
                registration_time: row.registration_time,
                ..Default::default()
            })
            .collect(),
    }
}

fn project_row(row: Row) -> Row {
    let closed = row.close_time != 0;
    Row {
        updates_in_flight: Vec::new(),
        updates_refused: Vec::new(),
        task: row.task.filter(|task| task.attempt <= 1 && task.r#type() != Type::Speculative && !closed).map(|task| {
            crate::state::WorkflowTask {
                scheduled_event_id: task.scheduled_event_id,
                started_event_id: task.started_event_id,
                attempt: task.attempt,
                ..Default::default()
            }
        }),
        task_attempt: 0,
        problem_tasks: 0,
        sticky: None,
        root: None,
        retention: 0,
        retention_deadline: 0,
        run_deadline: 0,
        first_task_deadline: 0,
        create_request_id: String::new(),
        request_ids: Default::default(),
        recent_ops: Vec::new(),
        replaced_run_id: String::new(),
        next_stamp: 0,
        state_transitions: 0,
        last_batch_event_id: 0,
        last_close_batch_event_id: 0,
        close_attempted: false,
        first_task_withheld: false,
        cancel_request_id: String::new(),
        last_started_identity: String::new(),
        visible: false,
        visible_sort_time: 0,
        reset_points: None,
        reset_run_id: String::new(),
        reset_request_id: String::new(),
        resets: Vec::new(),
        last_reset_time: 0,
        kept_event_id: 0,
        ..row
    }
}
