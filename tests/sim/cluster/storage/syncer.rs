//! The one task that writes a node's log: whatever arrived meanwhile, of all shards, is one batch and one sync.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::disk::{Disk, Write};

/// Told once the write it came with is durable.
pub type Done = Box<dyn FnOnce() + Send>;

/// How long a committed mark may wait for company.
const COMMITTED_DELAY: Duration = Duration::from_millis(100);

pub struct Job {
    pub shard: u32,
    pub write: Write,
    pub done: Option<Done>,
}

impl Job {
    fn is_urgent(&self) -> bool {
        !matches!(self.write, Write::Committed(_))
    }

    /// Whether somebody waits until it is safe.
    fn is_durable(&self) -> bool {
        match self.write {
            Write::Append(_) | Write::Purge(_) => true,
            // Planted, with the feature: a vote is synced by whatever comes next.
            Write::Vote(_) => !cfg!(feature = "bug-vote-nosync"),
            Write::Committed(_) | Write::Truncate(_) => false,
        }
    }
}

#[derive(Default)]
pub struct Queue {
    jobs: Mutex<Vec<Job>>,
    arrived: Notify,
}

impl Queue {
    pub fn push(&self, job: Job) {
        self.lock().push(job);
        self.arrived.notify_one();
    }

    async fn take(&self) -> Vec<Job> {
        loop {
            let (any, urgent) = {
                let jobs = self.lock();
                (!jobs.is_empty(), jobs.iter().any(Job::is_urgent))
            };
            let waited = match any {
                true if urgent => true,
                true => tokio::time::timeout(COMMITTED_DELAY, self.arrived.notified()).await.is_err(),
                false => {
                    self.arrived.notified().await;
                    false
                }
            };
            if waited {
                return std::mem::take(&mut *self.lock());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the node stops.
pub async fn run(disk: Arc<Disk>, queue: Arc<Queue>) {
    loop {
        let jobs = queue.take().await;
        disk.write(jobs.iter().map(|job| (job.shard, job.write.clone())));
        let durable = jobs.iter().any(Job::is_durable);
        if cfg!(feature = "bug-ack-before-fsync") {
            finish(jobs); // Planted: what is written counts as synced.
            tokio::time::sleep(disk.sync_time()).await;
            disk.sync();
            continue;
        }
        if durable {
            tokio::time::sleep(disk.sync_time()).await;
            disk.sync();
        }
        finish(jobs);
    }
}

fn finish(jobs: Vec<Job>) {
    for done in jobs.into_iter().filter_map(|job| job.done) {
        done();
    }
}
