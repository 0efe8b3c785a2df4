//! Messages of a shard's outbox to the shards of their targets: tried until the target has applied them, several at
//! a time, those to one workflow in order. What was applied is removed by acknowledgements of many at once.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use statemachine::op::{answer, op, AckOutbox, Deliver, Op};
use statemachine::{state, tables, Fault};
use tokio::sync::Notify;
use tokio::time::{interval, sleep, Instant, MissedTickBehavior};

use crate::cluster::{Router, Target};

/// Messages known at a time, under way or behind one to the same workflow. The rest stays in the table.
const KNOWN_MAX: usize = 512;
/// For one try at the target's shard.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tries follow each other after a pause that doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the table is looked at without being told.
const LOOK: Duration = Duration::from_secs(5);

/// The workflow a message is for: namespace id, workflow id.
type Addressee = (String, String);
type Delivery = BoxFuture<'static, (Addressee, u64, bool)>;

/// Runs while this node leads the shard.
pub(super) async fn deliver(shard: u32, router: Arc<Router>, ready: Arc<Notify>) {
    let mut post =
        Post { shard, router, after: 0, known: 0, lines: HashMap::new(), under_way: FuturesUnordered::new() };
    let mut applied = Vec::new();
    let mut acknowledging: Option<BoxFuture<'static, Vec<u64>>> = None;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        post.read();
        if acknowledging.is_none() && !applied.is_empty() {
            let ids = std::mem::take(&mut applied);
            acknowledging = Some(acknowledge(shard, post.router.clone(), ids).boxed());
        }
        let acknowledged = async {
            match acknowledging.as_mut() {
                Some(acknowledging) => acknowledging.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = ready.notified() => {}
            _ = looks.tick() => {}
            Some((addressee, id, was_applied)) = post.under_way.next() => {
                post.next_in_line(addressee);
                if was_applied {
                    applied.push(id);
                }
            }
            left = acknowledged => {
                acknowledging = None;
                applied.extend(left);
            }
        }
    }
}

/// What is known of the outbox.
struct Post {
    shard: u32,
    router: Arc<Router>,
    /// The last id read. Ids only grow.
    after: u64,
    known: usize,
    /// Messages behind the one under way to a workflow.
    lines: HashMap<Addressee, VecDeque<u64>>,
    under_way: FuturesUnordered<Delivery>,
}

impl Post {
    /// Takes in what the table holds beyond what was read, as far as there is room.
    fn read(&mut self) {
        let room = KNOWN_MAX - self.known.min(KNOWN_MAX);
        let Some(rows) = self.router.local(self.shard).filter(|_| room > 0) else { return };
        let new = match tables::outbox_after(&rows, self.after, room) {
            Ok(new) => new,
            Err(fault) => return unreadable(self.shard, &fault),
        };
        for state::Outbox { id, namespace_id, workflow_id, .. } in new {
            self.after = id;
            self.known += 1;
            let addressee = (namespace_id, workflow_id);
            if let Some(line) = self.lines.get_mut(&addressee) {
                line.push_back(id);
            } else {
                self.lines.insert(addressee.clone(), VecDeque::new());
                self.start(addressee, id);
            }
        }
    }

    fn start(&self, addressee: Addressee, id: u64) {
        self.under_way.push(bring(self.shard, self.router.clone(), addressee, id).boxed());
    }

    fn next_in_line(&mut self, addressee: Addressee) {
        self.known -= 1;
        match self.lines.get_mut(&addressee).and_then(VecDeque::pop_front) {
            Some(id) => self.start(addressee, id),
            None => {
                self.lines.remove(&addressee);
            }
        }
    }
}

fn unreadable(shard: u32, fault: &Fault) {
    tracing::error!(shard, %fault, "the outbox cannot be read");
}

/// Tries until the message is applied, `true`, or is not there any more.
async fn bring(shard: u32, router: Arc<Router>, addressee: Addressee, id: u64) -> (Addressee, u64, bool) {
    let mut pause = PAUSE_FIRST;
    loop {
        match message(shard, &router, id) {
            Ok(Some(op)) => {
                let target = Target::Workflow { namespace_id: &addressee.0, workflow_id: &addressee.1 };
                match router.propose(target, op, Instant::now() + PATIENCE).await.map(|done| done.answer.kind) {
                    Ok(Some(answer::Kind::Done(_))) => return (addressee, id, true),
                    Ok(refused) => tracing::debug!(shard, id, ?refused, "a message is not taken yet"),
                    Err(error) => tracing::debug!(shard, id, %error, "a message did not arrive"),
                }
            }
            Ok(None) => return (addressee, id, false),
            Err(fault) => unreadable(shard, &fault),
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// The row as the op that delivers it; `None` once it is gone.
fn message(shard: u32, router: &Router, id: u64) -> Result<Option<Op>, Fault> {
    let Some(rows) = router.local(shard) else { return Ok(None) };
    let Some(row) = tables::outbox(&rows, id)? else { return Ok(None) };
    let floor = tables::outbox_floor(&rows)?;
    let deliver = Deliver { from_shard: shard, id, floor, op: row.op };
    Ok(Some(Op { kind: Some(op::Kind::Deliver(deliver)) }))
}

/// Removes rows that were applied; returns those it could not remove.
async fn acknowledge(shard: u32, router: Arc<Router>, ids: Vec<u64>) -> Vec<u64> {
    let op = Op { kind: Some(op::Kind::AckOutbox(AckOutbox { ids: ids.clone() })) };
    match router.propose_locally(shard, op).await {
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::debug!(shard, %error, "an acknowledgement was not committed");
            sleep(PAUSE_FIRST).await;
            ids
        }
    }
}
