//! Read barriers, coalesced: at most one under way per shard; callers that arrive meanwhile share the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout_at, Instant};

use super::tasks::Tasks;
use super::{RouteError, Router};

/// Readers waiting for a shard's barrier; beyond this they wait for room.
const WAITING_MAX: usize = 4096;
/// One round gives up after this; the callers with time left try again.
const ROUND: std::time::Duration = std::time::Duration::from_secs(5);

type Waiter = oneshot::Sender<Result<(), RouteError>>;

pub(super) struct Barriers {
    tasks: Tasks,
    shards: Mutex<HashMap<u32, mpsc::Sender<Waiter>>>,
}

impl Barriers {
    pub(super) fn new(tasks: Tasks) -> Self {
        Self { tasks, shards: Mutex::new(HashMap::new()) }
    }

    /// Returns when the local replica has applied every write that was acknowledged before the call.
    pub(super) async fn pass(&self, router: &Arc<Router>, shard: u32, deadline: Instant) -> Result<(), RouteError> {
        let queue = self.queue(router, shard);
        loop {
            let (sender, receiver) = oneshot::channel();
            let round = async {
                queue.send(sender).await.ok()?;
                receiver.await.ok()
            };
            match timeout_at(deadline, round).await {
                Ok(Some(Ok(()))) => return Ok(()),
                Ok(Some(Err(_))) if Instant::now() < deadline => {}
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) => return Err(RouteError::unavailable("the node stops")),
                Err(_) => return Err(RouteError::unavailable(format!("no read barrier of shard {shard} in time"))),
            }
        }
    }

    fn queue(&self, router: &Arc<Router>, shard: u32) -> mpsc::Sender<Waiter> {
        let mut shards = self.shards.lock().expect("no panic while held");
        let queue = shards.entry(shard).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            self.tasks.spawn("read barrier", serve(Arc::downgrade(router), shard, receiver));
            sender
        });
        queue.clone()
    }
}

async fn serve(router: std::sync::Weak<Router>, shard: u32, mut waiting: mpsc::Receiver<Waiter>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, WAITING_MAX).await > 0 {
        batch.retain(|waiter| !waiter.is_closed());
        if batch.is_empty() {
            continue;
        }
        let Some(router) = router.upgrade() else { return };
        let passed = router.barrier(shard, Instant::now() + ROUND).await;
        for waiter in batch.drain(..) {
            // A reader that has gone needs no answer.
            let _ = waiter.send(passed.clone());
        }
    }
}
