//! The state of every directed pair in proxy mode. Proxies watch it.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// From, to. Node 0 is the clients.
pub type Pair = (u64, u64);

/// What is wrong with a directed pair.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Nothing arrives.
    Cut,
    /// Everything arrives this much later, give or take the jitter.
    Slow { millis: u64, jitter: u64 },
    /// This share of packets is lost; under TCP that is a pause for a retransmission.
    Lossy { percent: u8 },
}

/// Everything that is wrong at a moment.
pub type Troubles = BTreeMap<Pair, Trouble>;

pub struct Links {
    troubles: watch::Sender<Troubles>,
}

impl Links {
    pub fn healthy() -> Self {
        Self { troubles: watch::Sender::new(Troubles::new()) }
    }

    pub fn set(&self, pairs: &[(Pair, Trouble)]) {
        self.troubles.send_modify(|troubles| troubles.extend(pairs.iter().copied()));
    }

    pub fn heal(&self, pairs: &[Pair]) {
        self.troubles.send_modify(|troubles| troubles.retain(|pair, _| !pairs.contains(pair)));
    }

    pub fn watch(&self) -> watch::Receiver<Troubles> {
        self.troubles.subscribe()
    }
}
