//! What a worker gets with a task: its token, its history and the queries that ride on it.

use bytes::Bytes;
use prost::{Message as _, Name};
use proto::everstep::peer::v1::QueryTask;
use proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::TaskQueueKind;
use proto::temporal::api::history::v1::History;
use proto::temporal::api::protocol::v1::{message::SequencingId, Message};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::update::v1::Request;
use proto::temporal::api::workflowservice::v1::{PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse};
use statemachine::tables::RunKey;
use statemachine::time::timestamp_if_set;
use statemachine::update::outcome::sent_with;
use statemachine::{op, state};

use crate::api::errors::ApiError;
use crate::api::frontend::Frontend;
use crate::api::token::{Kind, QueryRef};
use crate::cluster::Queries;
use crate::raft::Snapshot;
use crate::reads::{self, history::Token};

/// Which part of the history comes with a workflow task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// All, unless the task comes from the queue of the worker that has the rest.
    AsQueued,
    /// Those since the worker's last task, which it has just completed.
    New,
}

/// A started workflow task as a worker gets it. `rows` are not older than its start.
pub fn workflow_task(
    frontend: &Frontend,
    rows: &Snapshot,
    started: op::WorkflowTaskStarted,
    queries: Queries,
    events: Events,
) -> Result<PollWorkflowTaskQueueResponse, ApiError> {
    let task = started.task.ok_or(ApiError::Internal("a started task without its name"))?;
    let known = started.sticky || events == Events::New;
    let first = if known { started.previous_started_event_id + 1 } else { 1 };
    let (key, run) = resolve(rows, &task)?;
    let (history, next) = reads::history::task_history(rows, key, &run, first)?;
    let updates = sent_with(rows, key, &run, task.stamp)?;
    let next_page_token = page_token(frontend, &task, next)?;
    Ok(PollWorkflowTaskQueueResponse {
        task_token: frontend.tokens()?.seal(Kind::WorkflowTask, &task.namespace_id, &task),
        workflow_type: Some(WorkflowType { name: started.workflow_type }),
        previous_started_event_id: started.previous_started_event_id,
        started_event_id: task.started_event_id,
        attempt: started.attempt,
        history: Some(history),
        next_page_token,
        workflow_execution_task_queue: Some(normal_queue(started.task_queue)),
        scheduled_time: timestamp_if_set(started.scheduled_time),
        started_time: timestamp_if_set(started.started_time),
        queries,
        messages: updates.into_iter().map(|update| message(update, task.started_event_id - 1)).collect(),
        workflow_execution: Some(execution(task)),
        ..Default::default()
    })
}

/// An update as the message that takes it to a worker, to be handled after this event.
fn message(update: Request, event_id: i64) -> Message {
    let id = update.meta.as_ref().map(|meta| meta.update_id.clone()).unwrap_or_default();
    let body = prost_types::Any {
        type_url: format!("type.googleapis.com/{}", Request::full_name()),
        value: update.encode_to_vec(),
    };
    Message {
        id: format!("{id}/request"),
        protocol_instance_id: id,
        sequencing_id: Some(SequencingId::EventId(event_id)),
        body: Some(body),
    }
}

fn resolve(rows: &Snapshot, task: &op::TaskRef) -> Result<(RunKey, state::Run), ApiError> {
    Ok(reads::describe::resolve(rows, &task.namespace_id, &task.workflow_id, &task.run_id)?)
}

fn page_token(frontend: &Frontend, task: &op::TaskRef, next: Option<Token>) -> Result<Bytes, ApiError> {
    let tokens = frontend.tokens()?;
    Ok(next.map(|next| tokens.seal(Kind::HistoryPage, &task.namespace_id, &next)).unwrap_or_default())
}

/// A query that goes to a worker by itself. The worker of a sticky queue knows the history.
pub fn query_task(
    frontend: &Frontend,
    rows: Option<&Snapshot>,
    query: &QueryTask,
) -> Result<PollWorkflowTaskQueueResponse, ApiError> {
    let task = op::TaskRef {
        namespace_id: query.namespace_id.clone(),
        workflow_id: query.workflow_id.clone(),
        run_id: query.run_id.clone(),
        ..Default::default()
    };
    let (history, next_page_token) = match rows {
        Some(rows) => {
            let (key, run) = resolve(rows, &task)?;
            let (history, next) = reads::history::query_history(rows, key, &run, 1)?;
            (history, page_token(frontend, &task, next)?)
        }
        None => (History::default(), Bytes::new()),
    };
    let name = QueryRef { origin_node: query.origin_node, id: query.id };
    Ok(PollWorkflowTaskQueueResponse {
        task_token: frontend.tokens()?.seal(Kind::Query, &task.namespace_id, &name),
        workflow_type: Some(WorkflowType { name: query.workflow_type.clone() }),
        previous_started_event_id: query.previous_started_event_id,
        attempt: 1,
        history: Some(history),
        next_page_token,
        query: query.query.clone(),
        workflow_execution_task_queue: Some(normal_queue(query.normal_queue.clone())),
        workflow_execution: Some(execution(task)),
        ..Default::default()
    })
}

/// A started activity as a worker gets it.
pub fn activity_task(
    frontend: &Frontend,
    started: op::ActivityTaskStarted,
) -> Result<PollActivityTaskQueueResponse, ApiError> {
    let task = started.task.ok_or(ApiError::Internal("a started activity without its name"))?;
    let mut response = started.response.ok_or(ApiError::Internal("a started activity without its content"))?;
    response.task_token = frontend.tokens()?.seal(Kind::ActivityTask, &task.namespace_id, &task);
    Ok(response)
}

fn normal_queue(name: String) -> TaskQueue {
    TaskQueue { name, kind: TaskQueueKind::Normal as i32, ..Default::default() }
}

fn execution(task: op::TaskRef) -> WorkflowExecution {
    WorkflowExecution { workflow_id: task.workflow_id, run_id: task.run_id }
}
