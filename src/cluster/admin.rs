//! The operators' service, on the peer port. It takes calls without the metadata of a node: operators have none, and a
//! node that is about to join has none that counts.

use std::sync::Arc;
use std::time::Duration;

use proto::everstep::admin::v1 as admin;
use statemachine::op::{answer, op::Kind, DrainNode, JoinNode, Op, PreferLeader, RemoveNode};
use statemachine::state;
use tokio::time::{sleep, Instant};
use tonic::{Request, Response, Status};

use super::members::{self, Refusal, Rows};
use super::{Router, Target};

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const CUT_MAX: Duration = Duration::from_secs(60);
/// Before something is refused because of a node that is down, it is asked again for so long: it may be slow, its connection
/// may have broken, or it may be starting. What has no quorum after that has none.
const DOWN_AFTER: Duration = Duration::from_secs(5);

pub struct AdminService {
    router: Arc<Router>,
}

impl AdminService {
    pub fn new(router: Arc<Router>) -> Self {
        Self { router }
    }

    /// The system shard's rows, with everything that was committed before.
    async fn rows(&self) -> Result<Rows, Status> {
        let rows = self.router.read(Target::System, Instant::now() + PATIENCE).await;
        let rows = rows.map_err(|error| Status::unavailable(error.to_string()))?;
        Rows::read(&rows).map_err(|fault| Status::internal(fault.to_string()))
    }

    /// Commits a wish, and waits until this node knows it.
    async fn commit(&self, kind: Kind) -> Result<(), Status> {
        let deadline = Instant::now() + PATIENCE;
        let unavailable = |error: super::RouteError| Status::unavailable(error.to_string());
        let op = Op { kind: Some(kind) };
        let committed = self.router.propose(Target::System, op, deadline).await.map_err(unavailable)?;
        if let Some(answer::Kind::Reject(reject)) = committed.answer.kind {
            return Err(Status::new(tonic::Code::from_i32(reject.code), reject.message));
        }
        self.router.wait_applied(committed.shard, committed.index, deadline).await.map_err(unavailable)
    }

    /// What `judge` says of the members and of who is up.
    async fn judged<T>(
        &self,
        judge: impl Fn(&Rows, &admin::ClusterStatusResponse) -> Result<T, Refusal>,
    ) -> Result<T, Status> {
        let end = Instant::now() + DOWN_AFTER;
        loop {
            // In this order: reading takes a quorum and may wait for an election, and who was down before may be up then.
            let rows = self.rows().await?;
            match judge(&rows, &self.router.status().await) {
                Ok(judged) => return Ok(judged),
                Err(Refusal::WhileDown(_)) if Instant::now() < end => sleep(LOOK).await,
                Err(refusal) => return Err(refused(refusal.why())),
            }
        }
    }

    async fn remove(&self, node_id: u64, replaced_by: Option<u64>) -> Result<Response<admin::ChangeResponse>, Status> {
        let note = self.judged(|rows, status| members::removal(rows, status, node_id, replaced_by)).await?;
        self.commit(Kind::RemoveNode(RemoveNode { node_id, replaced_by: replaced_by.unwrap_or_default() })).await?;
        Ok(Response::new(admin::ChangeResponse { note }))
    }

    /// Waits until `done`, or says that it will be so later.
    async fn wait(&self, done: impl Fn() -> bool, later: &str) -> Response<admin::ChangeResponse> {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            if Instant::now() >= deadline {
                return Response::new(admin::ChangeResponse { note: later.into() });
            }
            sleep(LOOK).await;
        }
        Response::new(admin::ChangeResponse::default())
    }
}

fn refused(why: String) -> Status {
    Status::failed_precondition(why)
}

#[tonic::async_trait]
impl admin::admin_server::Admin for AdminService {
    async fn cluster_status(
        &self,
        _request: Request<admin::ClusterStatusRequest>,
    ) -> Result<Response<admin::ClusterStatusResponse>, Status> {
        Ok(Response::new(self.router.status().await))
    }

    async fn greet(&self, request: Request<admin::GreetRequest>) -> Result<Response<admin::GreetResponse>, Status> {
        let node = request.into_inner().node_id;
        let rows = self.router.rows();
        let member = rows.members.get(&node);
        let cluster = self.router.cluster();
        Ok(Response::new(admin::GreetResponse {
            opening: cluster.is_none() && self.router.is_opening(),
            cluster_id: cluster.map(|cluster| cluster.cluster_id.clone()).unwrap_or_default(),
            known: rows.nodes.contains(&node),
            state: members::name(member).into(),
            incarnation: member.map(|member| member.incarnation.clone()).unwrap_or_default(),
            time: super::clock::wall(),
        }))
    }

    async fn join_node(
        &self,
        request: Request<admin::JoinNodeRequest>,
    ) -> Result<Response<admin::JoinNodeResponse>, Status> {
        let request = request.into_inner();
        let cluster = self.router.cluster().ok_or_else(|| Status::unavailable("this node is in no cluster yet"))?;
        if cluster.cluster_id != request.cluster_id {
            return Err(refused(format!("this is the cluster `{}`, not `{}`", cluster.cluster_id, request.cluster_id)));
        }
        let node = state::Node {
            node_id: request.node_id,
            peer_address: request.peer_address,
            api_address: request.api_address,
            web_address: request.web_address,
        };
        self.commit(Kind::JoinNode(JoinNode { node: Some(node), incarnation: request.incarnation })).await?;
        // Reading the rows also tells this node's own list of peers.
        self.router.rows();
        let nodes = self.router.peers.nodes().into_iter();
        let nodes = nodes.map(|node| admin::JoinedNode { node_id: node.node_id, peer_address: node.peer_address });
        Ok(Response::new(admin::JoinNodeResponse { nodes: nodes.collect() }))
    }

    async fn remove_node(
        &self,
        request: Request<admin::RemoveNodeRequest>,
    ) -> Result<Response<admin::ChangeResponse>, Status> {
        self.remove(request.into_inner().node_id, None).await
    }

    async fn replace_node(
        &self,
        request: Request<admin::ReplaceNodeRequest>,
    ) -> Result<Response<admin::ChangeResponse>, Status> {
        let request = request.into_inner();
        self.remove(request.node_id, Some(request.replaced_by)).await
    }

    async fn drain_node(
        &self,
        request: Request<admin::DrainNodeRequest>,
    ) -> Result<Response<admin::ChangeResponse>, Status> {
        let admin::DrainNodeRequest { node_id, undo } = request.into_inner();
        if undo {
            self.commit(Kind::DrainNode(DrainNode { node_id, draining: false })).await?;
            return Ok(Response::new(admin::ChangeResponse::default()));
        }
        self.judged(|rows, status| members::draining(rows, status, node_id)).await?;
        self.commit(Kind::DrainNode(DrainNode { node_id, draining: true })).await?;
        let shards = std::iter::once(super::SYSTEM_SHARD).chain(self.router.data_shards());
        let shards: Vec<u32> = shards.collect();
        let leads_none =
            || shards.iter().all(|&shard| self.router.leader_of(shard).is_some_and(|leader| leader != node_id));
        Ok(self.wait(leads_none, "it still leads; leaderships move as soon as others have caught up").await)
    }

    async fn transfer_leader(
        &self,
        request: Request<admin::TransferLeaderRequest>,
    ) -> Result<Response<admin::ChangeResponse>, Status> {
        let admin::TransferLeaderRequest { shard, node_id } = request.into_inner();
        if node_id != 0 {
            self.judged(|rows, status| members::transfer(rows, status, shard, node_id)).await?;
        }
        self.commit(Kind::PreferLeader(PreferLeader { shard, node_id })).await?;
        let leads = || node_id == 0 || self.router.leader_of(shard) == Some(node_id);
        Ok(self.wait(leads, "it does not lead yet; it will once it has caught up").await)
    }

    async fn cut_off(&self, request: Request<admin::CutOffRequest>) -> Result<Response<admin::CutOffResponse>, Status> {
        if !self.router.facts.chaos {
            return Err(refused(
                "faults are not enabled on this node: `chaos = true` in its configuration allows them".into(),
            ));
        }
        let admin::CutOffRequest { nodes, millis } = request.into_inner();
        let time = Duration::from_millis(millis).min(CUT_MAX);
        tracing::warn!(?nodes, ?time, "cut off, as asked for");
        self.router.peers.cuts.cut(&nodes, time);
        Ok(Response::new(admin::CutOffResponse {}))
    }

    async fn shard_digests(
        &self,
        _request: Request<admin::ShardDigestsRequest>,
    ) -> Result<Response<admin::ShardDigestsResponse>, Status> {
        let mut shards = Vec::new();
        for group in self.router.groups.groups() {
            let (shard, snapshot) = (group.shard(), group.snapshot());
            let digest = move || Ok((snapshot.applied()?, snapshot.digest()?));
            let read =
                tokio::task::spawn_blocking(digest).await.map_err(|error| Status::internal(error.to_string()))?;
            let (applied, digest) = read.map_err(|error: anyhow::Error| Status::internal(error.to_string()))?;
            let applied = applied.map(|applied| applied.index).unwrap_or_default();
            shards.push(admin::ShardDigest { shard, applied, digest: digest.to_vec().into() });
        }
        shards.sort_by_key(|digest| digest.shard);
        Ok(Response::new(admin::ShardDigestsResponse { shards }))
    }
}
