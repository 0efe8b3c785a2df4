//! Reading a run's history, page by page, and waiting for what comes.

use bytes::Bytes;
use proto::temporal::api::common::v1::DataBlob;
use proto::temporal::api::enums::v1::HistoryEventFilterType;
use proto::temporal::api::history::v1::History;
use proto::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse, GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
};
use statemachine::Reject;
use std::time::Duration;
use tokio::time::{timeout_at, Instant};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{Frontend, PATIENCE};
use crate::api::quotas::LongPoll;
use crate::api::token::{bad_page_token, Kind};
use crate::api::validate;
use crate::cluster::Target;
use crate::reads::history::{read, read_reverse, Request, Step, Token};

/// So long before the client's deadline a waiting read answers with nothing.
const TIME_BUFFER: Duration = Duration::from_secs(1);
/// Clients that show a history rather than replay it; they see only what is written.
const SHOWING_CLIENTS: [&str; 2] = ["temporal-cli", "temporal-ui"];

pub async fn get(
    frontend: &Frontend,
    call: Call<GetWorkflowExecutionHistoryRequest>,
) -> Result<GetWorkflowExecutionHistoryResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let message = &call.message;
    let execution = validate::execution(message.execution.as_ref())?;
    let mut request = Request {
        workflow_id: execution.workflow_id.clone(),
        run_id: execution.run_id.clone(),
        page_size: page_size(frontend, message.maximum_page_size),
        close_event_only: message.history_event_filter_type() == HistoryEventFilterType::CloseEvent,
        wait: message.wait_new_event,
        transient: !SHOWING_CLIENTS.contains(&call.client_name.as_str()),
        raw: frontend.config.features.raw_history,
        token: opened(frontend, Kind::HistoryPage, &namespace.id, &message.next_page_token)?,
    };
    let patience = frontend.config.frontend.history_poll_timeout;
    let end = Instant::now() + call.remaining().map_or(patience, |left| left.saturating_sub(TIME_BUFFER).min(patience));
    let deadline = call.until(PATIENCE);
    let mut rows = frontend.read(&namespace.id, &request.workflow_id, deadline).await?;
    let mut watch = None;
    let _waiting = request.wait.then(|| frontend.quotas.enter(&namespace.id, LongPoll::History)).transpose()?;
    loop {
        let (run_id, token) = match read(&rows, &namespace.id, &request)? {
            Step::Page { history, raw, next } => return page(frontend, &namespace.id, (history, raw), next),
            Step::Wait { run_id, token, .. } => (run_id, token),
        };
        match &mut watch {
            // What happened before the watch began is seen by the read that follows.
            None => watch = Some(frontend.watchers.watch(&run_id)),
            Some(watch) => {
                let draining = frontend.router.draining();
                let over = tokio::select! {
                    waited = timeout_at(end, watch.changed()) => waited.is_err() || Instant::now() >= end,
                    // The client asks again, and reaches a node that stays.
                    () = draining.wait() => true,
                };
                if over {
                    return page(frontend, &namespace.id, Default::default(), Some(token));
                }
            }
        }
        request.token = Some(token);
        let target = Target::Workflow { namespace_id: &namespace.id, workflow_id: &request.workflow_id };
        let shard = frontend.router.shard_of(target);
        rows = match frontend.router.local(shard) {
            Some(rows) => rows,
            None => return Err(ApiError::Unavailable(format!("shard {shard} is not on this node"))),
        };
    }
}

pub async fn get_reverse(
    frontend: &Frontend,
    call: Call<GetWorkflowExecutionHistoryReverseRequest>,
) -> Result<GetWorkflowExecutionHistoryReverseResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let message = &call.message;
    let execution = validate::execution(message.execution.as_ref())?;
    let request = Request {
        workflow_id: execution.workflow_id.clone(),
        run_id: execution.run_id.clone(),
        page_size: page_size(frontend, message.maximum_page_size),
        close_event_only: false,
        wait: false,
        transient: false,
        raw: false,
        token: opened(frontend, Kind::ReverseHistoryPage, &namespace.id, &message.next_page_token)?,
    };
    let rows = frontend.read(&namespace.id, &request.workflow_id, call.until(PATIENCE)).await?;
    let (history, next) = read_reverse(&rows, &namespace.id, &request)?;
    let next_page_token = sealed(frontend, Kind::ReverseHistoryPage, &namespace.id, next)?;
    Ok(GetWorkflowExecutionHistoryReverseResponse { history: Some(history), next_page_token })
}

fn page(
    frontend: &Frontend,
    namespace_id: &str,
    (history, raw_history): (History, Vec<DataBlob>),
    next: Option<Token>,
) -> Result<GetWorkflowExecutionHistoryResponse, ApiError> {
    let next_page_token = sealed(frontend, Kind::HistoryPage, namespace_id, next)?;
    Ok(GetWorkflowExecutionHistoryResponse {
        history: Some(history),
        raw_history,
        next_page_token,
        ..Default::default()
    })
}

fn page_size(frontend: &Frontend, asked: i32) -> i32 {
    let max = frontend.config.frontend.history_page_max;
    if asked <= 0 {
        max
    } else {
        asked.min(max)
    }
}

fn opened(frontend: &Frontend, kind: Kind, namespace_id: &str, token: &[u8]) -> Result<Option<Token>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let opened: Result<Token, Reject> = frontend.tokens()?.open(kind, namespace_id, token).map_err(bad_page_token);
    Ok(Some(opened?))
}

fn sealed(frontend: &Frontend, kind: Kind, namespace_id: &str, token: Option<Token>) -> Result<Bytes, ApiError> {
    match token {
        Some(token) => Ok(frontend.tokens()?.seal(kind, namespace_id, &token)),
        None => Ok(Bytes::new()),
    }
}
