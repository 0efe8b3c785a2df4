//! Registering, describing, changing and listing namespaces (SEMANTICS B2, B24).

use proto::temporal::api::enums::v1::{NamespaceState, ReplicationState};
use proto::temporal::api::namespace::v1::namespace_info;
use proto::temporal::api::workflowservice::v1::{
    DeprecateNamespaceRequest, DeprecateNamespaceResponse, DescribeNamespaceRequest, DescribeNamespaceResponse,
    ListNamespacesRequest, ListNamespacesResponse, RegisterNamespaceRequest, RegisterNamespaceResponse,
    UpdateNamespaceRequest, UpdateNamespaceResponse,
};
use statemachine::op::op::Kind as OpKind;
use statemachine::op::{answer, DeprecateNamespace, RegisterNamespace, UpdateNamespace};
use statemachine::{state, Reject};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{missing, Done, Frontend, PATIENCE};
use crate::api::token::{bad_page_token, Kind, ListPage};
use crate::api::validate;
use crate::cluster::Target;
use crate::config::Config;
use crate::reads;

const LIST_PAGE_DEFAULT: i32 = 100;
const LIST_PAGE_MAX: i32 = 1000;

pub async fn register(
    frontend: &Frontend,
    call: Call<RegisterNamespaceRequest>,
) -> Result<RegisterNamespaceResponse, ApiError> {
    let request = &call.message;
    require_name(&request.namespace)?;
    let retention = request.workflow_execution_retention_period.as_ref();
    validate::namespace::retention(retention, &frontend.config.limits)?;
    if request.is_global_namespace {
        return Err(Reject::invalid_argument("Cannot register global namespace when not enabled").into());
    }
    let named = request.clusters.iter().map(|cluster| &cluster.cluster_name);
    let active = Some(&request.active_cluster_name).filter(|name| !name.is_empty());
    if let Some(other) = active.into_iter().chain(named).find(|name| **name != frontend.config.cluster_name) {
        return Err(Reject::invalid_argument(format!("Invalid cluster name: {other}")).into());
    }
    let deadline = call.until(PATIENCE);
    let op = RegisterNamespace { request: Some(call.message) };
    frontend.propose_to_system(OpKind::RegisterNamespace(op), deadline).await?;
    Ok(RegisterNamespaceResponse {})
}

pub async fn describe(
    frontend: &Frontend,
    call: Call<DescribeNamespaceRequest>,
) -> Result<DescribeNamespaceResponse, ApiError> {
    let DescribeNamespaceRequest { namespace: name, id, weak_consistency } = &call.message;
    if !name.is_empty() && !id.is_empty() {
        let text = "GetNamespace operation failed.  Both ID and Name specified in request.";
        return Err(Reject::invalid_argument(text).into());
    }
    if id.is_empty() {
        require_name(name)?;
    }
    if !weak_consistency {
        frontend.router.read(Target::System, call.until(PATIENCE)).await?;
    }
    let found = match id.is_empty() {
        true => frontend.namespaces.by_name(name).await.map_err(|error| missing(error, name))?,
        false => frontend.namespaces.by_id(id).await.map_err(|error| missing(error, id))?,
    };
    if !id.is_empty() && state_of(&found) == NamespaceState::Deleted {
        return Err(Reject::namespace_not_found(id).into());
    }
    Ok(described(&frontend.config, &found))
}

fn state_of(namespace: &state::Namespace) -> NamespaceState {
    namespace.info.as_ref().map(|info| info.state()).unwrap_or_default()
}

/// What a namespace is, and what clients may use in it: workers decide by this what they do.
fn described(config: &Config, namespace: &state::Namespace) -> DescribeNamespaceResponse {
    let mut response = reads::namespaces::describe(namespace, &config.cluster_name);
    let info = response.namespace_info.get_or_insert_default();
    info.capabilities = Some(namespace_info::Capabilities {
        eager_workflow_start: config.features.eager_workflow_start,
        sync_update: true,
        async_update: true,
        worker_heartbeats: config.features.worker_heartbeats,
        poller_autoscaling: true,
        workflow_pause: true,
        worker_poll_complete_on_shutdown: config.features.end_polls_on_shutdown,
        ..Default::default()
    });
    let size = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    info.limits = Some(namespace_info::Limits {
        blob_size_limit_error: size(config.limits.blob_bytes),
        memo_size_limit_error: size(config.limits.memo_bytes),
        ..Default::default()
    });
    response
}

pub async fn update(
    frontend: &Frontend,
    call: Call<UpdateNamespaceRequest>,
) -> Result<UpdateNamespaceResponse, ApiError> {
    let name = call.message.namespace.clone();
    require_name(&name)?;
    let found = frontend.namespaces.by_name(&name).await.map_err(|error| missing(error, &name))?;
    if let Some(retention) = call.message.config.as_ref().and_then(|c| c.workflow_execution_retention_ttl.as_ref()) {
        validate::namespace::retention(Some(retention), &frontend.config.limits)?;
    }
    if let Some(replication) = &call.message.replication_config {
        validate::namespace::replication(replication, state_of(&found), &frontend.config.cluster_name)?;
    }
    if call.message.promote_namespace {
        let text = "global namespace is not enabled on this cluster, cannot update global namespace or promote local \
                    namespace: ";
        return Err(Reject::invalid_argument(format!("{text}{name}")).into());
    }
    let deadline = call.until(PATIENCE);
    let op = UpdateNamespace { request: Some(call.message) };
    let done = frontend.propose_to_system(OpKind::UpdateNamespace(op), deadline).await?;
    let Done { answer: answer::Kind::Namespace(answer), .. } = done else {
        return Err(ApiError::Internal("a change of a namespace was answered by something else"));
    };
    let response = described(&frontend.config, &answer.namespace.unwrap_or_default());
    Ok(UpdateNamespaceResponse {
        namespace_info: response.namespace_info,
        config: response.config,
        replication_config: response.replication_config,
        failover_version: response.failover_version,
        is_global_namespace: response.is_global_namespace,
    })
}

pub async fn deprecate(
    frontend: &Frontend,
    call: Call<DeprecateNamespaceRequest>,
) -> Result<DeprecateNamespaceResponse, ApiError> {
    require_name(&call.message.namespace)?;
    let deadline = call.until(PATIENCE);
    let op = DeprecateNamespace { namespace: call.message.namespace };
    frontend.propose_to_system(OpKind::DeprecateNamespace(op), deadline).await?;
    Ok(DeprecateNamespaceResponse {})
}

pub async fn list(frontend: &Frontend, call: Call<ListNamespacesRequest>) -> Result<ListNamespacesResponse, ApiError> {
    let request = &call.message;
    let after = match request.next_page_token.is_empty() {
        true => ListPage::default(),
        false => frontend.tokens()?.open(Kind::NamespacePage, "", &request.next_page_token).map_err(bad_page_token)?,
    };
    let size = if request.page_size <= 0 { LIST_PAGE_DEFAULT } else { request.page_size.min(LIST_PAGE_MAX) };
    let deleted_too = request.namespace_filter.as_ref().is_some_and(|filter| filter.include_deleted);
    let rows = frontend.router.read(Target::System, call.until(PATIENCE)).await?;
    let (found, next) = reads::namespaces::list(&rows, size, &after.after, deleted_too)?;
    let namespaces = found.iter().map(|namespace| listed(&frontend.config, namespace)).collect();
    let next_page_token = match next {
        Some(name) => frontend.tokens()?.seal(Kind::NamespacePage, "", &ListPage { after: name.into() }),
        None => Default::default(),
    };
    Ok(ListNamespacesResponse { namespaces, next_page_token })
}

/// As [`described`], but for what Temporal leaves out of lists (SEMANTICS F).
fn listed(config: &Config, namespace: &state::Namespace) -> DescribeNamespaceResponse {
    let mut response = described(config, namespace);
    response.replication_config.get_or_insert_default().state = ReplicationState::Unspecified as i32;
    response
}

fn require_name(name: &str) -> Result<(), Reject> {
    if name.is_empty() {
        return Err(Reject::invalid_argument("Namespace not set on request."));
    }
    validate::length("Namespace", name)
}
