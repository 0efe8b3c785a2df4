//! Events are held back only behind a workflow task that a worker has, and the run row counts them.

use prost::Message;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "buffered";

pub fn check(run: &Subject<'_>) -> Checked {
    let held = &run.rows.buffered;
    let bytes: usize = held.iter().filter_map(|row| row.event.as_ref()).map(Message::encoded_len).sum();
    let counted = (run.row.buffered_events as usize, run.row.buffered_bytes as usize);
    require(counted == (held.len(), bytes), NAME, || {
        format!("{}: {counted:?} counted, {} of {bytes} bytes held back", run.name(), held.len())
    })?;
    let running = run.row.task.as_ref().is_some_and(|task| task.started_event_id != 0);
    require(held.is_empty() || running, NAME, || {
        format!("{}: {} events held back and no task that runs", run.name(), held.len())
    })
}
