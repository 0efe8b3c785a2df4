//! A timer fires or is cancelled once, never before it is due.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes as A;
use statemachine::time::{nanos_of_timestamp, nanos_or_zero};

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "timers_in_time";

pub fn check(run: &Subject<'_>) -> Checked {
    let mut due: BTreeMap<i64, i64> = BTreeMap::new();
    for event in run.events {
        let time = event.event_time.as_ref().map(nanos_of_timestamp).unwrap_or_default();
        match &event.attributes {
            Some(A::TimerStartedEventAttributes(a)) => {
                due.insert(event.event_id, time + nanos_or_zero(a.start_to_fire_timeout.as_ref()));
            }
            Some(A::TimerFiredEventAttributes(a)) => {
                let in_time = due.remove(&a.started_event_id).is_some_and(|due| due <= time);
                require(in_time, NAME, || format!("{}: event {} fires early or again", run.name(), event.event_id))?;
            }
            Some(A::TimerCanceledEventAttributes(a)) => {
                let was_open = due.remove(&a.started_event_id).is_some();
                require(was_open, NAME, || format!("{}: event {} cancels what has ended", run.name(), event.event_id))?;
            }
            _ => {}
        }
    }
    let rows: Vec<i64> = run.rows.timers.iter().map(|timer| timer.started_event_id).collect();
    let known = rows.iter().all(|id| due.contains_key(id));
    let all = due.len() == rows.len() || !run.rows.buffered.is_empty();
    require(known && all, NAME, || format!("{}: open {due:?}, rows {rows:?}", run.name()))
}
