//! Names of this folder's metrics; see also `storage::metric`.

/// Groups this node leads.
pub const LEADERS: &str = "everstep_raft_leaders";
/// Terms this node saw begin, over all groups.
pub const ELECTIONS: &str = "everstep_raft_elections_total";
/// Seconds from accepting a proposal to having its answer.
pub const COMMIT_SECONDS: &str = "everstep_raft_commit_seconds";
/// Seconds to apply one batch of entries.
pub const APPLY_SECONDS: &str = "everstep_raft_apply_seconds";
pub const APPLY_BATCH_ENTRIES: &str = "everstep_raft_apply_batch_entries";
/// Proposals waiting for their answer.
pub const PROPOSALS_IN_FLIGHT: &str = "everstep_raft_proposals_in_flight";
/// Proposals that got no answer, by `reason`.
pub const PROPOSALS_FAILED: &str = "everstep_raft_proposals_failed_total";
pub const SNAPSHOTS_SENT: &str = "everstep_raft_snapshots_sent_total";
pub const SNAPSHOTS_RECEIVED: &str = "everstep_raft_snapshots_received_total";
/// Groups that stopped on this node over a fault.
pub const STOPPED: &str = "everstep_raft_stopped_groups";
