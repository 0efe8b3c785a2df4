//! An activity has one Scheduled event, at most one Started and at most one end, in that order; one without an end is
//! pending while its run is open.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes as A;

use super::Subject;
use crate::{require, Checked};

const NAME: &str = "activities_end_once";

#[derive(Debug, Default)]
struct Life {
    started: Option<i64>,
    ended: bool,
}

pub fn check(run: &Subject<'_>) -> Checked {
    let mut lives: BTreeMap<i64, Life> = BTreeMap::new();
    for event in run.events {
        let (scheduled, started) = match &event.attributes {
            Some(A::ActivityTaskScheduledEventAttributes(_)) => {
                lives.insert(event.event_id, Life::default());
                continue;
            }
            Some(A::ActivityTaskStartedEventAttributes(a)) => {
                let life = lives.get_mut(&a.scheduled_event_id);
                let first = life.is_some_and(|life| !life.ended && life.started.replace(event.event_id).is_none());
                require(first, NAME, || format!("{}: event {} starts what cannot start", run.name(), event.event_id))?;
                continue;
            }
            Some(A::ActivityTaskCompletedEventAttributes(a)) => (a.scheduled_event_id, a.started_event_id),
            Some(A::ActivityTaskFailedEventAttributes(a)) => (a.scheduled_event_id, a.started_event_id),
            Some(A::ActivityTaskTimedOutEventAttributes(a)) => (a.scheduled_event_id, a.started_event_id),
            Some(A::ActivityTaskCanceledEventAttributes(a)) => (a.scheduled_event_id, a.started_event_id),
            _ => continue,
        };
        let fits = lives.get_mut(&scheduled).is_some_and(|life| {
            let first = !std::mem::replace(&mut life.ended, true);
            first && life.started.unwrap_or_default() == started
        });
        require(fits, NAME, || {
            format!("{}: event {} ends activity {scheduled}, started {started}", run.name(), event.event_id)
        })?;
    }
    let unended: Vec<i64> = lives.iter().filter(|(_, life)| !life.ended).map(|(id, _)| *id).collect();
    let pending: Vec<i64> = run.rows.activities.iter().map(|activity| activity.scheduled_event_id).collect();
    // Ends that are held back have ended the row, and are no events yet.
    let known = unended.iter().filter(|id| pending.contains(id)).count() == pending.len();
    let all = unended.len() == pending.len() || !run.rows.buffered.is_empty();
    require(known && all, NAME, || format!("{}: without an end {unended:?}, pending {pending:?}", run.name()))
}
