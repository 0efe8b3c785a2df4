//! temporal.api.operatorservice.v1.OperatorService: search attributes, deletion of namespaces, the list of clusters.

use std::sync::Arc;

use proto::temporal::api::enums::v1::IndexedValueType;
use proto::temporal::api::operatorservice::v1 as service;
use statemachine::op::op::Kind;
use statemachine::op::{answer, ChangeSearchAttributes, DeleteNamespace};
use statemachine::time::nanos_or_zero;
use statemachine::Reject;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::errors::ApiError;
use super::frontend::{name_of, Frontend, PATIENCE};
use super::validate;
use crate::reads;
use crate::reads::search_attributes::is_reserved;

pub struct OperatorService {
    frontend: Arc<Frontend>,
}

impl OperatorService {
    pub fn new(frontend: Arc<Frontend>) -> Self {
        Self { frontend }
    }
}

#[tonic::async_trait]
impl service::operator_service_server::OperatorService for OperatorService {
    async fn add_search_attributes(
        &self,
        request: Request<service::AddSearchAttributesRequest>,
    ) -> Result<Response<service::AddSearchAttributesResponse>, Status> {
        let call = Call::new(request);
        let op = ChangeSearchAttributes {
            namespace: call.message.namespace.clone(),
            add: call.message.search_attributes.clone(),
            ..Default::default()
        };
        check_added(&op).map_err(ApiError::from)?;
        change_search_attributes(&self.frontend, &call, op).await?;
        Ok(Response::new(service::AddSearchAttributesResponse {}))
    }

    async fn remove_search_attributes(
        &self,
        request: Request<service::RemoveSearchAttributesRequest>,
    ) -> Result<Response<service::RemoveSearchAttributesResponse>, Status> {
        let call = Call::new(request);
        let op = ChangeSearchAttributes {
            namespace: call.message.namespace.clone(),
            remove: call.message.search_attributes.clone(),
            ..Default::default()
        };
        check_removed(&op).map_err(ApiError::from)?;
        change_search_attributes(&self.frontend, &call, op).await?;
        Ok(Response::new(service::RemoveSearchAttributesResponse {}))
    }

    async fn list_search_attributes(
        &self,
        request: Request<service::ListSearchAttributesRequest>,
    ) -> Result<Response<service::ListSearchAttributesResponse>, Status> {
        let call = Call::new(request);
        let namespace = self.frontend.namespace(&call, &call.message.namespace).await?;
        Ok(Response::new(reads::namespaces::list_search_attributes(&namespace)))
    }

    async fn delete_namespace(
        &self,
        request: Request<service::DeleteNamespaceRequest>,
    ) -> Result<Response<service::DeleteNamespaceResponse>, Status> {
        Ok(Response::new(delete_namespace(&self.frontend, Call::new(request)).await?))
    }

    /// A cluster knows no other one.
    async fn list_clusters(
        &self,
        _: Request<service::ListClustersRequest>,
    ) -> Result<Response<service::ListClustersResponse>, Status> {
        let cluster = self.frontend.router.cluster();
        let cluster = cluster.ok_or_else(|| Status::unavailable("the cluster is not bootstrapped yet"))?;
        let only = service::ClusterMetadata {
            cluster_name: self.frontend.config.cluster_name.clone(),
            cluster_id: cluster.cluster_id.clone(),
            initial_failover_version: 1,
            history_shard_count: i32::try_from(cluster.data_shards).unwrap_or(i32::MAX),
            is_connection_enabled: true,
            is_replication_enabled: true,
            ..Default::default()
        };
        Ok(Response::new(service::ListClustersResponse { clusters: vec![only], ..Default::default() }))
    }
}

fn check_added(op: &ChangeSearchAttributes) -> Result<(), Reject> {
    if op.add.is_empty() {
        return Err(Reject::invalid_argument("SearchAttributes are not set on request."));
    }
    for (name, kind) in &op.add {
        validate::set_and_short("SearchAttribute name", name)?;
        if is_reserved(name) {
            return Err(Reject::invalid_argument(format!("Search attribute {name} is reserved by system.")));
        }
        // Temporal has places for so many of each type, and none for one that does not exist.
        if !IndexedValueType::try_from(*kind).is_ok_and(|kind| kind != IndexedValueType::Unspecified) {
            let kind = if *kind == 0 { "Unspecified".into() } else { kind.to_string() };
            let text = "Unable to create search attributes: cannot have more than 0 search attribute of type";
            return Err(Reject::invalid_argument(format!("{text} {kind}.")));
        }
    }
    Ok(())
}

fn check_removed(op: &ChangeSearchAttributes) -> Result<(), Reject> {
    if op.remove.is_empty() {
        return Err(Reject::invalid_argument("SearchAttributes are not set on request."));
    }
    match op.remove.iter().find(|name| is_reserved(name)) {
        Some(name) => Err(Reject::invalid_argument(format!("Unable to remove non-custom search attributes: {name}."))),
        None => Ok(()),
    }
}

async fn change_search_attributes<T>(
    frontend: &Frontend,
    call: &Call<T>,
    op: ChangeSearchAttributes,
) -> Result<(), ApiError> {
    frontend.namespace(call, &op.namespace).await?;
    frontend.propose_to_system(Kind::ChangeSearchAttributes(op), call.until(PATIENCE)).await?;
    Ok(())
}

async fn delete_namespace(
    frontend: &Frontend,
    call: Call<service::DeleteNamespaceRequest>,
) -> Result<service::DeleteNamespaceResponse, ApiError> {
    let service::DeleteNamespaceRequest { namespace, namespace_id, namespace_delete_delay } = &call.message;
    match (namespace.is_empty(), namespace_id.is_empty()) {
        (true, true) => return Err(Reject::invalid_argument("Namespace not set on request.").into()),
        (false, false) => {
            let text = "Only one of namespace name or Id should be set on request.";
            return Err(Reject::invalid_argument(text).into());
        }
        (true, false) | (false, true) => validate::length("Namespace", namespace)?,
    }
    let op = DeleteNamespace {
        namespace: namespace.clone(),
        namespace_id: namespace_id.clone(),
        keep_for: nanos_or_zero(namespace_delete_delay.as_ref()),
    };
    let done = frontend.propose_to_system(Kind::DeleteNamespace(op), call.until(PATIENCE)).await?;
    match done.answer {
        answer::Kind::Namespace(answer) => {
            let deleted = answer.namespace.unwrap_or_default();
            Ok(service::DeleteNamespaceResponse { deleted_namespace: name_of(&deleted).to_owned() })
        }
        _ => Err(ApiError::Internal("a deletion of a namespace was answered by something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(name: &str, kind: i32) -> Result<(), String> {
        let op = ChangeSearchAttributes { add: [(name.to_owned(), kind)].into(), ..Default::default() };
        check_added(&op).map_err(|reject| reject.message().to_owned())
    }

    fn removed(name: &str) -> Result<(), String> {
        let op = ChangeSearchAttributes { remove: vec![name.to_owned()], ..Default::default() };
        check_removed(&op).map_err(|reject| reject.message().to_owned())
    }

    #[test]
    fn names_of_the_system_are_neither_added_nor_removed() {
        for name in ["WorkflowId", "NamespaceId", "TemporalThing", "BuildIds"] {
            assert_eq!(added(name, 2), Err(format!("Search attribute {name} is reserved by system.")));
        }
        for name in ["WorkflowId", "BuildIds"] {
            assert_eq!(removed(name), Err(format!("Unable to remove non-custom search attributes: {name}.")));
        }
        assert_eq!((added("Color", 2), removed("Color")), (Ok(()), Ok(())));
    }

    #[test]
    fn a_type_must_exist() {
        let text = "Unable to create search attributes: cannot have more than 0 search attribute of type Unspecified.";
        assert_eq!(added("Color", 0), Err(text.into()));
        assert!(added("Color", 99).is_err());
    }
}
