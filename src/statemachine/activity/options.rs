//! The options of an activity: what is wrong with them, and what stands for those left out (SEMANTICS B7; Temporal:
//! chasm/lib/activity/validator.go).

use prost_types::Duration;
use proto::temporal::api::common::v1::Priority;
use proto::temporal::api::enums::v1::TaskQueueKind;
use proto::temporal::api::taskqueue::v1::TaskQueue;

use crate::time::{nanos_or_zero, TIMEOUT_MAX};
use crate::workflow::commands::ID_LENGTH_MAX;

const FAIRNESS_KEY_LENGTH_MAX: usize = 64;
/// Names of queues that the server keeps to itself start with this.
const RESERVED_QUEUE_PREFIX: &str = "/_sys/";

/// Nanoseconds; 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub schedule_to_close: i64,
    pub schedule_to_start: i64,
    pub start_to_close: i64,
    pub heartbeat: i64,
}

/// Neither start-to-close nor schedule-to-close is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTimeout;

impl Timeouts {
    /// Reads the four timeouts in the order of the fields; none may be negative.
    pub fn read(given: [Option<&Duration>; 4]) -> Result<Self, String> {
        let names = ["ScheduleToCloseTimeout", "ScheduleToStartTimeout", "StartToCloseTimeout", "HeartbeatTimeout"];
        let mut read = [0; 4];
        for ((to, from), name) in read.iter_mut().zip(given).zip(names) {
            *to = nanos_or_zero(from).min(TIMEOUT_MAX);
            if *to < 0 {
                return Err(format!("invalid {name}: negative duration"));
            }
        }
        let [schedule_to_close, schedule_to_start, start_to_close, heartbeat] = read;
        Ok(Self { schedule_to_close, schedule_to_start, start_to_close, heartbeat })
    }

    /// Derives what is missing and cuts what is too long. `run_timeout`: 0 for none.
    pub fn filled_in(mut self, run_timeout: i64) -> Result<Self, NoTimeout> {
        if self.schedule_to_close > 0 {
            self.schedule_to_start = capped(self.schedule_to_start, self.schedule_to_close);
            self.start_to_close = capped(self.start_to_close, self.schedule_to_close);
        } else if self.start_to_close > 0 {
            self.schedule_to_close = run_timeout;
            if self.schedule_to_start == 0 {
                self.schedule_to_start = run_timeout;
            }
        } else {
            return Err(NoTimeout);
        }
        if run_timeout > 0 {
            self.schedule_to_close = self.schedule_to_close.min(run_timeout);
            self.schedule_to_start = self.schedule_to_start.min(run_timeout);
            self.start_to_close = self.start_to_close.min(run_timeout);
            self.heartbeat = self.heartbeat.min(run_timeout);
        }
        self.heartbeat = self.heartbeat.min(self.start_to_close);
        Ok(self)
    }
}

/// The limit where nothing is given.
fn capped(given: i64, limit: i64) -> i64 {
    match given {
        0 => limit,
        given => given.min(limit),
    }
}

/// A queue that a command may name; normal is the default kind.
pub fn queue(given: Option<&TaskQueue>) -> Result<TaskQueue, String> {
    let mut queue = given.ok_or("taskQueue is not set")?.clone();
    if queue.name.is_empty() {
        return Err("missing task queue name".into());
    }
    if queue.name.len() > ID_LENGTH_MAX {
        return Err("taskQueue length exceeds limit".into());
    }
    if queue.name.starts_with(RESERVED_QUEUE_PREFIX) {
        return Err(format!("task queue name cannot start with reserved prefix {RESERVED_QUEUE_PREFIX}"));
    }
    if queue.kind == TaskQueueKind::Unspecified as i32 {
        queue.kind = TaskQueueKind::Normal as i32;
    }
    Ok(queue)
}

/// An id or a type of an activity.
pub fn check_name(field: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{field} is not set"));
    }
    if name.len() > ID_LENGTH_MAX {
        return Err(format!("{field} exceeds length limit. Length={} Limit={ID_LENGTH_MAX}", name.len()));
    }
    Ok(())
}

pub fn check_priority(priority: Option<&Priority>) -> Result<(), &'static str> {
    let Some(priority) = priority else { return Ok(()) };
    if priority.priority_key < 0 {
        return Err("priority key can't be negative");
    }
    if priority.fairness_key.len() > FAIRNESS_KEY_LENGTH_MAX {
        return Err("fairness key length exceeds limit");
    }
    if priority.fairness_weight < 0.0 {
        return Err("must be greater than zero");
    }
    Ok(())
}

/// The priority of an activity's task: its own, each missing field from its workflow.
pub fn merged_priority(own: Option<&Priority>, workflow: Option<&Priority>) -> Option<Priority> {
    let (Some(own), Some(workflow)) = (own, workflow) else { return own.or(workflow).cloned() };
    let mut merged = own.clone();
    if merged.priority_key == 0 {
        merged.priority_key = workflow.priority_key;
    }
    if merged.fairness_key.is_empty() {
        merged.fairness_key.clone_from(&workflow.fairness_key);
    }
    if merged.fairness_weight == 0.0 {
        merged.fairness_weight = workflow.fairness_weight;
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(values: [i64; 4]) -> Timeouts {
        let [schedule_to_close, schedule_to_start, start_to_close, heartbeat] = values;
        Timeouts { schedule_to_close, schedule_to_start, start_to_close, heartbeat }
    }

    /// Given, run timeout, filled in: as golden's timeouts_are_filled_in and run_timeout_caps_activity_timeouts.
    #[test]
    fn missing_timeouts_are_derived_and_long_ones_cut() {
        let cases = [
            ([60, 0, 0, 0], 0, [60, 60, 60, 0]),
            ([0, 0, 20, 0], 0, [0, 0, 20, 0]),
            ([60, 50, 40, 30], 0, [60, 50, 40, 30]),
            ([10, 11, 12, 13], 0, [10, 10, 10, 10]),
            ([0, 0, 20, 21], 0, [0, 0, 20, 20]),
            ([0, 90, 20, 0], 0, [0, 90, 20, 0]),
            ([0, 0, 20, 0], 100, [100, 100, 20, 0]),
            ([600, 600, 600, 600], 100, [100, 100, 100, 100]),
        ];
        for (given, run_timeout, filled) in cases {
            assert_eq!(timeouts(given).filled_in(run_timeout), Ok(timeouts(filled)), "{given:?}");
        }
        assert_eq!(timeouts([0, 5, 0, 5]).filled_in(100), Err(NoTimeout));
    }

    #[test]
    fn priorities_merge_field_by_field() {
        let workflow = Priority { priority_key: 4, fairness_key: "tenant".into(), fairness_weight: 2.0 };
        let key = Priority { priority_key: 2, ..Default::default() };
        let merged = merged_priority(Some(&key), Some(&workflow));
        assert_eq!(merged, Some(Priority { priority_key: 2, ..workflow.clone() }));
        assert_eq!(merged_priority(None, Some(&workflow)), Some(workflow));
        assert_eq!(merged_priority(Some(&key), None), Some(key));
        assert_eq!(merged_priority(None, None), None);
    }
}
