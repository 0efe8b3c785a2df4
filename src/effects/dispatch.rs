//! Ready tasks to matching: at once as they are committed, and once more from the table if they still wait there.

use std::time::Duration;

use proto::temporal::api::common::v1::Priority;
use statemachine::op::TaskRef;
use statemachine::tables::ReadyKey;
use statemachine::{state, Fault, Kv, QueueKey};
use tokio::sync::mpsc;
use tokio::time::{interval_at, Instant, MissedTickBehavior};

use super::Hands;
use crate::matching::{Matching, Task};

const BATCH_MAX: usize = 1024;
/// How often the table is looked at while something may wait in it.
const LOOK: Duration = Duration::from_secs(1);
/// Younger tasks are on their way by the effect.
const AGE_MIN: i64 = 1_000_000_000;
/// One look visits so many queues and so many tasks of each; the next goes on from there.
const QUEUES_MAX: usize = 256;
const TASKS_OF_QUEUE_MAX: usize = 64;

/// Runs while this node leads the shard.
pub(super) async fn dispatch(shard: u32, hands: Hands, mut arriving: mpsc::Receiver<Task>) {
    let mut table = Table::default();
    // All that was ready before this node led.
    look(shard, &hands, &mut table, 0);
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            received = arriving.recv_many(&mut batch, BATCH_MAX) => {
                if received == 0 {
                    return;
                }
                table.waiting = true;
                hands.matching.offer(std::mem::take(&mut batch));
            }
            _ = looks.tick(), if table.waiting => look(shard, &hands, &mut table, AGE_MIN),
        }
    }
}

fn look(shard: u32, hands: &Hands, table: &mut Table, age_min: i64) {
    let Some(rows) = hands.router.local(shard) else { return };
    match table.look(&rows, hands.router.time(shard) - age_min, &|queue| hands.matching.wants(queue)) {
        Ok(tasks) => offer(&hands.matching, tasks),
        Err(fault) => tracing::error!(shard, %fault, "the ready tasks cannot be read"),
    }
}

fn offer(matching: &Matching, tasks: Vec<Task>) {
    if !tasks.is_empty() {
        matching.offer(tasks);
    }
}

/// What is known of a shard's ready table.
#[derive(Debug, Default)]
struct Table {
    /// Whether there may be rows.
    waiting: bool,
    /// Where the next look begins.
    from: Option<Vec<u8>>,
}

impl Table {
    /// The first tasks of the next queues, those ready at or before `until`.
    fn look(&mut self, rows: &dyn Kv, until: i64, wants: &dyn Fn(&QueueKey) -> bool) -> Result<Vec<Task>, Fault> {
        let mut tasks = Vec::new();
        let from_start = self.from.is_none();
        for visited in 0..QUEUES_MAX {
            let Some((first, _)) = ReadyKey::first_of_shard(rows, self.from.as_deref())? else {
                self.from = None;
                self.waiting = !(from_start && visited == 0);
                return Ok(tasks);
            };
            if wants(&first.queue) {
                let page = ReadyKey::page(rows, &first.queue, TASKS_OF_QUEUE_MAX)?;
                let ripe = page.iter().filter(|(key, _)| key.ready_time <= until);
                tasks.extend(ripe.map(|(key, row)| task_of_row(key, row)));
            }
            self.from = Some(first.after_queue());
        }
        self.waiting = true;
        Ok(tasks)
    }
}

pub(super) fn task_of_row(key: &ReadyKey, row: &state::ReadyTask) -> Task {
    ready_task(key.queue.clone(), key.to_task(row), !row.normal_queue.is_empty(), row.priority.as_ref())
}

/// A ready task with the fairness that its priority gives it.
pub(super) fn ready_task(queue: QueueKey, task: TaskRef, sticky: bool, priority: Option<&Priority>) -> Task {
    let task = Task::ready(queue, task, sticky);
    match priority {
        Some(priority) => task.with_fairness(priority.fairness_key.clone(), fairness_weight(priority.fairness_weight)),
        None => task,
    }
}

/// 0 in the API stands for the default.
fn fairness_weight(weight: f32) -> f32 {
    if weight > 0.0 {
        weight
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statemachine::tables::RunKey;
    use statemachine::{MemoryKv, TaskType, Txn};

    const NAMESPACE: &str = "32049b68-7872-4094-8e63-d0dd59896a83";

    fn store(queues: &[(&str, usize)]) -> MemoryKv {
        let mut kv = MemoryKv::default();
        let base = kv.clone();
        let mut txn = Txn::new(&base);
        for &(name, count) in queues {
            let queue = QueueKey { namespace_id: NAMESPACE.into(), task_type: TaskType::Workflow, name: name.into() };
            for at in 0..count {
                let run = RunKey { slot: 1, run: [7; 16] };
                let scheduled_event_id = at as i64;
                let (queue, lane) = (queue.clone(), String::new());
                let key = ReadyKey { queue, priority: 3, lane, ready_time: 100, run, scheduled_event_id };
                key.put(&mut txn, &state::ReadyTask::default());
            }
        }
        let writes = txn.into_writes();
        kv.write(writes);
        kv
    }

    #[test]
    fn a_look_takes_the_first_tasks_of_every_queue() {
        let kv = store(&[("a", 100), ("bb", 2), ("c", 1)]);
        let mut table = Table::default();
        let tasks = table.look(&kv, 100, &|_| true).expect("readable");
        let count = |name: &str| tasks.iter().filter(|task| task.queue.name == name).count();
        assert_eq!((count("a"), count("bb"), count("c")), (TASKS_OF_QUEUE_MAX, 2, 1));
        assert!(table.waiting);
        assert!(table.look(&kv, 99, &|_| true).expect("readable").is_empty());
        assert!(table.look(&kv, 100, &|_| false).expect("readable").is_empty());
    }

    #[test]
    fn more_queues_than_one_look_visits_are_visited_by_the_next() {
        let names: Vec<String> = (0..QUEUES_MAX + 10).map(|at| format!("queue-{at:04}")).collect();
        let kv = store(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
        let mut table = Table::default();
        assert_eq!(table.look(&kv, 100, &|_| true).expect("readable").len(), QUEUES_MAX);
        assert_eq!(table.look(&kv, 100, &|_| true).expect("readable").len(), 10);
        assert!(table.waiting);
    }

    #[test]
    fn an_empty_table_is_not_looked_at_again() {
        let mut table = Table { waiting: true, from: None };
        assert!(table.look(&MemoryKv::default(), 100, &|_| true).expect("readable").is_empty());
        assert!(!table.waiting);
    }
}
