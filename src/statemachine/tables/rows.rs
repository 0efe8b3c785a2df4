//! Tables of a slot whose value is one protobuf message. Key layouts:
//!
//! | table      | key after [slot][table]               | value          |
//! |------------|---------------------------------------|----------------|
//! | Current    | namespace id 16, workflow id          | state::Current |
//! | Run        | run 16                                | state::Run     |
//! | Activity   | run 16, scheduled event id u64        | state::Activity|
//! | ActivityId | run 16, activity id                   | scheduled event id u64 |
//! | Timer      | run 16, timer id                      | state::Timer   |
//! | SignalId   | run 16, request id                    | empty          |
//! | Buffered   | run 16, number u64                    | state::BufferedEvent |
//! | Child      | run 16, initiated event id u64        | state::Child   |
//! | External   | run 16, initiated event id u64        | state::External|
//! | Update     | run 16, update id                     | state::Update  |

use prost::Message;

use super::{id_bytes, prefix_end, KeyWriter, RunKey, Table};
use crate::{state, Fault, Kv, Txn};

pub(super) fn decode<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, Fault> {
    M::decode(bytes).map_err(|error| Fault::corrupt(what, error))
}

pub(super) fn read<M: Message + Default>(kv: &dyn Kv, what: &'static str, key: &[u8]) -> Result<Option<M>, Fault> {
    kv.get(key)?.map(|bytes| decode(what, &bytes)).transpose()
}

/// All rows below a prefix, in key order, at most `max`.
pub(super) fn read_all<M: Message + Default>(
    kv: &dyn Kv,
    what: &'static str,
    prefix: &[u8],
    max: usize,
) -> Result<Vec<M>, Fault> {
    let mut rows = Vec::new();
    let mut bad = None;
    kv.scan(prefix, &prefix_end(prefix), &mut |_, value| {
        match decode(what, value) {
            Ok(row) => rows.push(row),
            Err(fault) => bad = Some(fault),
        }
        bad.is_none() && rows.len() < max
    })?;
    bad.map_or(Ok(rows), Err)
}

/// Removes all rows below a prefix.
fn delete_all(txn: &mut Txn<'_>, prefix: &[u8]) -> Result<(), Fault> {
    let mut keys = Vec::new();
    txn.scan(prefix, &prefix_end(prefix), &mut |key, _| {
        keys.push(key.to_vec());
        true
    })?;
    for key in keys {
        txn.delete(key);
    }
    Ok(())
}

fn namespace_bytes(namespace_id: &str) -> [u8; 16] {
    id_bytes(namespace_id).unwrap_or_default()
}

fn current_key(namespace_id: &str, workflow_id: &str) -> Vec<u8> {
    KeyWriter::new(crate::slot_of(namespace_id, workflow_id), Table::Current)
        .raw(&namespace_bytes(namespace_id))
        .raw(workflow_id.as_bytes())
        .done()
}

pub fn current(kv: &dyn Kv, namespace_id: &str, workflow_id: &str) -> Result<Option<state::Current>, Fault> {
    read(kv, "current row", &current_key(namespace_id, workflow_id))
}

pub fn put_current(txn: &mut Txn<'_>, namespace_id: &str, workflow_id: &str, row: &state::Current) {
    txn.put(current_key(namespace_id, workflow_id), row.encode_to_vec());
}

pub fn delete_current(txn: &mut Txn<'_>, namespace_id: &str, workflow_id: &str) {
    txn.delete(current_key(namespace_id, workflow_id));
}

pub fn run(kv: &dyn Kv, key: RunKey) -> Result<Option<state::Run>, Fault> {
    read(kv, "run row", &key.in_table(Table::Run).done())
}

pub fn put_run(txn: &mut Txn<'_>, key: RunKey, row: &state::Run) {
    txn.put(key.in_table(Table::Run).done(), row.encode_to_vec());
}

pub fn activity(kv: &dyn Kv, key: RunKey, scheduled_event_id: i64) -> Result<Option<state::Activity>, Fault> {
    read(kv, "activity row", &key.in_table(Table::Activity).i64(scheduled_event_id).done())
}

/// Pending activities by scheduled event id.
pub fn activities(kv: &dyn Kv, key: RunKey) -> Result<Vec<state::Activity>, Fault> {
    read_all(kv, "activity row", &key.in_table(Table::Activity).done(), usize::MAX)
}

pub fn put_activity(txn: &mut Txn<'_>, key: RunKey, row: &state::Activity) {
    txn.put(key.in_table(Table::Activity).i64(row.scheduled_event_id).done(), row.encode_to_vec());
}

/// Its id may name a newer activity by now, if the end of this one was held back while a worker scheduled that one.
pub fn delete_activity(txn: &mut Txn<'_>, key: RunKey, row: &state::Activity) -> Result<(), Fault> {
    txn.delete(key.in_table(Table::Activity).i64(row.scheduled_event_id).done());
    if activity_by_id(txn, key, &row.activity_id)? == Some(row.scheduled_event_id) {
        txn.delete(key.in_table(Table::ActivityId).raw(row.activity_id.as_bytes()).done());
    }
    Ok(())
}

/// The scheduled event id of the pending activity with this id.
pub fn activity_by_id(kv: &dyn Kv, key: RunKey, activity_id: &str) -> Result<Option<i64>, Fault> {
    let row = kv.get(&key.in_table(Table::ActivityId).raw(activity_id.as_bytes()).done())?;
    row.map(|bytes| {
        let bytes = <[u8; 8]>::try_from(bytes.as_slice()).map_err(|_| Fault::corrupt("activity id row", "length"))?;
        Ok(i64::from_be_bytes(bytes))
    })
    .transpose()
}

pub fn put_activity_id(txn: &mut Txn<'_>, key: RunKey, activity_id: &str, scheduled_event_id: i64) {
    let key = key.in_table(Table::ActivityId).raw(activity_id.as_bytes()).done();
    txn.put(key, scheduled_event_id.to_be_bytes().to_vec());
}

pub fn timer(kv: &dyn Kv, key: RunKey, timer_id: &str) -> Result<Option<state::Timer>, Fault> {
    read(kv, "timer row", &key.in_table(Table::Timer).raw(timer_id.as_bytes()).done())
}

/// Pending timers by timer id.
pub fn timers(kv: &dyn Kv, key: RunKey) -> Result<Vec<state::Timer>, Fault> {
    read_all(kv, "timer row", &key.in_table(Table::Timer).done(), usize::MAX)
}

pub fn put_timer(txn: &mut Txn<'_>, key: RunKey, row: &state::Timer) {
    txn.put(key.in_table(Table::Timer).raw(row.timer_id.as_bytes()).done(), row.encode_to_vec());
}

pub fn delete_timer(txn: &mut Txn<'_>, key: RunKey, timer_id: &str) {
    txn.delete(key.in_table(Table::Timer).raw(timer_id.as_bytes()).done());
}

/// Whether the run has seen a signal with this request id.
pub fn signal_seen(kv: &dyn Kv, key: RunKey, request_id: &str) -> Result<bool, Fault> {
    Ok(kv.get(&key.in_table(Table::SignalId).raw(request_id.as_bytes()).done())?.is_some())
}

/// The request ids of all signals the run has seen.
pub fn signals_seen(kv: &dyn Kv, key: RunKey) -> Result<Vec<String>, Fault> {
    let prefix = key.in_table(Table::SignalId).done();
    let mut found = Vec::new();
    let mut bad = None;
    kv.scan(&prefix, &prefix_end(&prefix), &mut |row_key, _| {
        match std::str::from_utf8(&row_key[prefix.len()..]) {
            Ok(request_id) => found.push(request_id.to_owned()),
            Err(error) => bad = Some(Fault::corrupt("signal id row", error)),
        }
        bad.is_none()
    })?;
    bad.map_or(Ok(found), Err)
}

pub fn put_signal_seen(txn: &mut Txn<'_>, key: RunKey, request_id: &str) {
    txn.put(key.in_table(Table::SignalId).raw(request_id.as_bytes()).done(), Vec::new());
}

/// The pending child that this event started.
pub fn child(kv: &dyn Kv, key: RunKey, initiated_event_id: i64) -> Result<Option<state::Child>, Fault> {
    read(kv, "child row", &key.in_table(Table::Child).i64(initiated_event_id).done())
}

/// Pending children by initiated event id.
pub fn children(kv: &dyn Kv, key: RunKey) -> Result<Vec<state::Child>, Fault> {
    read_all(kv, "child row", &key.in_table(Table::Child).done(), usize::MAX)
}

pub fn put_child(txn: &mut Txn<'_>, key: RunKey, row: &state::Child) {
    txn.put(key.in_table(Table::Child).i64(row.initiated_event_id).done(), row.encode_to_vec());
}

pub fn delete_child(txn: &mut Txn<'_>, key: RunKey, initiated_event_id: i64) {
    txn.delete(key.in_table(Table::Child).i64(initiated_event_id).done());
}

/// The signal or cancel request to another workflow that is under way for this event.
pub fn external(kv: &dyn Kv, key: RunKey, initiated_event_id: i64) -> Result<Option<state::External>, Fault> {
    read(kv, "external row", &key.in_table(Table::External).i64(initiated_event_id).done())
}

/// Signals and cancel requests under way, by initiated event id.
pub fn externals(kv: &dyn Kv, key: RunKey) -> Result<Vec<state::External>, Fault> {
    read_all(kv, "external row", &key.in_table(Table::External).done(), usize::MAX)
}

pub fn put_external(txn: &mut Txn<'_>, key: RunKey, row: &state::External) {
    txn.put(key.in_table(Table::External).i64(row.initiated_event_id).done(), row.encode_to_vec());
}

pub fn delete_external(txn: &mut Txn<'_>, key: RunKey, initiated_event_id: i64) {
    txn.delete(key.in_table(Table::External).i64(initiated_event_id).done());
}

/// Events held back while a workflow task runs, in order of arrival, with their numbers.
pub fn buffered(kv: &dyn Kv, key: RunKey) -> Result<Vec<(u64, state::BufferedEvent)>, Fault> {
    let prefix = key.in_table(Table::Buffered).done();
    let mut rows = Vec::new();
    let mut bad = None;
    kv.scan(&prefix, &prefix_end(&prefix), &mut |row_key, value| {
        let number = row_key[prefix.len()..].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        match decode("buffered row", value) {
            Ok(row) => rows.push((number, row)),
            Err(fault) => bad = Some(fault),
        }
        bad.is_none()
    })?;
    bad.map_or(Ok(rows), Err)
}

pub fn put_buffered(txn: &mut Txn<'_>, key: RunKey, number: u64, row: &state::BufferedEvent) {
    txn.put(key.in_table(Table::Buffered).u64(number).done(), row.encode_to_vec());
}

pub fn delete_buffered(txn: &mut Txn<'_>, key: RunKey, number: u64) {
    txn.delete(key.in_table(Table::Buffered).u64(number).done());
}

pub fn update(kv: &dyn Kv, key: RunKey, update_id: &str) -> Result<Option<state::Update>, Fault> {
    read(kv, "update row", &key.in_table(Table::Update).raw(update_id.as_bytes()).done())
}

/// All updates of a run that have a row, by id.
pub fn updates(kv: &dyn Kv, key: RunKey) -> Result<Vec<state::Update>, Fault> {
    read_all(kv, "update row", &key.in_table(Table::Update).done(), usize::MAX)
}

pub fn put_update(txn: &mut Txn<'_>, key: RunKey, row: &state::Update) {
    txn.put(key.in_table(Table::Update).raw(row.update_id.as_bytes()).done(), row.encode_to_vec());
}

pub fn delete_update(txn: &mut Txn<'_>, key: RunKey, update_id: &str) {
    txn.delete(key.in_table(Table::Update).raw(update_id.as_bytes()).done());
}

/// Removes every row of a run but its deadlines, ready tasks and callbacks and visibility row, whose keys the caller knows.
pub fn delete_run(txn: &mut Txn<'_>, key: RunKey) -> Result<(), Fault> {
    for table in [
        Table::Run,
        Table::History,
        Table::Activity,
        Table::ActivityId,
        Table::Timer,
        Table::Child,
        Table::SignalId,
        Table::Buffered,
        Table::External,
        Table::Update,
        Table::Callback,
    ] {
        delete_all(txn, &key.in_table(table).done())?;
    }
    Ok(())
}
