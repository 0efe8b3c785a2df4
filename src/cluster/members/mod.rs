//! Members come, go and are replaced while the cluster works.
//!
//! ```text
//!   operator ─► admin RPC ─► refuse? ─► JoinNode, RemoveNode, DrainNode  (rows of the system shard: the wishes)
//!                                              │
//!   planner, on the system shard's leader:     └─► who votes where ─► PlaceShard … FinishNode
//!   driver, on each shard's leader:  PlaceShard ─► learner, caught up, voter, drop the old one ─► SettleShard
//! ```
//!
//! Every step is computed from what is stored and what the Raft group says, so any node may die at any point: whoever
//! leads next goes on from there. A step that would leave a shard without a quorum waits.

mod clocks;
mod drive;
mod greet;
mod join;
mod plan;
mod planner;
mod refuse;

pub(super) use clocks::compare_clocks;
pub(super) use greet::{greet, other_directory, Greeting};
pub(super) use join::join;
pub(super) use planner::Rows;
pub(super) use refuse::{draining, removal, transfer, Refusal};

use std::sync::Arc;

use statemachine::state::{Member, MemberState};

use super::tasks::Tasks;
use super::Router;

/// Does this node's part: as a leader, and as one that may be removed.
pub fn keep_members(router: &Arc<Router>, tasks: &Tasks) {
    tasks.spawn("planner of members", planner::plan_members(router.clone()));
    tasks.spawn("driver of members", drive::drive(router.clone()));
    tasks.spawn("clocks", clocks::keep_time(router.clone()));
    tasks.spawn("farewell", greet::farewell(router.clone(), tasks.clone()));
}

/// As operators read it.
pub(super) fn name(member: Option<&Member>) -> &'static str {
    match member.map_or(MemberState::Active, Member::state) {
        MemberState::Unspecified | MemberState::Active => "active",
        MemberState::Joining => "joining",
        MemberState::Leaving => "leaving",
        MemberState::Removed => "removed",
    }
}
