//! Answers for the web pages: from the same handlers as clients get them.

use std::sync::Arc;

use proto::everstep::admin::v1::ClusterStatusResponse;
use proto::temporal::api::workflowservice::v1 as service;
use proto::temporal::api::workflowservice::v1::workflow_service_server::WorkflowService as _;
use tonic::{async_trait, Request, Status};

use crate::api::{ApiParts, Frontend, WorkflowService};
use crate::cluster::Router;
use crate::web::WebBackend;

struct Backend {
    workflows: WorkflowService,
    router: Arc<Router>,
}

pub(super) fn backend(parts: &ApiParts) -> Arc<dyn WebBackend> {
    let workflows = WorkflowService::new(Arc::new(Frontend::new(parts.clone())));
    Arc::new(Backend { workflows, router: parts.router.clone() })
}

#[async_trait]
impl WebBackend for Backend {
    async fn list_namespaces(
        &self,
        request: service::ListNamespacesRequest,
    ) -> Result<service::ListNamespacesResponse, Status> {
        Ok(self.workflows.list_namespaces(Request::new(request)).await?.into_inner())
    }

    async fn list_workflows(
        &self,
        request: service::ListWorkflowExecutionsRequest,
    ) -> Result<service::ListWorkflowExecutionsResponse, Status> {
        Ok(self.workflows.list_workflow_executions(Request::new(request)).await?.into_inner())
    }

    async fn describe(
        &self,
        request: service::DescribeWorkflowExecutionRequest,
    ) -> Result<service::DescribeWorkflowExecutionResponse, Status> {
        Ok(self.workflows.describe_workflow_execution(Request::new(request)).await?.into_inner())
    }

    async fn history(
        &self,
        request: service::GetWorkflowExecutionHistoryRequest,
    ) -> Result<service::GetWorkflowExecutionHistoryResponse, Status> {
        Ok(self.workflows.get_workflow_execution_history(Request::new(request)).await?.into_inner())
    }

    async fn cluster_status(&self) -> Result<ClusterStatusResponse, Status> {
        Ok(self.router.status().await)
    }
}
