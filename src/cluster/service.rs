//! What a node answers to the routers of the others.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::StreamExt;
use proto::everstep::admin::v1 as admin;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::cluster_server::Cluster;
use tonic::{Request, Response, Status, Streaming};

use super::leader::Call;
use super::peers::caller;
use super::sessions::{Session, Sessions};
use super::{taking, Buffered, Committed, Router};
use crate::raft::ProposeError;

/// Serves the calls of other nodes' routers on the shards this node leads.
pub struct ClusterService {
    router: Arc<Router>,
    sessions: Arc<Sessions>,
}

impl ClusterService {
    pub fn new(router: Arc<Router>) -> Self {
        Self { router, sessions: Arc::default() }
    }
}

/// Commits what another node sends, if this one leads the shard.
async fn propose(router: &Router, request: peer::ProposeRequest) -> peer::ProposeResponse {
    use peer::propose_response as response;
    let outcome = match commit(router, request).await {
        Ok(committed) => response::Outcome::Committed(response::Committed {
            index: committed.index,
            answer: Some(committed.answer),
            queries: committed.queries,
        }),
        Err(ProposeError::NotLeader { leader }) => response::Outcome::NotLeader(not_leader(leader)),
        Err(ProposeError::Unknown { why }) => response::Outcome::Unknown(why),
        Err(ProposeError::DiskFull) => response::Outcome::DiskFull(response::DiskFull {}),
    };
    peer::ProposeResponse { outcome: Some(outcome) }
}

async fn commit(router: &Router, request: peer::ProposeRequest) -> Result<Committed, ProposeError> {
    let group = router.groups.group(request.shard).ok_or(ProposeError::NotLeader { leader: None })?;
    let term = (request.term > 0).then_some(request.term);
    router.leader.propose(&group, &Call::from_peer(request), term).await
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn propose(&self, request: Request<peer::ProposeRequest>) -> Result<Response<peer::ProposeResponse>, Status> {
        Ok(Response::new(propose(&self.router, request.into_inner()).await))
    }

    async fn proposals(
        &self,
        request: Request<Streaming<peer::ProposalFrame>>,
    ) -> Result<Response<BoxStream<'static, Result<peer::OutcomeFrame, Status>>>, Status> {
        let from = caller(request.metadata()).ok_or_else(|| Status::failed_precondition("who calls is not said"))?;
        let (router, sessions) = (Arc::downgrade(&self.router), self.sessions.clone());
        // Absent: a node of an earlier version.
        let session = Session::of(request.metadata());
        if let Some(session) = session {
            sessions.open(from, session)?;
        }
        let commit = move |request| {
            let router = router.upgrade().filter(|router| !router.peers.cuts.is_cut(from))?;
            let is_newest = session.is_none_or(|session| sessions.is_newest(from, session));
            is_newest.then_some(async move { propose(&router, request).await })
        };
        Ok(Response::new(taking::serve(request.into_inner(), commit).boxed()))
    }

    async fn read_index(
        &self,
        request: Request<peer::ReadIndexRequest>,
    ) -> Result<Response<peer::ReadIndexResponse>, Status> {
        use super::router::Tried;
        use peer::read_index_response::Outcome;
        let outcome = match self.router.groups.group(request.into_inner().shard) {
            None => Outcome::NotLeader(not_leader(None)),
            Some(group) => match self.router.read_index_here(&group).await {
                Tried::Done(index) => Outcome::Index(index),
                Tried::NotLeader(leader) => Outcome::NotLeader(not_leader(leader)),
                Tried::Unknown(why) => Outcome::Unavailable(why),
                Tried::Full => Outcome::Unavailable("the disk is full".into()),
            },
        };
        Ok(Response::new(peer::ReadIndexResponse { outcome: Some(outcome) }))
    }

    async fn buffer_query(
        &self,
        request: Request<peer::BufferQueryRequest>,
    ) -> Result<Response<peer::BufferQueryResponse>, Status> {
        use peer::buffer_query_response as response;
        let peer::BufferQueryRequest { shard, run: Some(run), query: Some(query) } = request.into_inner() else {
            return Err(Status::invalid_argument("a run and a query are needed"));
        };
        let Some(hooks) = self.router.leader.hooks() else { return Err(Status::unavailable("the node starts")) };
        let outcome = match hooks.buffer_query(shard, run, query).await {
            Some(Buffered::Answered(result)) => response::Outcome::Result(result),
            Some(Buffered::Dispatch) => response::Outcome::Dispatch(response::Dispatch {}),
            Some(Buffered::Full) => response::Outcome::Full(response::Full {}),
            None => response::Outcome::NotLeader(not_leader(self.router.leader_of(shard))),
        };
        Ok(Response::new(peer::BufferQueryResponse { outcome: Some(outcome) }))
    }

    async fn node_status(
        &self,
        _request: Request<peer::NodeStatusRequest>,
    ) -> Result<Response<admin::NodeStatus>, Status> {
        Ok(Response::new(self.router.node_status()))
    }
}

fn not_leader(leader: Option<u64>) -> peer::NotLeader {
    peer::NotLeader { leader: leader.unwrap_or_default() }
}
