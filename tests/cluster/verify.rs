//! Compares what clients were told with what every node's histories say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto::temporal::api::history::v1::{history_event::Attributes as Event, HistoryEvent};
use proto::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;

use super::calls::{self, Client, NAMESPACE};
use super::dev::Cluster;
use super::load::Record;

const CALL: Duration = Duration::from_secs(10);
/// A task that was lost with a node times out after 2 s, an activity after 3 s; this is many times that.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every fault found, one line each.
pub async fn all(records: &[Record], cluster: &Cluster) -> Vec<String> {
    let nodes: Vec<(u64, Client)> = cluster.nodes().into_iter().map(|(id, api)| (id, direct(api))).collect();
    let mut faults = Vec::new();
    let end = Instant::now() + PATIENCE;
    for record in records {
        if let Some(status) = &record.refused {
            faults.push(format!("{}: refused with {:?}: {}", record.workflow_id, status.code(), status.message()));
        }
        if record.run_id.is_empty() {
            continue;
        }
        let (first, client) = &nodes[0];
        let events = closed_history(client, record, end).await;
        check(record, &events, &mut faults);
        for (id, client) in &nodes[1..] {
            if history(client, record).await != events {
                faults.push(format!("{}: nodes {first} and {id} differ", record.workflow_id));
            }
        }
    }
    faults
}

fn direct(api: SocketAddr) -> Client {
    calls::client(api, CALL)
}

/// The history once the workflow has completed, or as it is when the time is over.
async fn closed_history(client: &Client, record: &Record, end: Instant) -> Vec<HistoryEvent> {
    loop {
        let events = history(client, record).await;
        let completed = |event: &HistoryEvent| {
            matches!(event.attributes, Some(Event::WorkflowExecutionCompletedEventAttributes(_)))
        };
        if events.last().is_some_and(completed) || Instant::now() > end {
            return events;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn history(client: &Client, record: &Record) -> Vec<HistoryEvent> {
    let mut request = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: calls::execution(&record.workflow_id),
        ..Default::default()
    };
    let mut events = Vec::new();
    loop {
        let page = calls::persist(|| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.get_workflow_execution_history(request).await }
        });
        let page = page.await.expect("an acknowledged workflow has a history");
        events.extend(page.history.unwrap_or_default().events);
        if page.next_page_token.is_empty() {
            return events;
        }
        request.next_page_token = page.next_page_token;
    }
}

fn check(record: &Record, events: &[HistoryEvent], faults: &mut Vec<String>) {
    let mut fault = |text: String| faults.push(format!("{}: {text}", record.workflow_id));
    for (expected, event) in (1..).zip(events) {
        if event.event_id != expected {
            fault(format!("event {} where {expected} belongs", event.event_id));
            break;
        }
    }
    let mut signals = BTreeMap::<u32, u32>::new();
    let (mut started, mut scheduled, mut answered, mut completed) = (0, 0, 0, 0);
    for event in events.iter().filter_map(|event| event.attributes.as_ref()) {
        match event {
            Event::WorkflowExecutionStartedEventAttributes(_) => started += 1,
            Event::ActivityTaskScheduledEventAttributes(_) => scheduled += 1,
            Event::ActivityTaskCompletedEventAttributes(_) => answered += 1,
            Event::WorkflowExecutionCompletedEventAttributes(_) => completed += 1,
            Event::WorkflowExecutionSignaledEventAttributes(signal) => {
                let number = calls::number_in(signal.input.as_ref()).unwrap_or_default();
                *signals.entry(number).or_default() += 1;
            }
            _ => {}
        }
    }
    let counts = (started, scheduled, answered, completed);
    if counts != (1, 1, 1, 1) {
        fault(format!("started, activity scheduled, activity completed, completed: {counts:?} times"));
    }
    for number in record.signals.iter().filter(|number| !signals.contains_key(number)) {
        fault(format!("signal {number} was acknowledged and is missing"));
    }
    for (number, times) in signals.iter().filter(|(_, times)| **times > 1) {
        fault(format!("signal {number} stands in the history {times} times"));
    }
}
