//! How fast a queue may be served: as its settings say, or else as its workers ask; and each fairness key by itself.

use std::collections::{BTreeMap, HashMap};

use proto::temporal::api::taskqueue::v1::{RateLimitConfig, TaskQueueConfig};

use super::meter::Bucket;
use super::types::{Task, TaskKind};

/// Fairness keys of one queue whose rate is counted; at the limit all begin anew.
const KEYS_MAX: usize = 10_000;

/// What was set for a queue; see UpdateTaskQueueConfig.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    rate: Option<f64>,
    /// Of each fairness key, times its weight.
    key_rate: Option<f64>,
    weights: BTreeMap<String, f32>,
}

impl From<TaskQueueConfig> for Settings {
    fn from(config: TaskQueueConfig) -> Self {
        let rate = |limit: Option<RateLimitConfig>| limit?.rate_limit.map(|rate| f64::from(rate.requests_per_second));
        Self {
            rate: rate(config.queue_rate_limit),
            key_rate: rate(config.fairness_keys_rate_limit_default),
            weights: config.fairness_weight_overrides,
        }
    }
}

impl Settings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Rates {
    settings: Settings,
    /// `max_tasks_per_second` of the latest poll that had one.
    asked: Option<f64>,
    queue: Option<Bucket>,
    keys: HashMap<String, Bucket>,
}

impl Rates {
    pub(super) fn configure(&mut self, now: i64, settings: Settings) {
        self.settings = settings;
        self.keys.clear();
        self.follow(now);
    }

    pub(super) fn ask(&mut self, now: i64, per_second: f64) {
        self.asked = Some(per_second);
        self.follow(now);
    }

    /// What the queue is held to as long as nothing is set for it.
    pub(super) fn asked(&self) -> Option<f64> {
        self.asked
    }

    fn follow(&mut self, now: i64) {
        match (self.settings.rate.or(self.asked), &mut self.queue) {
            (Some(rate), Some(bucket)) => bucket.set_rate(now, rate),
            (Some(rate), none) => *none = Some(Bucket::new(now, rate)),
            (None, queue) => *queue = None,
        }
    }

    /// A rate is one for the whole queue, so only its home hands out where there is one.
    pub(super) fn is_limited(&self) -> bool {
        self.queue.is_some() || self.settings.key_rate.is_some()
    }

    /// Whether some task may go out now, as far as the queue as a whole is concerned.
    pub(super) fn allows(&mut self, now: i64) -> bool {
        self.queue.as_mut().is_none_or(|bucket| bucket.ready(now))
    }

    /// Whether this one may. Nobody waits with a query.
    pub(super) fn allows_task(&mut self, now: i64, task: &Task) -> bool {
        matches!(task.kind, TaskKind::Query(_)) || self.key(now, task).is_none_or(|bucket| bucket.ready(now))
    }

    pub(super) fn take(&mut self, now: i64, task: &Task) {
        if let Some(bucket) = &mut self.queue {
            bucket.take();
        }
        if !matches!(task.kind, TaskKind::Query(_)) {
            if let Some(bucket) = self.key(now, task) {
                bucket.take();
            }
        }
    }

    fn key(&mut self, now: i64, task: &Task) -> Option<&mut Bucket> {
        let rate = self.settings.key_rate? * f64::from(task.fairness_weight);
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&task.fairness_key) {
            self.keys.clear();
        }
        let bucket = self.keys.entry(task.fairness_key.clone()).or_insert_with(|| Bucket::new(now, rate));
        bucket.set_rate(now, rate);
        Some(bucket)
    }

    /// When a task of one of these keys may go out, if none may now.
    pub(super) fn next<'k>(&self, now: i64, mut waiting: impl Iterator<Item = &'k String>) -> Option<i64> {
        let queue = match &self.queue {
            Some(bucket) => Some(bucket.next(now)?),
            None => None,
        };
        let keys = match self.settings.key_rate {
            Some(_) if self.keys.is_empty() => Some(now),
            Some(_) => {
                let times =
                    waiting.by_ref().filter_map(|key| self.keys.get(key).map_or(Some(now), |one| one.next(now)));
                Some(times.min()?)
            }
            None => None,
        };
        queue.max(keys)
    }

    /// The weight of a task's fairness key: what was set for it, or what came with the task.
    pub(super) fn weight(&self, task: &Task) -> f32 {
        self.settings.weights.get(&task.fairness_key).copied().unwrap_or(task.fairness_weight)
    }
}
