//! The operators' service, on the peer port. It takes calls without the metadata of a node: operators have none.

use std::sync::Arc;

use proto::everstep::admin::v1 as admin;
use tonic::{Request, Response, Status};

use super::Router;

pub struct AdminService {
    router: Arc<Router>,
}

impl AdminService {
    pub fn new(router: Arc<Router>) -> Self {
        Self { router }
    }
}

#[tonic::async_trait]
impl admin::admin_server::Admin for AdminService {
    async fn cluster_status(
        &self,
        _request: Request<admin::ClusterStatusRequest>,
    ) -> Result<Response<admin::ClusterStatusResponse>, Status> {
        Ok(Response::new(self.router.status().await))
    }
}
