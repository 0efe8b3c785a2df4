//! What the server says about itself. Clients decide by it what they use, so it says nothing that does not work.

use proto::temporal::api::workflowservice::v1::{
    get_system_info_response::Capabilities, GetClusterInfoRequest, GetClusterInfoResponse, GetSearchAttributesRequest,
    GetSearchAttributesResponse, GetSystemInfoRequest, GetSystemInfoResponse,
};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::Frontend;
use crate::api::versions::{SERVER_VERSION, SUPPORTED_CLIENTS};
use crate::reads;

pub async fn system_info(
    frontend: &Frontend,
    _: Call<GetSystemInfoRequest>,
) -> Result<GetSystemInfoResponse, ApiError> {
    let capabilities = Capabilities {
        signal_and_query_header: true,
        internal_error_differentiation: true,
        activity_failure_include_heartbeat: true,
        encoded_failure_attributes: true,
        upsert_memo: true,
        eager_workflow_start: frontend.config.features.eager_workflow_start,
        sdk_metadata: true,
        count_group_by_execution_status: true,
        ..Default::default()
    };
    Ok(GetSystemInfoResponse { server_version: SERVER_VERSION.into(), capabilities: Some(capabilities) })
}

pub async fn cluster_info(
    frontend: &Frontend,
    _: Call<GetClusterInfoRequest>,
) -> Result<GetClusterInfoResponse, ApiError> {
    let cluster = frontend.router.cluster();
    let cluster = cluster.ok_or_else(|| ApiError::Unavailable("the cluster is not bootstrapped yet".into()))?;
    let clients = SUPPORTED_CLIENTS.iter().map(|(name, versions)| ((*name).to_owned(), (*versions).to_owned()));
    Ok(GetClusterInfoResponse {
        supported_clients: clients.collect(),
        server_version: SERVER_VERSION.into(),
        cluster_id: cluster.cluster_id.clone(),
        cluster_name: frontend.config.cluster_name.clone(),
        history_shard_count: i32::try_from(cluster.data_shards).unwrap_or(i32::MAX),
        persistence_store: "everstep".into(),
        visibility_store: "everstep".into(),
        initial_failover_version: 1,
        failover_version_increment: 10,
        ..Default::default()
    })
}

pub async fn search_attributes(
    _: &Frontend,
    _: Call<GetSearchAttributesRequest>,
) -> Result<GetSearchAttributesResponse, ApiError> {
    Ok(reads::namespaces::get_search_attributes())
}
