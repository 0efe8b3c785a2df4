//! The tasks of one queue that wait at this node, in the order in which they are to be served.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::types::{Task, TaskKey, DEFAULT_PRIORITY};

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

    /// Whether nothing waits whose place in the order is another than that of its age.
    pub(super) fn is_plain(&self) -> bool {
        self.levels.iter().all(|(&priority, level)| {
            priority == DEFAULT_PRIORITY && level.heads.iter().all(|(_, _, key)| key.is_empty())
        })
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
            let Some(other) = self.less_urgent_than(&task) else { return Kept::Full };
            self.remove(&other);
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

    /// Takes out the task to serve next, of those that may go.
    pub(super) fn pop(&mut self, may_go: &mut dyn FnMut(&Task) -> bool) -> Option<Task> {
        let found = self.levels.iter_mut().find_map(|(&priority, level)| Some((priority, level.pop(may_go)?)));
        let (priority, (order, task)) = found?;
        if self.levels[&priority].heads.is_empty() {
            self.levels.remove(&priority);
        }
        self.forget(&task, order);
        Some(task)
    }

    /// The fairness keys that have tasks here.
    pub(super) fn fairness_keys(&self) -> impl Iterator<Item = &String> {
        self.levels.values().flat_map(|level| level.heads.iter().map(|(_, _, key)| key))
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

    /// The task to give up for one that finds no room: of the lowest priority the last to be served, or of the same
    /// priority the last of the fairness key with the most tasks, unless that is the task's own.
    fn less_urgent_than(&self, task: &Task) -> Option<TaskKey> {
        let (&lowest, level) = self.levels.last_key_value()?;
        let fairness_key = if lowest > task.priority {
            let (_, _, key) = level.heads.last().expect("levels without tasks are removed");
            key
        } else if lowest == task.priority {
            let (longest, lane) = level.keys.iter().max_by_key(|(_, lane)| lane.tasks.len())?;
            let own = level.keys.get(&task.fairness_key).map_or(0, |lane| lane.tasks.len());
            if *longest == task.fairness_key || lane.tasks.len() <= own + 1 {
                return None;
            }
            longest
        } else {
            return None;
        };
        level.keys[fairness_key].tasks.last_key_value().map(|(_, last)| last.key())
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

    fn pop(&mut self, may_go: &mut dyn FnMut(&Task) -> bool) -> Option<(Order, Task)> {
        let ready = |(_, order, key): &&(u64, Order, String)| may_go(&self.keys[key].tasks[order]);
        let (pass, order, key) = self.heads.iter().find(ready)?.clone();
        self.heads.remove(&(pass, order, key.clone()));
        let crowded = self.keys.len() > IDLE_KEYS;
        let lane = self.keys.get_mut(&key).expect("a head has a lane");
        let task = lane.tasks.remove(&order).expect("a head has a task");
        self.pass = self.pass.max(pass);
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
