//! Tasks on their way from matching to a worker: none is forgotten when the worker's poll ends before its time.

use std::ops::Deref;

use statemachine::op::TaskRef;

use super::words::Reason;
use super::{Matching, Task};

/// A task in the hands of a poller. Unless it is [`Handed::done`], it goes back for the next poller when dropped.
pub struct Handed {
    task: Option<Box<Task>>,
    matching: Matching,
}

impl Handed {
    pub(super) fn new(matching: Matching, task: Box<Task>) -> Self {
        Self { task: Some(task), matching }
    }

    /// The task is the poller's now: `StartTask` was answered, or the query is on its way to the worker.
    pub fn done(mut self) -> Task {
        *self.task.take().expect("a task is handed out once")
    }
}

impl Deref for Handed {
    type Target = Task;

    fn deref(&self) -> &Task {
        self.task.as_ref().expect("a task is handed out once")
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.matching.offer_each(vec![*task], Reason::Returned);
        }
    }
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Handed").field(&self.task).finish()
    }
}

/// A task that was started for a poller which has not got it yet. Unless it is [`Given::delivered`], it goes back to its
/// queue when dropped, and does not wait for its timeout.
pub struct Given {
    shard: u32,
    task: Option<TaskRef>,
    matching: Matching,
}

impl Given {
    pub fn new(matching: Matching, shard: u32, task: Option<TaskRef>) -> Self {
        Self { shard, task, matching }
    }

    /// The answer goes out now.
    pub fn delivered(mut self) {
        self.task = None;
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.matching.give_back(self.shard, task);
        }
    }
}
