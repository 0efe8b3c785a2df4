//! Matching as the other nodes call it, and the way to them.

use std::time::Duration;

use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::matching_client::MatchingClient;
use proto::everstep::peer::v1::matching_server::Matching as MatchingRpc;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::describe::Detail;
use super::service::{Matching, Registered};
use super::topology::{Call, Reply};
use super::wire;
use super::words::{Delivery, Offered, Origin, Place, Poll, Reason};
use crate::cluster::Peer;

/// Tasks in one answer to a pull.
const PULL_MOST: usize = 4096;
/// Polls of peers wait no longer than the longest poll of a client.
const POLL_MOST: Duration = Duration::from_secs(120);
/// A query's answer may be as large as a client's message.
pub const MESSAGE_MOST: usize = 16 << 20;

/// One call to a node's peer port.
pub async fn send(peer: Peer, call: Call) -> Result<Reply, Status> {
    let mut client = MatchingClient::new(peer).max_decoding_message_size(MESSAGE_MOST);
    Ok(match call {
        Call::PollTask(request) => Reply::PollTask(Box::new(client.poll_task(*request).await?.into_inner())),
        Call::CancelPolls(request) => Reply::CancelPolls(client.cancel_polls(request).await?.into_inner()),
        Call::OfferTasks(request) => Reply::OfferTasks(client.offer_tasks(request).await?.into_inner()),
        Call::PullTasks(request) => Reply::PullTasks(client.pull_tasks(request).await?.into_inner()),
        Call::CompleteQuery(request) => Reply::CompleteQuery(client.complete_query(*request).await?.into_inner()),
        Call::EndWorkerPolls(request) => Reply::EndWorkerPolls(client.end_worker_polls(request).await?.into_inner()),
        Call::ForgetPolls(request) => Reply::ForgetPolls(client.forget_polls(request).await?.into_inner()),
        Call::DescribeQueue(request) => {
            Reply::DescribeQueue(Box::new(client.describe_queue(request).await?.into_inner()))
        }
        Call::FindWorkers(request) => Reply::FindWorkers(client.find_workers(request).await?.into_inner()),
    })
}

/// Serves peer.proto's `Matching`: wrap it in `MatchingServer` on the peer port.
#[derive(Clone)]
pub struct PeerService {
    matching: Matching,
}

impl PeerService {
    pub fn new(matching: Matching) -> Self {
        Self { matching }
    }
}

#[tonic::async_trait]
impl MatchingRpc for PeerService {
    async fn poll_task(
        &self,
        request: Request<peer::PollTaskRequest>,
    ) -> Result<Response<peer::PollTaskResponse>, Status> {
        self.matching.poll_for_peer(request.into_inner()).await.map(Response::new)
    }

    async fn cancel_polls(
        &self,
        request: Request<peer::CancelPollsRequest>,
    ) -> Result<Response<peer::CancelPollsResponse>, Status> {
        Ok(Response::new(self.matching.cancel_for_peer(request.into_inner())))
    }

    async fn offer_tasks(
        &self,
        request: Request<peer::OfferTasksRequest>,
    ) -> Result<Response<peer::OfferTasksResponse>, Status> {
        self.matching.offer_from_peer(request.into_inner()).map(Response::new)
    }

    async fn pull_tasks(
        &self,
        request: Request<peer::PullTasksRequest>,
    ) -> Result<Response<peer::PullTasksResponse>, Status> {
        self.matching.pull_for_peer(request.into_inner()).await.map(Response::new)
    }

    async fn complete_query(
        &self,
        request: Request<peer::CompleteQueryRequest>,
    ) -> Result<Response<peer::CompleteQueryResponse>, Status> {
        let request = request.into_inner();
        let found = self.matching.complete_query_here(request.id, request.answer.unwrap_or_default());
        Ok(Response::new(peer::CompleteQueryResponse { found }))
    }

    async fn end_worker_polls(
        &self,
        request: Request<peer::EndWorkerPollsRequest>,
    ) -> Result<Response<peer::EndWorkerPollsResponse>, Status> {
        let request = request.into_inner();
        self.matching.end_worker_polls(&request.namespace_id, &request.sticky_queue, &request.worker_instance_key);
        Ok(Response::new(peer::EndWorkerPollsResponse {}))
    }

    async fn forget_polls(
        &self,
        request: Request<peer::ForgetPollsRequest>,
    ) -> Result<Response<peer::ForgetPollsResponse>, Status> {
        let queues = request.into_inner().queues.into_iter();
        let queues = queues.map(|queue| wire::queue_from(Some(queue))).collect::<Result<Vec<_>, _>>()?;
        self.matching.with_inner(|inner, now| inner.core.forget_polls(now, queues));
        Ok(Response::new(peer::ForgetPollsResponse {}))
    }

    async fn describe_queue(
        &self,
        request: Request<peer::DescribeQueueRequest>,
    ) -> Result<Response<peer::DescribeQueueResponse>, Status> {
        let request = request.into_inner();
        let detail = if request.polls_only { Detail::Polls } else { Detail::All };
        let queue = wire::queue_from(request.queue)?;
        Ok(Response::new(self.matching.describe_here(&queue, detail).await))
    }

    async fn find_workers(
        &self,
        request: Request<peer::FindWorkersRequest>,
    ) -> Result<Response<peer::FindWorkersResponse>, Status> {
        Ok(Response::new(self.matching.find_workers_here(request.get_ref())))
    }
}

impl Matching {
    /// Parks a poller of another node here. When that node drops the call, a task on its way goes back.
    async fn poll_for_peer(&self, request: peer::PollTaskRequest) -> Result<peer::PollTaskResponse, Status> {
        let queue = wire::queue_from(request.queue)?;
        if self.place(&queue) == Place::Elsewhere {
            return Ok(peer::PollTaskResponse { task: None, moved: true });
        }
        let deadline = Instant::now() + Duration::from_nanos(request.timeout.max(0) as u64).min(POLL_MOST);
        let poll = Poll {
            queue,
            origin: Origin::Remote,
            sticky: false,
            poller: request.poller.unwrap_or_default(),
            rate: request.max_tasks_per_second,
        };
        let registered = self.register(poll, Some((request.node, request.poll_id)));
        let delivery = match registered.map_err(|exhausted| Status::resource_exhausted(exhausted.to_string()))? {
            Registered::Task(task) => Delivery::Task(task),
            Registered::Started(_) => unreachable!("a poll of another node is promised nothing"),
            Registered::ShutDown => Delivery::Empty,
            Registered::Parked(mut ticket) => ticket.wait(deadline).await,
        };
        Ok(match delivery {
            Delivery::Task(task) => {
                peer::PollTaskResponse { task: Some(wire::task(&task, Reason::Ready)), moved: false }
            }
            Delivery::Moved => peer::PollTaskResponse { task: None, moved: true },
            Delivery::Empty | Delivery::Started(_) => peer::PollTaskResponse { task: None, moved: false },
        })
    }

    fn cancel_for_peer(&self, request: peer::CancelPollsRequest) -> peer::CancelPollsResponse {
        self.with_inner(|inner, now| {
            for poll in request.poll_ids {
                if let Some(&poller) = inner.registered.get(&(request.node, poll)) {
                    inner.core.end(now, poller, Delivery::Empty);
                }
            }
        });
        peer::CancelPollsResponse {}
    }

    fn offer_from_peer(&self, request: peer::OfferTasksRequest) -> Result<peer::OfferTasksResponse, Status> {
        let tasks = request.tasks.into_iter().map(wire::task_from).collect::<Result<Vec<_>, _>>()?;
        let places: Vec<Place> = tasks.iter().map(|(task, _)| self.place(&task.queue)).collect();
        let offered = self.with_inner(|inner, now| {
            let offer = |((task, reason), place)| match place {
                Place::Home => wire::offered(&inner.core.offer(now, request.node, task, reason, place)),
                Place::Elsewhere => wire::offered(&Offered::Away(Box::new(task))),
            };
            tasks.into_iter().zip(places).map(offer).map(|offered| offered as i32).collect()
        });
        Ok(peer::OfferTasksResponse { offered })
    }

    async fn pull_for_peer(&self, request: peer::PullTasksRequest) -> Result<peer::PullTasksResponse, Status> {
        let queue = wire::queue_from(request.queue)?;
        self.shared.full.clear(&queue);
        let source = self.source().ok_or_else(|| Status::unavailable("this node has no tasks yet"))?;
        let tasks = source.ready_tasks(&queue, (request.max as usize).min(PULL_MOST)).await;
        let tasks = tasks.iter().map(|task| wire::task(task, Reason::Ready)).collect();
        Ok(peer::PullTasksResponse { tasks })
    }
}
