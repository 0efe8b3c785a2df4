//! Lists and counts of workflows.

use bytes::Bytes;
use proto::temporal::api::workflowservice::v1 as service;
use statemachine::{state, Kv, Reject};
use tokio::time::Instant;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{Frontend, Namespace, PATIENCE};
use crate::api::token::{bad_page_token, Kind, ListPage};
use crate::reads::visibility::{self, Page};
use crate::reads::Decided;

pub async fn list(
    frontend: &Frontend,
    call: Call<service::ListWorkflowExecutionsRequest>,
) -> Result<service::ListWorkflowExecutionsResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let deadline = call.until(PATIENCE);
    let service::ListWorkflowExecutionsRequest { query, page_size, next_page_token, .. } = call.message;
    let (page, next_page_token) = listed(frontend, &namespace, query, page_size, &next_page_token, deadline).await?;
    Ok(service::ListWorkflowExecutionsResponse { executions: page.executions, next_page_token })
}

pub async fn scan(
    frontend: &Frontend,
    call: Call<service::ScanWorkflowExecutionsRequest>,
) -> Result<service::ScanWorkflowExecutionsResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let deadline = call.until(PATIENCE);
    let service::ScanWorkflowExecutionsRequest { query, page_size, next_page_token, .. } = call.message;
    let (page, next_page_token) = listed(frontend, &namespace, query, page_size, &next_page_token, deadline).await?;
    Ok(service::ScanWorkflowExecutionsResponse { executions: page.executions, next_page_token })
}

pub async fn list_open(
    frontend: &Frontend,
    call: Call<service::ListOpenWorkflowExecutionsRequest>,
) -> Result<service::ListOpenWorkflowExecutionsResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let deadline = call.until(PATIENCE);
    let after = opened(frontend, &namespace, &call.message.next_page_token)?;
    let request = call.message;
    let page = scanned(frontend, &namespace, deadline, move |rows, namespace| {
        visibility::list_open(rows, namespace, &request, &after)
    })
    .await?;
    let next_page_token = sealed(frontend, &namespace, &page)?;
    Ok(service::ListOpenWorkflowExecutionsResponse { executions: page.executions, next_page_token })
}

pub async fn list_closed(
    frontend: &Frontend,
    call: Call<service::ListClosedWorkflowExecutionsRequest>,
) -> Result<service::ListClosedWorkflowExecutionsResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let deadline = call.until(PATIENCE);
    let after = opened(frontend, &namespace, &call.message.next_page_token)?;
    let request = call.message;
    let page = scanned(frontend, &namespace, deadline, move |rows, namespace| {
        visibility::list_closed(rows, namespace, &request, &after)
    })
    .await?;
    let next_page_token = sealed(frontend, &namespace, &page)?;
    Ok(service::ListClosedWorkflowExecutionsResponse { executions: page.executions, next_page_token })
}

pub async fn count(
    frontend: &Frontend,
    call: Call<service::CountWorkflowExecutionsRequest>,
) -> Result<service::CountWorkflowExecutionsResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let deadline = call.until(PATIENCE);
    let query = call.message.query;
    scanned(frontend, &namespace, deadline, move |rows, namespace| visibility::count(rows, namespace, &query)).await
}

async fn listed(
    frontend: &Frontend,
    namespace: &Namespace,
    query: String,
    page_size: i32,
    token: &[u8],
    deadline: Instant,
) -> Result<(Page, Bytes), ApiError> {
    let after = opened(frontend, namespace, token)?;
    let max = frontend.config.frontend.list_page_max;
    let size = if page_size <= 0 { max } else { page_size.min(max) };
    let page = scanned(frontend, namespace, deadline, move |rows, namespace| {
        visibility::list(rows, namespace, &query, size, &after)
    })
    .await?;
    let next = sealed(frontend, namespace, &page)?;
    Ok((page, next))
}

/// Reads all shards, then scans them on a thread that may block.
async fn scanned<T: Send + 'static>(
    frontend: &Frontend,
    namespace: &Namespace,
    deadline: Instant,
    scan: impl FnOnce(&[&dyn Kv], &state::Namespace) -> Decided<T> + Send + 'static,
) -> Result<T, ApiError> {
    frontend.quotas.admit_visibility(&namespace.id, Instant::now())?;
    let rows = frontend.read_all(deadline).await?;
    let namespace = namespace.clone();
    let scanned = tokio::task::spawn_blocking(move || {
        let rows: Vec<&dyn Kv> = rows.iter().map(|rows| rows as &dyn Kv).collect();
        scan(&rows, &namespace)
    });
    Ok(scanned.await.map_err(|_| ApiError::Internal("a scan panicked"))??)
}

fn opened(frontend: &Frontend, namespace: &Namespace, token: &[u8]) -> Result<Bytes, ApiError> {
    if token.is_empty() {
        return Ok(Bytes::new());
    }
    let opened: Result<ListPage, Reject> =
        frontend.tokens()?.open(Kind::ListPage, &namespace.id, token).map_err(bad_page_token);
    Ok(opened?.after)
}

fn sealed(frontend: &Frontend, namespace: &Namespace, page: &Page) -> Result<Bytes, ApiError> {
    if page.next.is_empty() {
        return Ok(Bytes::new());
    }
    let after = ListPage { after: Bytes::copy_from_slice(&page.next) };
    Ok(frontend.tokens()?.seal(Kind::ListPage, &namespace.id, &after))
}
