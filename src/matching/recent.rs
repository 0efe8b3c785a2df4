//! The tasks handed out a moment ago, so that offering them again is not taken for new work.

use std::collections::{HashMap, VecDeque};

use super::types::{span, TaskKey};

/// Beyond this the oldest is forgotten: offering it again costs one refused `StartTask`.
const MOST: usize = 32_768;

#[derive(Debug, Default)]
pub(super) struct Recent {
    times: HashMap<TaskKey, i64>,
    order: VecDeque<(i64, TaskKey)>,
}

impl Recent {
    pub(super) fn insert(&mut self, now: i64, key: TaskKey) {
        self.prune(now);
        if self.order.len() >= MOST {
            self.drop_first();
        }
        self.times.insert(key.clone(), now);
        self.order.push_back((now, key));
    }

    pub(super) fn contains(&self, now: i64, key: &TaskKey) -> bool {
        self.times.get(key).is_some_and(|&time| time + span::HANDED_OUT > now)
    }

    pub(super) fn remove(&mut self, key: &TaskKey) {
        self.times.remove(key);
    }

    pub(super) fn prune(&mut self, now: i64) {
        while self.order.front().is_some_and(|(time, _)| time + span::HANDED_OUT <= now) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((time, key)) = self.order.pop_front() {
            if self.times.get(&key) == Some(&time) {
                self.times.remove(&key);
            }
        }
    }
}
