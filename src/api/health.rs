//! grpc.health.v1: serving until the server stops. Temporal answers for the server as a whole and for its two services.

use futures::stream::{self, StreamExt};
use proto::grpc::health::v1::health_check_response::ServingStatus;
use proto::grpc::health::v1::health_server::Health;
use proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tokio::sync::watch;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

const SERVICES: [&str; 3] =
    ["", "temporal.api.workflowservice.v1.WorkflowService", "temporal.api.operatorservice.v1.OperatorService"];

pub struct HealthService {
    serving: watch::Receiver<bool>,
}

impl HealthService {
    pub fn new(serving: watch::Receiver<bool>) -> Self {
        Self { serving }
    }
}

fn response(serving: bool) -> HealthCheckResponse {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status as i32 }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(response(*self.serving.borrow())))
    }

    /// An unknown service is told once; it may become known, so the stream stays open (gRPC health protocol).
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown as i32 };
            let told = stream::once(async move { Ok(unknown) });
            return Ok(Response::new(Box::pin(told.chain(stream::pending()))));
        }
        let mut serving = self.serving.clone();
        serving.mark_changed();
        let told = stream::unfold(serving, |mut serving| async move {
            serving.changed().await.ok()?;
            let now = *serving.borrow_and_update();
            Some((Ok(response(now)), serving))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(health: &HealthService, service: &str) -> Result<i32, Status> {
        let request = HealthCheckRequest { service: service.into() };
        health.check(Request::new(request)).await.map(|response| response.get_ref().status)
    }

    #[tokio::test]
    async fn known_services_serve_until_the_end() {
        let (serving, seen) = watch::channel(true);
        let health = HealthService::new(seen);
        for service in SERVICES {
            assert_eq!(check(&health, service).await.expect("known"), ServingStatus::Serving as i32);
        }
        serving.send_replace(false);
        assert_eq!(check(&health, "").await.expect("known"), ServingStatus::NotServing as i32);
        let unknown = check(&health, "nobody").await.expect_err("unknown");
        assert_eq!((unknown.code(), unknown.message()), (tonic::Code::NotFound, "unknown service"));
    }
}
