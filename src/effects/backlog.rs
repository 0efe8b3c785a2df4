//! How many tasks wait in which queue and for how long, as gauges: each node tells of the shards it leads, so a queue's
//! backlog is the sum over the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use statemachine::tables::ReadyKey;
use statemachine::{Fault, Kv, TaskType};
use tokio::time::sleep;

use crate::cluster::{now, Router};

const EVERY: Duration = Duration::from_secs(15);
/// Queues that are told of; of a shard with more the rest is left out.
const QUEUES_MAX: usize = 256;
/// Rows of a shard that are counted in one look; beyond this the numbers are lower bounds.
const ROWS_MAX: i64 = 200_000;

/// Namespace, queue, and kind of task, as labels.
type Queue = (String, String, &'static str);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Waiting {
    tasks: i64,
    /// Ready time of the oldest.
    oldest: i64,
}

/// Runs as long as the node does.
pub async fn tell_backlogs(router: Arc<Router>) {
    let mut told = BTreeSet::new();
    loop {
        sleep(EVERY).await;
        let led = router.data_shards().into_iter().filter(|&shard| router.leads(shard));
        let led: Vec<_> = led.filter_map(|shard| router.local(shard)).collect();
        let read = tokio::task::spawn_blocking(move || {
            let mut waiting = BTreeMap::new();
            led.iter().try_for_each(|rows| look(rows, &mut waiting)).map(|()| waiting)
        });
        match read.await {
            Ok(Ok(waiting)) => told = tell(&waiting, &told),
            Ok(Err(fault)) => tracing::error!(%fault, "the ready tasks cannot be counted"),
            // The runtime stops.
            Err(_) => return,
        }
    }
}

/// Adds up what waits in one shard. Sticky queues are left out: their tasks move on within seconds.
fn look(rows: &dyn Kv, waiting: &mut BTreeMap<Queue, Waiting>) -> Result<(), Fault> {
    let (mut from, mut left) = (None, ROWS_MAX);
    let mut seen = BTreeSet::new();
    for _ in 0..QUEUES_MAX {
        let Some((first, row)) = ReadyKey::first_of_shard(rows, from.as_deref())? else { return Ok(()) };
        from = Some(first.after_queue());
        // A queue with lanes comes up twice and is counted once.
        if !row.normal_queue.is_empty() || !seen.insert(first.queue.clone()) {
            continue;
        }
        let kind = match first.queue.task_type {
            TaskType::Workflow => "Workflow",
            TaskType::Activity => "Activity",
        };
        let entry = waiting.entry((row.namespace, first.queue.name.clone(), kind)).or_default();
        ReadyKey::count(rows, &first.queue, &mut |_, ready_time| {
            entry.tasks += 1;
            entry.oldest = if entry.oldest == 0 { ready_time } else { entry.oldest.min(ready_time) };
            left -= 1;
            left > 0
        })?;
        if left <= 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Sets the gauges, also of queues that have no backlog any more; returns those to look after next time.
fn tell(waiting: &BTreeMap<Queue, Waiting>, told: &BTreeSet<Queue>) -> BTreeSet<Queue> {
    for queue in told.iter().filter(|queue| !waiting.contains_key(*queue)) {
        set(queue, Waiting::default());
    }
    waiting.iter().for_each(|(queue, waiting)| set(queue, *waiting));
    waiting.keys().cloned().collect()
}

fn set((namespace, queue, kind): &Queue, waiting: Waiting) {
    let age = if waiting.oldest > 0 { (now() - waiting.oldest).max(0) } else { 0 };
    let labels = [
        metrics::Label::new("namespace", namespace.clone()),
        metrics::Label::new("taskqueue", queue.clone()),
        metrics::Label::from_static_parts("task_type", kind),
    ];
    metrics::gauge!("approximate_backlog_count", labels.iter()).set(waiting.tasks as f64);
    metrics::gauge!("approximate_backlog_age_seconds", labels.iter()).set(age as f64 / 1e9);
}

#[cfg(test)]
mod tests {
    use super::*;
    use statemachine::tables::RunKey;
    use statemachine::{state, MemoryKv, QueueKey, Txn};

    #[test]
    fn a_queue_is_counted_with_its_lanes_and_sticky_ones_are_not() {
        let empty = MemoryKv::default();
        let mut txn = Txn::new(&empty);
        let namespace_id = "32049b68-7872-4094-8e63-d0dd59896a83";
        let mut put = |name: &str, lane: &str, time: i64, normal_queue: &str| {
            let queue =
                QueueKey { namespace_id: namespace_id.into(), task_type: TaskType::Workflow, name: name.into() };
            let run = RunKey { slot: 1, run: [7; 16] };
            let key = ReadyKey { queue, priority: 3, lane: lane.into(), ready_time: time, run, scheduled_event_id: 1 };
            let row = state::ReadyTask {
                namespace: "default".into(),
                normal_queue: normal_queue.into(),
                ..Default::default()
            };
            key.put(&mut txn, &row);
        };
        put("q", "", 30, "");
        put("q", "a", 10, "");
        put("q", "b", 20, "");
        put("sticky", "", 5, "q");
        put("r", "", 40, "");
        let mut kv = MemoryKv::default();
        kv.write(txn.into_writes());
        let mut waiting = BTreeMap::new();
        look(&kv, &mut waiting).expect("readable");
        let queue = |name: &str| ("default".to_owned(), name.to_owned(), "Workflow");
        let expected = [(queue("q"), Waiting { tasks: 3, oldest: 10 }), (queue("r"), Waiting { tasks: 1, oldest: 40 })];
        assert_eq!(waiting, BTreeMap::from(expected));
        assert_eq!(tell(&waiting, &BTreeSet::from([queue("gone")])).len(), 2);
    }
}
