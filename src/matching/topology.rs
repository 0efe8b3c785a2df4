//! What matching needs of the cluster and of the shards' tables; `cluster` and `effects` stand behind it.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use proto::everstep::peer::v1 as peer;
use statemachine::op::TaskRef;
use statemachine::QueueKey;

use super::types::Task;

/// Where queues live and how to reach the nodes.
pub trait Topology: Send + Sync + 'static {
    fn this_node(&self) -> u64;

    /// What time it is for the shards, nanoseconds since the epoch. It may go back: this node's clock may have been wrong.
    fn time(&self) -> i64;

    /// The node that leads the shard the queue hashes to: `None` while nobody is known to lead it.
    fn home(&self, queue: &QueueKey) -> Option<u64>;

    /// The nodes worth asking, this one included.
    fn alive_nodes(&self) -> Vec<u64>;

    /// Differs from an earlier answer when a home may have moved since.
    fn generation(&self) -> u64;

    /// One call to another node; `matching::send` makes it. Dropping the future ends the call.
    fn call(&self, node: u64, call: Call) -> BoxFuture<'static, Result<Reply, tonic::Status>>;
}

/// The ready tables of the shards that this node leads.
pub trait TaskSource: Send + Sync + 'static {
    /// At most `max` ready tasks of the queue, first those that are to be served first. It may return tasks that
    /// matching knows already. Fewer than `max` means that there are no more.
    fn ready_tasks(&self, queue: &QueueKey, max: usize) -> BoxFuture<'static, Vec<Task>>;

    /// Nobody polls the sticky queue this task waits in: propose that it moves to its normal queue.
    fn unpolled(&self, task: Task);

    /// The poller for which this task of the shard was started has gone, and no other waits here: propose `ReturnTask`.
    fn given_back(&self, shard: u32, task: TaskRef);

    /// How much is ready for the queue; an approximation is enough.
    fn backlog(&self, queue: &QueueKey) -> BoxFuture<'static, ReadyBacklog>;
}

/// How much waits, by priority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadyBacklog {
    pub levels: BTreeMap<i32, Level>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    pub tasks: i64,
    /// Ready time of the oldest, 0 without one.
    pub oldest: i64,
}

impl ReadyBacklog {
    pub fn add(&mut self, priority: i32, tasks: i64, oldest: i64) {
        let level = self.levels.entry(priority).or_default();
        level.tasks += tasks;
        let known = [level.oldest, oldest].into_iter().filter(|&time| time > 0);
        level.oldest = known.min().unwrap_or_default();
    }

    pub fn total(&self) -> Level {
        let mut all = Self::default();
        self.levels.values().for_each(|level| all.add(0, level.tasks, level.oldest));
        all.levels.get(&0).copied().unwrap_or_default()
    }
}

/// A request between the matching of two nodes.
#[derive(Debug, Clone)]
pub enum Call {
    PollTask(Box<peer::PollTaskRequest>),
    CancelPolls(peer::CancelPollsRequest),
    OfferTasks(peer::OfferTasksRequest),
    PullTasks(peer::PullTasksRequest),
    CompleteQuery(Box<peer::CompleteQueryRequest>),
    EndWorkerPolls(peer::EndWorkerPollsRequest),
    ForgetPolls(peer::ForgetPollsRequest),
    DescribeQueue(peer::DescribeQueueRequest),
    FindWorkers(peer::FindWorkersRequest),
}

/// The answer to the [`Call`] of the same name.
#[derive(Debug, Clone)]
pub enum Reply {
    PollTask(Box<peer::PollTaskResponse>),
    CancelPolls(peer::CancelPollsResponse),
    OfferTasks(peer::OfferTasksResponse),
    PullTasks(peer::PullTasksResponse),
    CompleteQuery(peer::CompleteQueryResponse),
    EndWorkerPolls(peer::EndWorkerPollsResponse),
    ForgetPolls(peer::ForgetPollsResponse),
    DescribeQueue(Box<peer::DescribeQueueResponse>),
    FindWorkers(peer::FindWorkersResponse),
}
