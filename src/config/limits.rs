//! Sizes and counts at which requests are refused, with Temporal's defaults (SEMANTICS B36).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use statemachine::limits::Limits as CoreLimits;

use super::{duration, Features};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub blob_bytes: usize,
    pub memo_bytes: usize,
    pub pending_activities: i32,
    pub pending_children: i32,
    pub pending_signals: i32,
    pub pending_cancels: i32,
    pub signals: i64,
    pub buffered_events: i32,
    pub buffered_bytes: i64,
    pub history_events: i64,
    pub history_bytes: i64,
    pub suggest_continue_events: i64,
    pub suggest_continue_bytes: i64,
    pub updates_in_flight: i64,
    pub updates_total: i64,
    pub buffered_queries: usize,
    pub links_per_request: usize,
    pub link_bytes: usize,
    #[serde(with = "duration")]
    pub run_gap_min: Duration,
    #[serde(with = "duration")]
    pub workflow_task_heartbeat: Duration,
    #[serde(with = "duration")]
    pub retention_min: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let core = CoreLimits::default();
        Self {
            blob_bytes: core.blob_size,
            memo_bytes: core.memo_size,
            pending_activities: core.pending_activities,
            pending_children: core.pending_children,
            pending_signals: core.pending_signals,
            pending_cancels: core.pending_cancels,
            signals: core.signals,
            buffered_events: core.buffered_events,
            buffered_bytes: core.buffered_bytes,
            history_events: core.history_events,
            history_bytes: core.history_bytes,
            suggest_continue_events: core.suggest_events,
            suggest_continue_bytes: core.suggest_bytes,
            updates_in_flight: core.updates_in_flight,
            updates_total: core.updates_total,
            buffered_queries: 1,
            links_per_request: 10,
            link_bytes: 4000,
            run_gap_min: Duration::from_nanos(core.continue_as_new_gap.unsigned_abs()),
            workflow_task_heartbeat: Duration::from_nanos(core.task_heartbeat_timeout.unsigned_abs()),
            retention_min: Duration::from_secs(3600),
        }
    }
}

impl Limits {
    pub(super) fn for_core(&self, features: &Features) -> CoreLimits {
        CoreLimits {
            blob_size: self.blob_bytes,
            memo_size: self.memo_bytes,
            pending_activities: self.pending_activities,
            pending_children: self.pending_children,
            pending_signals: self.pending_signals,
            pending_cancels: self.pending_cancels,
            buffered_events: self.buffered_events,
            buffered_bytes: self.buffered_bytes,
            signals: self.signals,
            history_events: self.history_events,
            history_bytes: self.history_bytes,
            suggest_events: self.suggest_continue_events,
            suggest_bytes: self.suggest_continue_bytes,
            continue_as_new_gap: nanos(self.run_gap_min),
            eager_activities: features.eager_activities,
            updates_in_flight: self.updates_in_flight,
            updates_total: self.updates_total,
            cross_namespace: features.cross_namespace_commands,
            task_heartbeat_timeout: nanos(self.workflow_task_heartbeat),
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_cores() {
        assert_eq!(Limits::default().for_core(&Features::default()), CoreLimits::default());
    }
}
