//! Where queues live: at the node that leads the data shard a queue hashes to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use statemachine::QueueKey;

use crate::cluster::tasks::Tasks;
use crate::cluster::{Lane, Router};
use crate::matching::{send, Call, Reply, Topology};

pub struct QueueHomes {
    router: Arc<Router>,
    generation: Arc<AtomicU64>,
}

impl QueueHomes {
    pub fn new(router: Arc<Router>) -> Arc<Self> {
        Arc::new(Self { router, generation: Arc::default() })
    }

    /// Follows the leaderships of the shards that run by now.
    pub fn follow(&self, tasks: &Tasks) {
        for mut leadership in self.router.leaderships() {
            let generation = self.generation.clone();
            tasks.spawn("homes of queues", async move {
                while leadership.changed().await.is_ok() {
                    generation.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

/// FNV-1a over what names a queue.
fn hash(queue: &QueueKey) -> u64 {
    let bytes = queue.namespace_id.bytes().chain([queue.task_type as u8]).chain(queue.name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn shard_of(queue: &QueueKey, data_shards: u32) -> Option<u32> {
    let mixed = hash(queue) ^ (hash(queue) >> 32);
    let nth = mixed.checked_rem(u64::from(data_shards))?;
    u32::try_from(nth).ok().map(|nth| nth + 1)
}

impl Topology for QueueHomes {
    fn this_node(&self) -> u64 {
        self.router.this_node()
    }

    fn time(&self) -> i64 {
        crate::cluster::now()
    }

    fn home(&self, queue: &QueueKey) -> Option<u64> {
        let data_shards = self.router.cluster()?.data_shards;
        self.router.leader_of(shard_of(queue, data_shards)?)
    }

    fn alive_nodes(&self) -> Vec<u64> {
        self.router.alive_nodes()
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn call(&self, node: u64, call: Call) -> BoxFuture<'static, Result<Reply, tonic::Status>> {
        let lane = match call {
            Call::PollTask(_) => Lane::Polls,
            _ => Lane::Calls,
        };
        let router = self.router.clone();
        async move {
            let reply = send(router.connection(node, lane)?, call).await;
            // What a node refuses, it has answered.
            let answered = reply.as_ref().err().is_none_or(|status| status.code() != tonic::Code::Unavailable);
            router.heard(node, answered);
            reply
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statemachine::TaskType;

    #[test]
    fn queues_spread_over_the_data_shards() {
        let mut hit = [0; 4];
        for at in 0..3000 {
            let queue = QueueKey {
                namespace_id: "32049b68-7872-4094-8e63-d0dd59896a83".into(),
                task_type: TaskType::Activity,
                name: format!("queue-{at}"),
            };
            hit[shard_of(&queue, 3).expect("there are shards") as usize] += 1;
        }
        assert_eq!(hit[0], 0);
        assert!(hit[1..].iter().all(|&count| (800..1200).contains(&count)), "{hit:?}");
    }
}
