//! What clients do during a run. Each workload is a file here and has its checker in `checker`.
//!
//! A session is one process of the history: it makes one call after the other, through its own node first and through
//! the next after an unknown outcome, the same request again, as an SDK does.

mod accounts;
mod chains;
mod children;
mod register;
pub mod sdk;
mod session;
mod signals;
mod steps;
mod timers;
mod updates;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::ValueEnum;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{self, Client};
use crate::cluster::Cluster;
use crate::history::Recorder;
use crate::shards::Shards;

pub use chains::CONTINUED;
pub use session::Session;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// Signals and reads on every shard through every node (b, d, j).
    Signals,
    /// Start, describe and terminate on few workflow ids (a).
    Register,
    /// Activities, answered twice, late or never (c, h, i, l).
    Steps,
    /// Timers (e).
    Timers,
    /// Updates (f).
    Updates,
    /// Transfers between accounts by signals from workflow to workflow (k, n).
    Accounts,
    /// Child workflows (k).
    Children,
    /// Runs that continue as new (i).
    Chains,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Register => "register",
            Self::Steps => "steps",
            Self::Timers => "timers",
            Self::Updates => "updates",
            Self::Accounts => "accounts",
            Self::Children => "children",
            Self::Chains => "chains",
        }
    }

    pub fn start(self, context: &Arc<Context>, clients: &mut JoinSet<()>) {
        match self {
            Self::Signals => signals::start(context, clients),
            Self::Register => register::start(context, clients),
            Self::Steps => steps::start(context, clients),
            Self::Timers => timers::start(context, clients),
            Self::Updates => updates::start(context, clients),
            Self::Accounts => accounts::start(context, clients),
            Self::Children => children::start(context, clients),
            Self::Chains => chains::start(context, clients),
        }
    }
}

/// A run that is to be read after the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    pub workload: &'static str,
    pub key: String,
    pub run_id: String,
}

/// What all clients of a run share.
pub struct Context {
    pub cluster: Arc<Cluster>,
    pub recorder: Arc<Recorder>,
    /// The first members: every session has one of them as its own.
    pub nodes: Vec<u64>,
    pub shards: Shards,
    pub stop: CancellationToken,
    pub seed: u64,
    /// Multiplies the pauses between operations.
    pub pace: f64,
    next_process: AtomicU32,
    known: Mutex<Vec<Known>>,
}

impl Context {
    pub fn new(cluster: Arc<Cluster>, recorder: Arc<Recorder>, shards: Shards, seed: u64, pace: f64) -> Arc<Self> {
        Arc::new(Self {
            nodes: cluster.ids(),
            cluster,
            recorder,
            shards,
            stop: CancellationToken::new(),
            seed,
            pace,
            next_process: AtomicU32::new(100),
            known: Mutex::default(),
        })
    }

    /// A client of each node, there or not.
    pub fn clients(&self, deadline: Duration) -> Vec<(u64, Client)> {
        self.cluster
            .everybody()
            .into_iter()
            .map(|node| (node, client::connect(&self.cluster, node, deadline)))
            .collect()
    }

    /// A client of each member.
    pub fn members(&self, deadline: Duration) -> Vec<(u64, Client)> {
        let clients = self.clients(deadline);
        let members = self.cluster.ids();
        clients.into_iter().filter(|(node, _)| members.contains(node)).collect()
    }

    /// Processes below 100 are workers.
    pub fn worker_process(&self, node: u64) -> u32 {
        u32::try_from(node).unwrap_or_default()
    }

    pub fn new_process(&self) -> u32 {
        self.next_process.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers a run to be read after the end.
    pub fn remember(&self, workload: &'static str, key: &str, run_id: &str) {
        let known = Known { workload, key: key.into(), run_id: run_id.into() };
        self.known.lock().expect("no panic while held").push(known);
    }

    pub fn known(&self) -> Vec<Known> {
        let mut known = self.known.lock().expect("no panic while held").clone();
        known.sort();
        known.dedup();
        known
    }

    /// Waits so long at the run's pace; false if the run ends meanwhile.
    pub async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(self.pace)) => true,
            () = self.stop.cancelled() => false,
        }
    }
}
