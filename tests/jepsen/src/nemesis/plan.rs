//! A schedule of faults: the same for the same seed, length, kinds and number of nodes.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Kind;

/// Which node; leaders are only known when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Node(u64),
    /// The one that leads most data shards.
    Busiest,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Before it, with everything whole; of a fault that joins another one: after that one began.
    pub calm: Duration,
    pub kind: Kind,
    pub target: Target,
    /// Until it is taken back.
    pub hold: Duration,
    /// A number for what the kind still has to choose.
    pub choice: u64,
    /// Another fault that is made while this one is made or holds.
    pub joined: Option<Box<Step>>,
}

/// Whether a fault begins while another one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OneByOne,
    /// Every other one, where the kinds allow it (`Kind::joins`).
    Combined,
}

/// Long enough for everything that was late to have happened.
const LONG_CALM: Duration = Duration::from_secs(15);
/// One calm in so many is long.
const LONG_CALMS: u64 = 10;

impl Step {
    /// Whether a node whose disk broke is replaced; else its disk is mended and it is started again.
    pub fn replaces(&self) -> bool {
        match self.kind {
            Kind::Eio | Kind::DiskFull => self.choice.is_multiple_of(2),
            kind => matches!(kind, Kind::Replace | Kind::Corrupt),
        }
    }

    /// How many nodes it needs that were not there before.
    pub fn newcomers(&self) -> u64 {
        match self.kind {
            Kind::Resize => 2,
            _ => u64::from(self.replaces()),
        }
    }

    /// From its beginning until all of it is taken back.
    fn length(&self) -> Duration {
        let joined = self.joined.as_ref().map(|joined| joined.calm + joined.hold);
        self.hold.max(joined.unwrap_or_default())
    }
}

/// Steps that together take no longer than `length`, but at least one.
pub fn plan(seed: u64, length: Duration, kinds: &[Kind], nodes: u64, order: Order) -> Vec<Step> {
    let mut taken = Duration::ZERO;
    let mut first = true;
    let fits = |step: &Step| {
        taken += step.calm + step.length();
        std::mem::take(&mut first) || taken <= length
    };
    steps(seed, kinds, nodes, order).take_while(fits).collect()
}

/// Steps without an end.
pub fn steps(seed: u64, kinds: &[Kind], nodes: u64, order: Order) -> impl Iterator<Item = Step> + use<'_> {
    let mut random = StdRng::seed_from_u64(seed);
    std::iter::from_fn(move || {
        let mut step = one(&mut random, kinds, nodes, 3_000..6_000)?;
        if (step.choice >> 56).is_multiple_of(LONG_CALMS) {
            step.calm = LONG_CALM;
        }
        if order == Order::Combined && random.random_bool(0.5) {
            let fitting: Vec<Kind> = kinds.iter().copied().filter(|kind| kind.joins(step.kind)).collect();
            step.joined = one(&mut random, &fitting, nodes, 100..2_500).map(Box::new);
        }
        Some(step)
    })
}

fn one(random: &mut StdRng, kinds: &[Kind], nodes: u64, calm_millis: Range<u64>) -> Option<Step> {
    let &kind = kinds.choose(random)?;
    let calm = Duration::from_millis(random.random_range(calm_millis));
    let hold = Duration::from_millis(random.random_range(hold_millis(kind)));
    let target = match random.random_bool(0.6) {
        true => Target::Busiest,
        false => Target::Node(random.random_range(1..=nodes)),
    };
    Some(Step { calm, kind, target, hold, choice: random.random(), joined: None })
}

/// Short enough that many fit into a run, long enough for elections and for what times out after seconds.
fn hold_millis(kind: Kind) -> Range<u64> {
    match kind {
        Kind::Kill | Kind::KillMajority | Kind::LoseUnsynced | Kind::LoseUnsyncedMajority => 300..5_000,
        Kind::KillAll | Kind::LoseUnsyncedAll => 100..3_000,
        Kind::Pause | Kind::PauseMajority => 800..8_000,
        Kind::Isolate | Kind::Halves | Kind::Bridge | Kind::Ring | Kind::Mute | Kind::Deaf => 2_000..9_000,
        Kind::NoClients | Kind::Slow | Kind::Lossy => 3_000..8_000,
        Kind::Restart | Kind::Rolling => 200..1_500,
        Kind::Drain => 1_000..4_000,
        Kind::Transfer | Kind::Replace => 100..1_000,
        Kind::Clock | Kind::FsyncStall => 2_000..8_000,
        Kind::ClockWrong => 65_000..90_000,
        Kind::DiskFull => 4_000..9_000,
        Kind::Resize | Kind::Corrupt => 2_000..6_000,
        Kind::Eio => 200..3_000,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        let minute = Duration::from_secs(60);
        let of = |seed| plan(seed, minute, Kind::value_variants(), 3, Order::Combined);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        let total: Duration = of(7).iter().map(|step| step.calm + step.length()).sum();
        assert!(total <= minute && of(7).len() > 3);
    }

    #[test]
    fn a_short_run_has_one_fault_and_a_run_without_kinds_none() {
        assert_eq!(plan(1, Duration::from_secs(1), &[Kind::Kill], 3, Order::OneByOne).len(), 1);
        assert!(plan(1, Duration::from_secs(60), &[], 3, Order::Combined).is_empty());
    }

    #[test]
    fn a_long_plan_uses_every_kind_and_both_targets() {
        let steps = plan(3, Duration::from_secs(3600), Kind::value_variants(), 5, Order::OneByOne);
        for kind in Kind::value_variants() {
            assert!(steps.iter().any(|step| step.kind == *kind), "{kind:?}");
        }
        assert!(steps.iter().any(|step| step.target == Target::Busiest));
        assert!((1..=5).all(|node| steps.iter().any(|step| step.target == Target::Node(node))));
        assert!(steps.iter().all(|step| step.joined.is_none()));
        assert!(steps.iter().any(|step| step.calm == LONG_CALM));
    }

    #[test]
    fn about_every_other_fault_is_joined_by_one_that_fits() {
        let steps = plan(4, Duration::from_secs(3600), Kind::value_variants(), 5, Order::Combined);
        let pairs: Vec<(Kind, Kind)> =
            steps.iter().filter_map(|step| Some((step.kind, step.joined.as_ref()?.kind))).collect();
        assert!(
            pairs.len() > steps.len() / 3 && pairs.len() < steps.len() * 2 / 3,
            "{} of {}",
            pairs.len(),
            steps.len()
        );
        assert!(pairs.iter().all(|(first, second)| second.joins(*first) && first != &Kind::Corrupt
            || matches!(second, Kind::Clock | Kind::ClockWrong | Kind::NoClients)));
        let newcomers = |step: &Step| step.joined.as_ref().map_or(0, |joined| joined.newcomers());
        assert_eq!(steps.iter().map(newcomers).sum::<u64>(), 0, "no member comes or goes while another one does");
    }
}
