//! Event ids are 1, 2, 3 …; a batch stands under its first event; size and next id are those of the run row.

use prost::Message;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "contiguous";

pub fn check(run: &Subject<'_>) -> Checked {
    for (at, event) in run.events.iter().enumerate() {
        let expected = at as i64 + 1;
        require(event.event_id == expected, NAME, || {
            format!("{}: event {} stands where {expected} should", run.name(), event.event_id)
        })?;
    }
    let next = run.events.len() as i64 + 1;
    require(run.row.next_event_id == next, NAME, || {
        format!("{}: next event id {} after {} events", run.name(), run.row.next_event_id, run.events.len())
    })?;
    let size: i64 = run.events.iter().map(|event| event.encoded_len() as i64).sum();
    require(run.row.history_size == size, NAME, || {
        format!("{}: history size {} of {size} bytes", run.name(), run.row.history_size)
    })?;
    let mut expected = 1;
    for (first, bytes) in &run.rows.batches {
        let count = crate::view::decode::<proto::temporal::api::history::v1::History>(bytes)?.events.len() as i64;
        require(*first == expected && count > 0, NAME, || {
            format!("{}: a batch of {count} under {first}, not {expected}", run.name())
        })?;
        expected += count;
    }
    Ok(())
}
