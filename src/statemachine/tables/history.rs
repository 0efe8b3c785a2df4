//! History: one row a batch of events, keyed [slot][table][run 16][first event id u64]. The value is an encoded
//! `temporal.api.history.v1.History`, so concatenating values gives a longer history without re-encoding.

use prost::encoding::{decode_key, skip_field, DecodeContext};
use prost::Message;
use proto::temporal::api::history::v1::{History, HistoryEvent};

use super::{KeyReader, RunKey, Table};
use crate::{Fault, Kv, Txn};

/// What each event of an encoded `History` begins with: field 1, with a length.
const EVENTS_TAG: u8 = 0x0a;

/// The stored bytes of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryBatch {
    pub first_event_id: i64,
    pub bytes: Vec<u8>,
}

impl HistoryBatch {
    pub fn events(&self) -> Result<Vec<HistoryEvent>, Fault> {
        History::decode(self.bytes.as_slice())
            .map(|history| history.events)
            .map_err(|error| Fault::corrupt("history batch", error))
    }

    /// The id after that of its last event: ids are dense, so counting is enough.
    pub fn end_event_id(&self) -> Result<i64, Fault> {
        let mut rest = self.bytes.as_slice();
        let mut end = self.first_event_id;
        let bad = |error| Fault::corrupt("history batch", error);
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest).map_err(bad)?;
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(bad)?;
            end += 1;
        }
        Ok(end)
    }

    /// One event of the batch. Ids are dense, so the events before it are stepped over unread.
    pub fn event(&self, event_id: i64) -> Result<Option<HistoryEvent>, Fault> {
        let bad = |error: &dyn std::fmt::Display| Fault::corrupt("history batch", error);
        let Ok(before) = usize::try_from(event_id.saturating_sub(self.first_event_id)) else { return Ok(None) };
        let mut rest = self.bytes.as_slice();
        let mut at = 0;
        while let Some((tag, value)) = rest.split_first() {
            if *tag != EVENTS_TAG {
                return Err(bad(&"a field that is no event"));
            }
            rest = value;
            let length = prost::decode_length_delimiter(&mut rest).map_err(|error| bad(&error))?;
            let Some((event, after)) = rest.split_at_checked(length) else { return Err(bad(&"it ends early")) };
            if at == before {
                return HistoryEvent::decode(event).map(Some).map_err(|error| bad(&error));
            }
            rest = after;
            at += 1;
        }
        Ok(None)
    }

    fn from_row(key: &[u8], value: &[u8]) -> Result<Self, Fault> {
        let mut reader = KeyReader::new(key)?;
        reader.id()?;
        Ok(Self { first_event_id: reader.i64()?, bytes: value.to_vec() })
    }
}

/// Writes a batch and returns its size in bytes.
pub fn append_batch(txn: &mut Txn<'_>, key: RunKey, events: Vec<HistoryEvent>) -> usize {
    let Some(first) = events.first().map(|event| event.event_id) else { return 0 };
    let bytes = History::from(events).encode_to_vec();
    let size = bytes.len();
    txn.put(key.in_table(Table::History).i64(first).done(), bytes);
    size
}

/// Batches whose first event is in [first, end), at most `max` of them. A batch is never split: use
/// [`batch_at_or_before`] when `first` may lie inside one.
pub fn read_batches(kv: &dyn Kv, key: RunKey, first: i64, end: i64, max: usize) -> Result<Vec<HistoryBatch>, Fault> {
    let from = key.in_table(Table::History).i64(first).done();
    let to = key.in_table(Table::History).i64(end).done();
    let mut batches = Vec::new();
    let mut bad = None;
    kv.scan(&from, &to, &mut |row_key, value| {
        match HistoryBatch::from_row(row_key, value) {
            Ok(batch) => batches.push(batch),
            Err(fault) => bad = Some(fault),
        }
        bad.is_none() && batches.len() < max
    })?;
    bad.map_or(Ok(batches), Err)
}

/// One event of a run's history.
pub fn event(kv: &dyn Kv, key: RunKey, event_id: i64) -> Result<HistoryEvent, Fault> {
    let batch = batch_at_or_before(kv, key, event_id)?;
    let found = batch.map(|batch| batch.event(event_id)).transpose()?.flatten();
    found.ok_or_else(|| Fault::corrupt("history", format!("no event {event_id}")))
}

/// The batch that holds the event, or the last one before it.
pub fn batch_at_or_before(kv: &dyn Kv, key: RunKey, event_id: i64) -> Result<Option<HistoryBatch>, Fault> {
    let from = key.in_table(Table::History).done();
    let to = key.in_table(Table::History).i64(event_id.saturating_add(1)).done();
    let mut found = None;
    kv.scan_back(&from, &to, &mut |row_key, value| {
        found = Some(HistoryBatch::from_row(row_key, value));
        false
    })?;
    found.transpose()
}
