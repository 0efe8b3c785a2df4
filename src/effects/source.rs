//! The ready tables of the shards this node leads, as matching reads them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use statemachine::op::{op, Op, ReturnTask, TaskRef, UnqueueTask};
use statemachine::tables::ReadyKey;
use statemachine::{Fault, QueueKey};
use tokio::time::{sleep, Instant};

use super::dispatch::task_of_row;
use crate::cluster::tasks::Tasks;
use crate::cluster::{Router, Target};
use crate::matching::{ReadyBacklog, Task, TaskKey, TaskSource};
use crate::raft::Snapshot;

/// A backlog is counted up to this many rows of a shard.
const COUNTED_MAX: usize = 1_000_000;
/// For one `UnqueueTask`; matching tells of the task again if it still waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// A task that was started for nobody is given back for so long; after that it times out.
const GIVING_BACK: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);
/// `UnqueueTask` under way at the same time.
const MOVING_MAX: usize = 1024;

pub struct ReadyTasks {
    router: Arc<Router>,
    tasks: Tasks,
    moving: Arc<Mutex<HashSet<TaskKey>>>,
}

impl ReadyTasks {
    pub fn new(router: Arc<Router>, tasks: Tasks) -> Self {
        Self { router, tasks, moving: Arc::default() }
    }

    fn led(&self) -> Vec<Snapshot> {
        let shards = self.router.data_shards().into_iter().filter(|&shard| self.router.leads(shard));
        shards.filter_map(|shard| self.router.local(shard)).collect()
    }
}

impl TaskSource for ReadyTasks {
    fn ready_tasks(&self, queue: &QueueKey, max: usize) -> BoxFuture<'static, Vec<Task>> {
        let (led, queue) = (self.led(), queue.clone());
        on_blocking_thread(move || {
            let mut tasks = Vec::new();
            for rows in &led {
                let page = ReadyKey::page(rows, &queue, max)?;
                // Each page has its own order, which the merged one keeps: the nth of each come before the others.
                tasks.extend(page.iter().enumerate().map(|(at, (key, row))| (at, task_of_row(key, row))));
            }
            let fair = tasks.iter().any(|(_, task)| !task.fairness_key.is_empty());
            tasks.sort_by_key(|(at, task)| (task.priority, if fair { *at } else { 0 }, task.ready_time));
            tasks.truncate(max);
            Ok(tasks.into_iter().map(|(_, task)| task).collect())
        })
        .boxed()
    }

    fn unpolled(&self, task: Task) {
        let key = task.key();
        {
            let mut moving = self.moving.lock().expect("no panic while held");
            if moving.len() >= MOVING_MAX || !moving.insert(key.clone()) {
                return;
            }
        }
        let (router, moving) = (self.router.clone(), self.moving.clone());
        self.tasks.spawn("unqueue a sticky task", async move {
            let (namespace_id, workflow_id) = (task.task.namespace_id.clone(), task.task.workflow_id.clone());
            let target = Target::Workflow { namespace_id: &namespace_id, workflow_id: &workflow_id };
            let op = Op { kind: Some(op::Kind::UnqueueTask(UnqueueTask { task: Some(task.task) })) };
            if let Err(error) = router.propose(target, op, Instant::now() + PATIENCE).await {
                tracing::debug!(%error, "a task without a poller stays in its sticky queue for now");
            }
            moving.lock().expect("no panic while held").remove(&key);
        });
    }

    fn given_back(&self, shard: u32, task: TaskRef) {
        let router = self.router.clone();
        self.tasks.spawn("give a started task back", async move {
            let until = Instant::now() + GIVING_BACK;
            let op = Op { kind: Some(op::Kind::ReturnTask(ReturnTask { task: Some(task) })) };
            // Once is as good as twice: it names the start that it takes back.
            while let Err(error) = router.propose(Target::Shard(shard), op.clone(), Instant::now() + PATIENCE).await {
                if Instant::now() > until {
                    tracing::warn!(%error, "a task that was started for nobody will time out");
                    return;
                }
                sleep(PAUSE).await;
            }
        });
    }

    fn backlog(&self, queue: &QueueKey) -> BoxFuture<'static, ReadyBacklog> {
        let (led, queue) = (self.led(), queue.clone());
        on_blocking_thread(move || {
            let mut backlog = ReadyBacklog::default();
            for rows in &led {
                let mut counted = 0;
                ReadyKey::count(rows, &queue, &mut |priority, ready_time| {
                    backlog.add(i32::from(priority), 1, ready_time);
                    counted += 1;
                    counted < COUNTED_MAX
                })?;
            }
            Ok(backlog)
        })
        .boxed()
    }
}

/// Pages may be long and not in memory. What cannot be read is logged and left for the next try.
async fn on_blocking_thread<T: Default + Send + 'static>(
    read: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(read)) => read,
        Ok(Err(fault)) => {
            tracing::error!(%fault, "the ready tasks cannot be read");
            T::default()
        }
        // The runtime stops.
        Err(_) => T::default(),
    }
}
