//! Who polled a queue lately, for DescribeTaskQueue.

use std::collections::HashMap;

use statemachine::op;

use super::types::span;

/// Pollers remembered per queue; beyond this the one seen longest ago goes.
const MOST: usize = 1000;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sighting {
    pub(super) last_access: i64,
    pub(super) rate: f64,
    pub(super) poller: op::Poller,
}

#[derive(Debug, Default)]
pub(super) struct Sightings {
    by_identity: HashMap<String, Sighting>,
}

impl Sightings {
    pub(super) fn saw(&mut self, now: i64, poller: &op::Poller, rate: Option<f64>) {
        if let Some(seen) = self.by_identity.get_mut(&poller.identity) {
            seen.last_access = now;
            seen.rate = rate.unwrap_or(seen.rate);
            if seen.poller.version != poller.version || seen.poller.deployment != poller.deployment {
                seen.poller = poller.clone();
            }
            return;
        }
        if self.by_identity.len() >= MOST {
            self.drop_oldest();
        }
        let sighting = Sighting { last_access: now, rate: rate.unwrap_or(0.0), poller: poller.clone() };
        self.by_identity.insert(poller.identity.clone(), sighting);
    }

    pub(super) fn all(&self, now: i64) -> Vec<Sighting> {
        let mut all: Vec<Sighting> =
            self.by_identity.values().filter(|seen| seen.last_access + span::SIGHTING > now).cloned().collect();
        all.sort_by(|a, b| a.poller.identity.cmp(&b.poller.identity));
        all
    }

    pub(super) fn prune(&mut self, now: i64) {
        self.by_identity.retain(|_, seen| seen.last_access + span::SIGHTING > now);
    }

    fn drop_oldest(&mut self) {
        let oldest = self.by_identity.iter().min_by_key(|(_, seen)| seen.last_access).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.by_identity.remove(&key);
        }
    }
}
