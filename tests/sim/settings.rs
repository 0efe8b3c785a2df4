//! What a seed decides before the first step: how large the world is, what is likely in it, and its limits.

use proto::temporal::api::enums::v1::IndexedValueType;
use statemachine::limits::Limits;
use statemachine::op::NamespaceFacts;
use statemachine::time::{HOUR, MILLISECOND, MINUTE, SECOND};

use crate::steps::{StepKind, STEP_KINDS};
use crate::Random;

#[derive(Debug, Clone)]
pub struct Settings {
    pub shards: usize,
    /// Replicas that follow the leader of each shard.
    pub followers: usize,
    /// Workflow ids in use, so that calls meet.
    pub workflow_ids: usize,
    pub queues: usize,
    pub namespaces: Vec<NamespaceFacts>,
    pub limits: Limits,
    /// Of a hundred effects so many are lost.
    pub lost_effects: u64,
    /// Of a hundred proposals so many come twice at once.
    pub doubled: u64,
    /// Of a hundred poll answers so many never reach their worker.
    pub lost_polls: u64,
    /// Clocks of leaders differ by up to this, ns.
    pub skew: i64,
    /// Time moves by up to this with a step, ns.
    pub pace: i64,
    weights: Vec<u64>,
}

impl Settings {
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5e77_1265);
        let retention = random.one_of([10 * SECOND, 5 * MINUTE, 2 * HOUR]);
        Self {
            shards: random.between(1, 3) as usize,
            followers: random.between(1, 2) as usize,
            workflow_ids: random.one_of([2, 5, 12]),
            queues: random.between(1, 2) as usize,
            namespaces: (1..=random.between(1, 2)).map(|number| namespace(number, retention)).collect(),
            limits: limits(&mut random),
            lost_effects: random.one_of([0, 5, 40, 100]),
            doubled: random.one_of([0, 5, 30]),
            lost_polls: random.one_of([0, 5, 20]),
            skew: random.one_of([0, 3 * SECOND]),
            pace: random.one_of([MILLISECOND, 200 * MILLISECOND, 2 * SECOND]),
            weights: weights(&mut random),
        }
    }

    /// Draws the kind of a step.
    pub fn draw(&self, random: &mut Random) -> StepKind {
        let total = self.weights.iter().sum();
        let mut left = random.below(total);
        for (kind, weight) in STEP_KINDS.iter().zip(&self.weights) {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        StepKind::PollWorkflow
    }
}

/// Some kinds are rare or missing in a seed and others frequent: what only shows when one thing happens much more often
/// than another is found so.
fn weights(random: &mut Random) -> Vec<u64> {
    let scale = |kind: &StepKind| {
        let base = kind.weight();
        match random.below(8) {
            0 if !kind.is_vital() => 0,
            1 => base * 4,
            2 => base.div_ceil(4),
            _ => base,
        }
    };
    STEP_KINDS.iter().map(scale).collect()
}

fn namespace(number: i64, retention: i64) -> NamespaceFacts {
    NamespaceFacts {
        id: format!("aaaaaaaa-0000-4000-8000-{number:012}"),
        name: format!("namespace-{number}"),
        retention,
        search_attributes: [
            ("Word".to_owned(), IndexedValueType::Keyword as i32),
            ("Number".to_owned(), IndexedValueType::Int as i32),
        ]
        .into(),
    }
}

/// Low ones in half of the worlds, so that they are met.
fn limits(random: &mut Random) -> Limits {
    let mut limits = Limits { history_events: 300, ..Limits::default() };
    limits.continue_as_new_gap = random.one_of([0, SECOND]);
    limits.task_heartbeat_timeout = random.one_of([5 * SECOND, 30 * MINUTE]);
    if random.percent(50) {
        limits.history_events = random.between(20, 120);
        limits.history_bytes = random.one_of([4 << 10, 50 << 20]);
        limits.suggest_events = random.between(5, 50);
        limits.signals = random.between(3, 40);
        limits.buffered_events = random.one_of([2, 5, 100]);
        limits.buffered_bytes = random.one_of([500, 2 << 20]);
        limits.pending_activities = random.between(1, 6) as i32;
        limits.pending_children = random.between(1, 4) as i32;
        limits.pending_signals = random.between(1, 3) as i32;
        limits.pending_cancels = random.between(1, 3) as i32;
        limits.updates_in_flight = random.between(1, 4);
        limits.updates_total = random.between(2, 20);
        limits.blob_size = random.one_of([40, 2 << 20]);
        limits.memo_size = random.one_of([60, 2 << 20]);
        limits.eager_activities = random.percent(70);
        limits.cross_namespace = random.percent(70);
    }
    limits
}
