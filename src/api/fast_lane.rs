//! The way of the calls that come all the time: straight to the service, past the general routing of all services,
//! which wraps every body twice.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use proto::temporal::api::workflowservice::v1::workflow_service_server::{WorkflowServiceServer, SERVICE_NAME};
use tonic::body::Body;
use tower::{Layer, Service};

use super::workflow_service::WorkflowService;

#[derive(Clone)]
pub struct FastLane {
    workflow: WorkflowServiceServer<WorkflowService>,
}

impl FastLane {
    pub fn new(workflow: WorkflowServiceServer<WorkflowService>) -> Self {
        Self { workflow }
    }
}

impl<S> Layer<S> for FastLane {
    type Service = FastService<S>;

    fn layer(&self, others: S) -> FastService<S> {
        FastService { workflow: self.workflow.clone(), others }
    }
}

#[derive(Clone)]
pub struct FastService<S> {
    workflow: WorkflowServiceServer<WorkflowService>,
    others: S,
}

impl<S> Service<Request<Body>> for FastService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match is_of_workflow_service(request.uri().path()) {
            true => self.workflow.call(request),
            false => Box::pin(self.others.call(request)),
        }
    }
}

/// Whether the path is `/SERVICE/Method`.
fn is_of_workflow_service(path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME));
    method.is_some_and(|method| method.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_the_workflow_service_take_it() {
        assert!(is_of_workflow_service("/temporal.api.workflowservice.v1.WorkflowService/PollWorkflowTaskQueue"));
        assert!(!is_of_workflow_service("/temporal.api.workflowservice.v1.WorkflowServiceOfMine/Poll"));
        assert!(!is_of_workflow_service("/temporal.api.operatorservice.v1.OperatorService/DeleteNamespace"));
        assert!(!is_of_workflow_service("/grpc.health.v1.Health/Check"));
    }
}
