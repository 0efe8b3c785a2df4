//! The tasks of one queue that wait at this node, in the order in which they are to be served.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::types::{Task, TaskKey};

/// What a task of weight 1 costs its fairness key; weights run from 0.001 to 1000.
const STRIDE: f32 = 1_000_000.0;
/// Fairness keys without a task whose pass a level still remembers.
const IDLE_KEYS: usize = 1000;

/// Priority first (1 before 5), then the fairness key that has had least for its weight, then the time of readiness.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    levels: BTreeMap<i32, Level>,
    places: HashMap<TaskKey, Place>,
    /// Ready time and number of each task: the first is the oldest.
    ages: BTreeSet<Order>,
    next: u64,
    expiring: usize,
}

/// Ready time, then order of arrival.
type Order = (i64, u64);

#[derive(Debug, Clone)]
struct Place {
    priority: i32,
    fairness_key: String,
    order: Order,
}

#[derive(Debug, Default)]
struct Level {
    keys: BTreeMap<String, Lane>,
    /// Lanes with tasks, by pass and then by their first task.
    heads: BTreeSet<(u64, Order, String)>,
    /// Where the last task served stood: new lanes start here, so that nobody saves up for later.
    pass: u64,
}

#[derive(Debug, Default)]
struct Lane {
    tasks: BTreeMap<Order, Task>,
    pass: u64,
}

/// What became of a task that had to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// It took the room of a task of lower priority.
    Instead,
    Full,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn contains(&self, key: &TaskKey) -> bool {
        self.places.contains_key(key)
    }

    /// Ready time of the task that waits longest.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.ages.first().map(|order| order.0)
    }

    /// Keeps the task if there are fewer than `room` or if it comes before one that is kept.
    pub(super) fn insert(&mut self, task: Task, room: usize) -> Kept {
        let key = task.key();
        if self.places.contains_key(&key) {
            return Kept::Yes;
        }
        let mut kept = Kept::Yes;
        if self.len() >= room {
            match self.levels.last_key_value() {
                Some((&lowest, _)) if lowest > task.priority => self.drop_last(lowest),
                _ => return Kept::Full,
            }
            kept = Kept::Instead;
        }
        self.next += 1;
        let order = (task.ready_time, self.next);
        self.expiring += usize::from(task.expires().is_some());
        self.ages.insert(order);
        let place = Place { priority: task.priority, fairness_key: task.fairness_key.clone(), order };
        self.places.insert(key, place);
        self.levels.entry(task.priority).or_default().insert(order, task);
        kept
    }

    /// Takes out the task to serve next.
    pub(super) fn pop(&mut self) -> Option<Task> {
        let mut level = self.levels.first_entry()?;
        let (order, task) = level.get_mut().pop().expect("levels without tasks are removed");
        if level.get().heads.is_empty() {
            level.remove();
        }
        self.forget(&task, order);
        Some(task)
    }

    pub(super) fn remove(&mut self, key: &TaskKey) -> Option<Task> {
        let place = self.places.get(key)?.clone();
        let level = self.levels.get_mut(&place.priority).expect("a place names a level");
        let task = level.remove(&place.fairness_key, place.order);
        if level.heads.is_empty() {
            self.levels.remove(&place.priority);
        }
        self.forget(&task, place.order);
        Some(task)
    }

    /// Drops the queries whose callers wait no longer.
    pub(super) fn expire(&mut self, now: i64) -> usize {
        if self.expiring == 0 {
            return 0;
        }
        let tasks = self.levels.values().flat_map(|level| level.keys.values()).flat_map(|lane| lane.tasks.values());
        let late = |task: &&Task| task.expires().is_some_and(|expires| expires <= now);
        let keys: Vec<TaskKey> = tasks.filter(late).map(Task::key).collect();
        for key in &keys {
            self.remove(key);
        }
        keys.len()
    }

    fn drop_last(&mut self, priority: i32) {
        let level = &self.levels[&priority];
        let (_, _, fairness_key) = level.heads.last().expect("levels without tasks are removed");
        let (_, task) = level.keys[fairness_key].tasks.last_key_value().expect("a head has a task");
        let key = task.key();
        self.remove(&key);
    }

    fn forget(&mut self, task: &Task, order: Order) {
        self.places.remove(&task.key());
        self.ages.remove(&order);
        self.expiring -= usize::from(task.expires().is_some());
    }
}

impl Level {
    fn insert(&mut self, order: Order, task: Task) {
        let key = task.fairness_key.clone();
        let lane = self.keys.entry(key.clone()).or_default();
        let head = lane.tasks.first_key_value().map(|(&first, _)| first);
        if let Some(first) = head {
            self.heads.remove(&(lane.pass, first, key.clone()));
        } else {
            lane.pass = lane.pass.max(self.pass);
        }
        lane.tasks.insert(order, task);
        let first = head.map_or(order, |first| first.min(order));
        self.heads.insert((lane.pass, first, key));
    }

    fn pop(&mut self) -> Option<(Order, Task)> {
        let (pass, order, key) = self.heads.pop_first()?;
        let crowded = self.keys.len() > IDLE_KEYS;
        let lane = self.keys.get_mut(&key).expect("a head has a lane");
        let task = lane.tasks.remove(&order).expect("a head has a task");
        self.pass = pass;
        lane.pass = pass + (STRIDE / task.fairness_weight.clamp(0.001, 1000.0)) as u64;
        match lane.tasks.first_key_value() {
            Some((&first, _)) => {
                self.heads.insert((lane.pass, first, key));
            }
            None if crowded => {
                self.keys.remove(&key);
            }
            None => {}
        }
        Some((order, task))
    }

    fn remove(&mut self, key: &str, order: Order) -> Task {
        let lane = self.keys.get_mut(key).expect("a place names a lane");
        let (&first, _) = lane.tasks.first_key_value().expect("a place names a task");
        self.heads.remove(&(lane.pass, first, key.to_owned()));
        let task = lane.tasks.remove(&order).expect("a place names a task");
        if let Some((&first, _)) = lane.tasks.first_key_value() {
            self.heads.insert((lane.pass, first, key.to_owned()));
        }
        task
    }
}
