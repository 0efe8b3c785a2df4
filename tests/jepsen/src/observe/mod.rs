//! After the end, when everything has healed: reads every run from every node, lists, counts and digests. What is read
//! here is what checkers compare the clients' operations with.

mod events;
mod lists;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use proto::temporal::api::enums::v1::{EventType, WorkflowExecutionStatus as Status};
use proto::temporal::api::history::v1::{history_event::Attributes as Of, HistoryEvent};
use proto::temporal::api::workflowservice::v1::{DescribeWorkflowExecutionRequest, GetWorkflowExecutionHistoryRequest};
use tokio::time::Instant;

use crate::client::{self, Client, NAMESPACE};
use crate::history::{History, Run};
use crate::workload::{Context, Known};

pub use events::fingerprint;

const DEADLINE: Duration = Duration::from_secs(10);
/// A healed cluster answers; if it does not for so long, that is a finding of its own.
const PATIENCE: Duration = Duration::from_secs(40);
/// From the heal to the end of everything that workers have to do.
const FINISH: Duration = Duration::from_secs(60);
const READS_AT_ONCE: usize = 12;

/// Fills `runs` and `finals`.
pub async fn everything(context: &Arc<Context>, history: &mut History) -> anyhow::Result<()> {
    let clients = Arc::new(context.members(DEADLINE));
    let end = Instant::now() + FINISH;
    // What one run still sends changes another: all of them come to rest before the first is read.
    let runs = all_at_rest(&clients, context.known(), end).await?;
    let mut reads = stream::iter(runs).map(|known| one(clients.clone(), known, end)).buffered(READS_AT_ONCE);
    while let Some(run) = reads.next().await {
        history.runs.push(run?);
    }
    let lists = lists::from_every_node(&clients).await?;
    // Runs of starts that were never answered.
    for known in lists::unknown(&lists, &history.runs) {
        history.runs.push(one(clients.clone(), known, end).await?);
    }
    history.finals.insert("lists".into(), lists);
    let (digests, voters) = lists::digests(context).await;
    history.finals.insert("digests".into(), digests);
    history.finals.insert("voters".into(), voters);
    Ok(())
}

/// Waits until these runs and those that they lead to are at rest, or the time is over; all of them.
async fn all_at_rest(
    clients: &Arc<Vec<(u64, Client)>>,
    mut waiting: Vec<Known>,
    end: Instant,
) -> anyhow::Result<Vec<Known>> {
    let (mut seen, mut runs) = (BTreeSet::new(), Vec::new());
    while !waiting.is_empty() {
        waiting.retain(|known| seen.insert((known.key.clone(), known.run_id.clone())));
        let first = &clients[0].1;
        let settled: Vec<_> = stream::iter(std::mem::take(&mut waiting))
            .map(|known| async move { (settled(first, &known, end).await, known) })
            .buffered(READS_AT_ONCE)
            .collect()
            .await;
        for (read, known) in settled {
            waiting.extend(led_to(&known, &read?.1));
            runs.push(known);
        }
    }
    Ok(runs)
}

/// Status and events of a run that is at rest, or when the time is over.
async fn settled(client: &Client, known: &Known, end: Instant) -> anyhow::Result<(String, Vec<HistoryEvent>)> {
    let (mut status, mut events) = read(client, known).await?;
    while status == "Running" && !at_rest(known, &events) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(300)).await;
        (status, events) = read(client, known).await?;
    }
    Ok((status, events))
}

/// A run, and where the nodes differ about it.
async fn one(clients: Arc<Vec<(u64, Client)>>, known: Known, end: Instant) -> anyhow::Result<Run> {
    let (status, events) = settled(&clients[0].1, &known, end).await?;
    let prints = fingerprint(&events);
    let mut differences = Vec::new();
    for (node, client) in &clients[1..] {
        let (other_status, other) = read(client, &known).await?;
        let others = fingerprint(&other);
        let same = others.iter().zip(&prints).take_while(|(a, b)| a == b).count();
        // A run that goes on may have grown meanwhile; a shorter or different one is wrong.
        let grown = status == "Running" && same == prints.len() && others.len() >= prints.len();
        if !grown && (same != prints.len() || others.len() != prints.len() || other_status != status) {
            differences.push(format!(
                "node {node} has {} events, {other_status}; the first node {}, {status}; the first {same} are equal",
                others.len(),
                prints.len()
            ));
        }
    }
    let events = events.iter().zip(prints).map(|(event, print)| events::reduce(event, print)).collect();
    let Known { workload, key, run_id } = known;
    Ok(Run { workload: workload.into(), key, run_id, status, events, differences })
}

/// Whether nothing more is to happen to an open run: registers, silent writers and accounts stay open.
fn at_rest(known: &Known, events: &[HistoryEvent]) -> bool {
    match known.workload {
        "register" => true,
        "accounts" => {
            let count = |wanted: fn(&Of) -> bool| {
                events.iter().filter_map(|event| event.attributes.as_ref()).filter(|of| wanted(of)).count()
            };
            let given = count(
                |of| matches!(of, Of::WorkflowExecutionSignaledEventAttributes(s) if s.signal_name == "transfer"),
            );
            let answered = count(|of| matches!(of, Of::ExternalWorkflowExecutionSignaledEventAttributes(_)));
            // While a worker has a task, signals are held back.
            let task = events.last().is_some_and(|event| {
                matches!(event.event_type(), EventType::WorkflowTaskScheduled | EventType::WorkflowTaskStarted)
            });
            given == answered && !task
        }
        _ => known.key.starts_with("signals-silent"),
    }
}

/// The next run of a chain, and children that were started.
fn led_to(known: &Known, events: &[HistoryEvent]) -> Vec<Known> {
    let workload = known.workload;
    let next = |event: &HistoryEvent| match event.attributes.as_ref()? {
        Of::WorkflowExecutionContinuedAsNewEventAttributes(next) => {
            Some(Known { workload, key: known.key.clone(), run_id: next.new_execution_run_id.clone() })
        }
        Of::ChildWorkflowExecutionStartedEventAttributes(child) => {
            let child = child.workflow_execution.clone()?;
            Some(Known { workload, key: child.workflow_id, run_id: child.run_id })
        }
        _ => None,
    };
    events.iter().filter_map(next).collect()
}

/// Status and all events, by one node.
async fn read(client: &Client, known: &Known) -> anyhow::Result<(String, Vec<HistoryEvent>)> {
    let execution = client::run_of(&known.key, &known.run_id);
    let describe = DescribeWorkflowExecutionRequest { namespace: NAMESPACE.into(), execution: execution.clone() };
    let described = client::persist(PATIENCE, |_| {
        let (mut client, request) = (client.clone(), describe.clone());
        async move { client.describe_workflow_execution(request).await }
    });
    let status = match described.await {
        Ok(answer) => answer.workflow_execution_info.unwrap_or_default().status().as_str_name().to_owned(),
        Err(status) if status.code() == tonic::Code::NotFound => return Ok((String::new(), Vec::new())),
        Err(status) => anyhow::bail!("{known:?} cannot be described after the heal: {status}"),
    };
    let mut request = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution,
        maximum_page_size: 1000,
        ..GetWorkflowExecutionHistoryRequest::default()
    };
    let mut events = Vec::new();
    loop {
        let page = client::persist(PATIENCE, |_| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.get_workflow_execution_history(request).await }
        });
        let page = page.await.map_err(|status| anyhow::anyhow!("{known:?} cannot be read after the heal: {status}"))?;
        events.extend(page.history.unwrap_or_default().events);
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            return Ok((short(&status), events));
        }
    }
}

/// `WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW` → `ContinuedAsNew`.
fn short(name: &str) -> String {
    let known = [
        (Status::Running, "Running"),
        (Status::Completed, "Completed"),
        (Status::Failed, "Failed"),
        (Status::Canceled, "Canceled"),
        (Status::Terminated, "Terminated"),
        (Status::ContinuedAsNew, "ContinuedAsNew"),
        (Status::TimedOut, "TimedOut"),
    ];
    let found = known.iter().find(|(status, _)| status.as_str_name() == name);
    found.map_or(name, |(_, short)| short).to_owned()
}
