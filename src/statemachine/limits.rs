//! Sizes and counts that bound a run (SEMANTICS B36). They travel with each proposal, so replicas agree on them.

use crate::op;
use crate::time::{MINUTE, SECOND};

#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of one payload field: input, result, details, failure.
    pub blob_size: usize,
    pub memo_size: usize,
    pub pending_activities: i32,
    pub pending_children: i32,
    pub pending_signals: i32,
    pub pending_cancels: i32,
    pub buffered_events: i32,
    pub buffered_bytes: i64,
    pub signals: i64,
    pub history_events: i64,
    pub history_bytes: i64,
    pub suggest_events: i64,
    pub suggest_bytes: i64,
    /// Least time between the starts of a chain's runs, ns.
    pub continue_as_new_gap: i64,
    pub eager_activities: bool,
    pub updates_in_flight: i64,
    pub updates_total: i64,
    pub cross_namespace: bool,
    /// How long a workflow task may be kept alive by heartbeats, ns.
    pub task_heartbeat_timeout: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob_size: 2 << 20,
            memo_size: 2 << 20,
            pending_activities: 2000,
            pending_children: 2000,
            pending_signals: 2000,
            pending_cancels: 2000,
            buffered_events: 100,
            buffered_bytes: 2 << 20,
            signals: 10_000,
            history_events: 50 * 1024,
            history_bytes: 50 << 20,
            suggest_events: 4096,
            suggest_bytes: 4 << 20,
            continue_as_new_gap: SECOND,
            eager_activities: true,
            updates_in_flight: 10,
            updates_total: 2000,
            cross_namespace: true,
            task_heartbeat_timeout: 30 * MINUTE,
        }
    }
}

impl Limits {
    /// The limits a proposal carries; without any, the defaults.
    pub fn from_proposal(sent: Option<&op::Limits>) -> Self {
        let Some(sent) = sent else { return Self::default() };
        Self {
            blob_size: sent.blob_size as usize,
            memo_size: sent.memo_size as usize,
            pending_activities: sent.pending_activities,
            pending_children: sent.pending_children,
            pending_signals: sent.pending_signals,
            pending_cancels: sent.pending_cancels,
            buffered_events: sent.buffered_events,
            buffered_bytes: sent.buffered_bytes,
            signals: sent.signals,
            history_events: sent.history_events,
            history_bytes: sent.history_bytes,
            suggest_events: sent.suggest_events,
            suggest_bytes: sent.suggest_bytes,
            continue_as_new_gap: sent.continue_as_new_gap,
            eager_activities: sent.eager_activities,
            updates_in_flight: sent.updates_in_flight,
            updates_total: sent.updates_total,
            cross_namespace: sent.cross_namespace,
            task_heartbeat_timeout: sent.workflow_task_heartbeat_timeout,
        }
    }

    pub fn to_proposal(&self) -> op::Limits {
        op::Limits {
            blob_size: self.blob_size as i64,
            memo_size: self.memo_size as i64,
            pending_activities: self.pending_activities,
            pending_children: self.pending_children,
            pending_signals: self.pending_signals,
            pending_cancels: self.pending_cancels,
            buffered_events: self.buffered_events,
            buffered_bytes: self.buffered_bytes,
            signals: self.signals,
            history_events: self.history_events,
            history_bytes: self.history_bytes,
            suggest_events: self.suggest_events,
            suggest_bytes: self.suggest_bytes,
            continue_as_new_gap: self.continue_as_new_gap,
            eager_activities: self.eager_activities,
            updates_in_flight: self.updates_in_flight,
            updates_total: self.updates_total,
            cross_namespace: self.cross_namespace,
            workflow_task_heartbeat_timeout: self.task_heartbeat_timeout,
        }
    }
}
