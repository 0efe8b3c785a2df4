//! Compares what clients were told with what every node's histories say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::temporal::api::history::v1::{history_event::Attributes as Event, HistoryEvent};
use proto::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;
use tonic::Status;

use super::calls::{self, Caller, Site};
use super::journal::Journal;
use super::load::Record;

/// A task that was lost with a node times out after 2 s, an activity after 3 s; this is many times that.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Acknowledged and not there.
    Lost,
    Doubled,
    /// Two nodes tell different histories.
    Differs,
    /// Anything else: a refusal, a hole in a history, a workflow that does not end.
    Other,
}

#[derive(Debug, Clone)]
pub struct Violation {
    pub kind: Kind,
    pub workflow_id: String,
    pub what: String,
    /// When what is wrong was acknowledged, where that is known.
    pub at: Option<Instant>,
}

/// Everything that is wrong. `nodes` are the APIs of all nodes, by id. A history that cannot be read is the last finding:
/// there is no use in asking on.
pub async fn all(records: &[Record], site: &Site, nodes: &BTreeMap<u64, String>) -> anyhow::Result<Vec<Violation>> {
    let journal = Arc::new(Journal::default());
    let mut callers = Vec::new();
    for (id, address) in nodes {
        let of_node = Arc::new(Site { addresses: vec![address.clone()], ..site.clone() });
        callers.push((*id, Caller::new(&of_node, 0, site.try_for, &journal)?));
    }
    let mut found = Vec::new();
    let end = Instant::now() + PATIENCE;
    for record in records {
        if let Some(status) = &record.refused {
            let what = format!("refused with {:?}: {}", status.code(), status.message());
            found.push(Violation { kind: Kind::Other, workflow_id: record.workflow_id.clone(), what, at: None });
        }
        if record.run_id.is_empty() {
            continue;
        }
        if let Err(status) = compare(record, &callers, end, &mut found).await {
            let what = format!("its history cannot be read: {:?}: {}", status.code(), status.message());
            found.push(Violation { kind: Kind::Other, workflow_id: record.workflow_id.clone(), what, at: None });
            break;
        }
    }
    Ok(found)
}

/// One workflow as its client knows it with what each node tells of it.
async fn compare(
    record: &Record,
    callers: &[(u64, Caller)],
    end: Instant,
    found: &mut Vec<Violation>,
) -> Result<(), Status> {
    let Some(((first, caller), others)) = callers.split_first() else { return Ok(()) };
    let Some(events) = closed_history(caller, record, end).await? else {
        let what = format!("was acknowledged, and node {first} does not know it");
        let workflow_id = record.workflow_id.clone();
        found.push(Violation { kind: Kind::Lost, workflow_id, what, at: record.started });
        return Ok(());
    };
    check(record, &events, found);
    for (id, other) in others {
        if history(other, record).await?.as_ref() != Some(&events) {
            let what = format!("nodes {first} and {id} differ");
            found.push(Violation { kind: Kind::Differs, workflow_id: record.workflow_id.clone(), what, at: None });
        }
    }
    Ok(())
}

/// The history once the workflow has completed, or as it is when the time is over.
async fn closed_history(caller: &Caller, record: &Record, end: Instant) -> Result<Option<Vec<HistoryEvent>>, Status> {
    loop {
        let Some(events) = history(caller, record).await? else { return Ok(None) };
        let completed = |event: &HistoryEvent| {
            matches!(event.attributes, Some(Event::WorkflowExecutionCompletedEventAttributes(_)))
        };
        if events.last().is_some_and(completed) || Instant::now() > end {
            return Ok(Some(events));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// `None`: the node knows no such workflow.
async fn history(caller: &Caller, record: &Record) -> Result<Option<Vec<HistoryEvent>>, Status> {
    let mut request = GetWorkflowExecutionHistoryRequest {
        namespace: caller.site.namespace.clone(),
        execution: calls::execution(&record.workflow_id, &record.run_id),
        ..Default::default()
    };
    let mut events = Vec::new();
    loop {
        let page = caller.look(|mut client| {
            let request = request.clone();
            async move { client.get_workflow_execution_history(request).await }
        });
        let page = match page.await {
            Ok(page) => page,
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(None),
            Err(status) => return Err(status),
        };
        events.extend(page.history.unwrap_or_default().events);
        if page.next_page_token.is_empty() {
            return Ok(Some(events));
        }
        request.next_page_token = page.next_page_token;
    }
}

fn check(record: &Record, events: &[HistoryEvent], found: &mut Vec<Violation>) {
    let mut violation = |kind: Kind, what: String, at: Option<Instant>| {
        found.push(Violation { kind, workflow_id: record.workflow_id.clone(), what, at });
    };
    for (expected, event) in (1..).zip(events) {
        if event.event_id != expected {
            violation(Kind::Other, format!("event {} where {expected} belongs", event.event_id), None);
            break;
        }
    }
    let mut signals = BTreeMap::<u32, u32>::new();
    let mut counts = [("started", 0), ("activity scheduled", 0), ("activity completed", 0), ("completed", 0)];
    for event in events.iter().filter_map(|event| event.attributes.as_ref()) {
        match event {
            Event::WorkflowExecutionStartedEventAttributes(_) => counts[0].1 += 1,
            Event::ActivityTaskScheduledEventAttributes(_) => counts[1].1 += 1,
            Event::ActivityTaskCompletedEventAttributes(_) => counts[2].1 += 1,
            Event::WorkflowExecutionCompletedEventAttributes(_) => counts[3].1 += 1,
            Event::WorkflowExecutionSignaledEventAttributes(signal) => {
                let number = calls::number_in(signal.input.as_ref()).unwrap_or_default();
                *signals.entry(number).or_default() += 1;
            }
            _ => {}
        }
    }
    for (what, times) in counts.into_iter().filter(|(_, times)| *times != 1) {
        let kind = if times > 1 { Kind::Doubled } else { Kind::Other };
        // A workflow whose client was refused something never gets its last signal.
        if kind == Kind::Doubled || record.refused.is_none() {
            violation(kind, format!("{what} {times} times"), record.started);
        }
    }
    for (number, at) in record.signals.iter().filter(|(number, _)| !signals.contains_key(number)) {
        violation(Kind::Lost, format!("signal {number} was acknowledged and is missing"), Some(*at));
    }
    for (number, times) in signals.iter().filter(|(_, times)| **times > 1) {
        let at = record.signals.iter().find(|(other, _)| other == number).map(|(_, at)| *at);
        violation(Kind::Doubled, format!("signal {number} stands in the history {times} times"), at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::temporal::api::history::v1::{
        ActivityTaskCompletedEventAttributes, ActivityTaskScheduledEventAttributes,
        WorkflowExecutionCompletedEventAttributes, WorkflowExecutionSignaledEventAttributes,
        WorkflowExecutionStartedEventAttributes,
    };

    fn history(attributes: Vec<Event>) -> Vec<HistoryEvent> {
        let event =
            |(event_id, attributes)| HistoryEvent { event_id, attributes: Some(attributes), ..Default::default() };
        (1..).zip(attributes).map(event).collect()
    }

    fn signal(number: u32) -> Event {
        Event::WorkflowExecutionSignaledEventAttributes(WorkflowExecutionSignaledEventAttributes {
            input: calls::number(number),
            ..Default::default()
        })
    }

    fn whole(signals: &[u32]) -> Vec<Event> {
        let mut events = vec![
            Event::WorkflowExecutionStartedEventAttributes(WorkflowExecutionStartedEventAttributes::default()),
            Event::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes::default()),
            Event::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes::default()),
        ];
        events.extend(signals.iter().map(|&number| signal(number)));
        let completed = WorkflowExecutionCompletedEventAttributes::default();
        events.push(Event::WorkflowExecutionCompletedEventAttributes(completed));
        events
    }

    fn found(acknowledged: &[u32], events: &[HistoryEvent]) -> Vec<(Kind, String)> {
        let now = Instant::now();
        let record = Record {
            workflow_id: "w".into(),
            run_id: "r".into(),
            started: Some(now),
            signals: acknowledged.iter().map(|&number| (number, now)).collect(),
            refused: None,
        };
        let mut found = Vec::new();
        check(&record, events, &mut found);
        found.into_iter().map(|violation| (violation.kind, violation.what)).collect()
    }

    #[test]
    fn each_violation_is_found_and_a_good_history_is_fine() {
        assert_eq!(found(&[1, 2], &history(whole(&[1, 2]))), []);
        // Unknown outcomes may be there or not.
        assert_eq!(found(&[1], &history(whole(&[1, 2]))), []);
        assert_eq!(
            found(&[1, 2], &history(whole(&[1]))),
            [(Kind::Lost, "signal 2 was acknowledged and is missing".into())]
        );
        assert_eq!(
            found(&[1], &history(whole(&[1, 1]))),
            [(Kind::Doubled, "signal 1 stands in the history 2 times".into())]
        );
        let mut twice = whole(&[1]);
        twice.insert(3, twice[2].clone());
        assert_eq!(found(&[1], &history(twice)), [(Kind::Doubled, "activity completed 2 times".into())]);
        let mut hole = history(whole(&[1]));
        hole.remove(1);
        let kinds: Vec<Kind> = found(&[1], &hole).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::Other, Kind::Other], "an event is missing, so its number is too");
    }
}
