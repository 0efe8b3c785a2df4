//! Plays the workers of all workloads: polls through every node, decides from full histories, runs activities.
//!
//! `decide` holds what each workflow type does, `activity` how activities are answered (twice, late, or never).

mod activity;
mod decide;

pub use decide::DONE;

use std::sync::Arc;
use std::time::Duration;

use proto::temporal::api::history::v1::HistoryEvent;
use proto::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
};
use tokio::task::JoinSet;

use crate::client::{self, Client, NAMESPACE};
use crate::workload::Context;

/// Longer than the server's long polls.
const POLL: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(100);
const POLLERS: usize = 6;

pub struct Workers {
    tasks: JoinSet<()>,
}

impl Workers {
    pub fn start(context: &Arc<Context>) -> Self {
        let mut tasks = JoinSet::new();
        for node in context.cluster.everybody() {
            for _ in 0..POLLERS {
                tasks.spawn(run_workflow_tasks(context.clone(), node));
                tasks.spawn(activity::run(context.clone(), node));
            }
        }
        Self { tasks }
    }

    pub fn stop(mut self) {
        self.tasks.abort_all();
    }
}

async fn run_workflow_tasks(context: Arc<Context>, node: u64) {
    let mut polling = client::connect(&context.cluster, node, POLL);
    let answering = context.clients(ANSWER);
    loop {
        let poll = PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: client::queue(),
            identity: format!("jep-{node}"),
            ..PollWorkflowTaskQueueRequest::default()
        };
        match polling.poll_workflow_task_queue(poll).await {
            Ok(task) if !task.get_ref().task_token.is_empty() => {
                answer(&answering, node, task.into_inner()).await;
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn answer(clients: &[(u64, Client)], node: u64, task: PollWorkflowTaskQueueResponse) {
    let Some(events) = whole_history(clients, node, &task).await else { return };
    let kind = task.workflow_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default();
    let decided = decide::decide(&kind, &events, &task.messages);
    let request = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token,
        commands: decided.commands,
        messages: decided.messages,
        identity: format!("jep-{node}"),
        ..RespondWorkflowTaskCompletedRequest::default()
    };
    // A refusal is fine: the task may have timed out, or an unseen signal forbids to complete. It comes again.
    let _answer = client::persist(PATIENCE, |tried| {
        let (mut client, request) = (another(clients, node, tried), request.clone());
        async move { client.respond_workflow_task_completed(request).await }
    })
    .await;
}

/// The node's own client first, the next node's after a failure.
fn another(clients: &[(u64, Client)], node: u64, tried: usize) -> Client {
    let own = clients.iter().position(|(id, _)| *id == node).unwrap_or(0);
    clients[(own + tried) % clients.len()].1.clone()
}

async fn whole_history(
    clients: &[(u64, Client)],
    node: u64,
    task: &PollWorkflowTaskQueueResponse,
) -> Option<Vec<HistoryEvent>> {
    let mut events = task.history.clone().unwrap_or_default().events;
    let mut page = task.next_page_token.clone();
    while !page.is_empty() {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.into(),
            execution: task.workflow_execution.clone(),
            next_page_token: page,
            ..GetWorkflowExecutionHistoryRequest::default()
        };
        let next = client::persist(PATIENCE, |tried| {
            let (mut client, request) = (another(clients, node, tried), request.clone());
            async move { client.get_workflow_execution_history(request).await }
        });
        let next = next.await.ok()?;
        events.extend(next.history.unwrap_or_default().events);
        page = next.next_page_token;
    }
    Some(events)
}
