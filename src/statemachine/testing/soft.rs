//! What the leader of a shard remembers of its effects: ready tasks, the next due time, messages to bring. Any of it may
//! be lost, and all of it can be read again from the tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::TaskRef;
use crate::tables::{self, DeadlineKey, ReadyKey};
use crate::{Effect, Fault, MemoryKv, TaskType};

/// Tasks and messages known at a time; the rest stays in the tables.
const KNOWN_MAX: usize = 256;

/// Tasks in the order of their priorities and times: priority, ready time, queue, run, scheduled event.
pub type TaskKey = (i32, i64, String, String, i64);

#[derive(Debug, Clone, Default)]
pub struct Soft {
    pub workflow_tasks: BTreeMap<TaskKey, TaskRef>,
    pub activity_tasks: BTreeMap<TaskKey, TaskRef>,
    pub alarm: Option<i64>,
    pub outbox: BTreeSet<u64>,
    /// Messages that were applied and not yet acknowledged.
    pub applied: Vec<u64>,
}

impl Soft {
    pub fn absorb(&mut self, effect: &Effect) {
        match effect {
            Effect::TaskReady { task, .. } => self.task(task.as_ref().clone()),
            Effect::DeadlineSet { due } => self.alarm = Some(self.alarm.map_or(*due, |alarm| alarm.min(*due))),
            Effect::OutboxReady { id } if self.outbox.len() < KNOWN_MAX => {
                self.outbox.insert(*id);
            }
            _ => {}
        }
    }

    fn task(&mut self, task: TaskRef) {
        let Some(task_type) = TaskType::from_number(task.task_type) else { return };
        let (queue, run) = (task.queue.clone(), task.run_id.clone());
        let key = (task.priority, task.ready_time, queue, run, task.scheduled_event_id);
        let tasks = self.tasks(task_type);
        if tasks.len() < KNOWN_MAX {
            tasks.insert(key, task);
        }
    }

    pub fn tasks(&mut self, task_type: TaskType) -> &mut BTreeMap<TaskKey, TaskRef> {
        match task_type {
            TaskType::Workflow => &mut self.workflow_tasks,
            TaskType::Activity => &mut self.activity_tasks,
        }
    }

    /// What a new leader knows: what the tables hold.
    pub fn recovered(kv: &MemoryKv) -> Result<Self, Fault> {
        let mut soft = Self::default();
        let mut from = None;
        while let Some((first, _)) = ReadyKey::first_of_shard(kv, from.as_deref())? {
            for (key, row) in ReadyKey::page(kv, &first.queue, KNOWN_MAX)? {
                soft.task(key.to_task(&row));
            }
            from = Some(first.after_queue());
        }
        soft.alarm = DeadlineKey::first(kv)?.map(|key| key.due);
        soft.outbox = tables::outbox_after(kv, 0, KNOWN_MAX)?.into_iter().map(|row| row.id).collect();
        Ok(soft)
    }
}
