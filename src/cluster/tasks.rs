//! Background tasks with an owner: named, ended together, and never dying unseen.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Owns the tasks spawned through it. Clones own the same tasks.
#[derive(Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when a task failed: the node must not go on without it.
    failed: CancellationToken,
    failure: Mutex<Option<String>>,
}

impl Tasks {
    /// Must be called within a runtime, which will run the tasks.
    pub fn new() -> Self {
        let inner = Inner {
            runtime: Handle::current(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            failed: CancellationToken::new(),
            failure: Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Cancelled when tasks are to end. A task that holds no state may also simply be dropped at [`Tasks::shutdown`].
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Runs `task` until it ends or the tasks are shut down.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(name, self.inner.stop.child_token(), task);
    }

    /// Runs `task` until it ends, the guard is dropped or the tasks are shut down.
    pub fn spawn_guarded(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> DropGuard {
        let stop = self.inner.stop.child_token();
        self.spawn_until(name, stop.clone(), task);
        stop.drop_guard()
    }

    fn spawn_until(
        &self,
        name: &'static str,
        stop: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let inner = self.inner.clone();
        let watched = async move {
            let caught = AssertUnwindSafe(task).catch_unwind();
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = caught => outcome,
            };
            if outcome.is_err() {
                inner.fail(format!("the task \"{name}\" panicked"));
            }
        };
        self.inner.tracker.spawn_on(watched, &self.inner.runtime);
    }

    /// The node cannot go on.
    pub fn fail(&self, why: String) {
        self.inner.fail(why);
    }

    /// Waits until a task has panicked or failed and says which.
    pub async fn failed(&self) -> String {
        self.inner.failed.cancelled().await;
        self.inner.failure.lock().expect("no panic while held").clone().unwrap_or_default()
    }

    /// Ends all tasks and waits for them, at most for `patience`.
    pub async fn shutdown(&self, patience: Duration) {
        self.inner.stop.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(patience, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!(left = self.inner.tracker.len(), "tasks did not end in time");
        }
    }
}

impl Inner {
    fn fail(&self, why: String) {
        tracing::error!("{why}");
        self.failure.lock().expect("no panic while held").get_or_insert(why);
        self.failed.cancel();
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_with_the_name_of_the_task() {
        let tasks = Tasks::new();
        tasks.spawn("doomed", async { panic!("on purpose") });
        assert!(tasks.failed().await.contains("doomed"));
    }

    #[tokio::test]
    async fn dropping_the_guard_ends_the_task() {
        let tasks = Tasks::new();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let guard = tasks.spawn_guarded("kept", async move {
            let _sender = sender;
            std::future::pending::<()>().await;
        });
        drop(guard);
        assert!(receiver.await.is_err());
        tasks.shutdown(Duration::from_secs(1)).await;
    }
}
