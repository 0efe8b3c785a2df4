//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::nemesis::plan::{self, Order, Step};
use crate::nemesis::Kind;
use crate::workload::sdk::Language;
use crate::workload::Workload;

/// Runs Everstep clusters under faults and checks what clients saw. Ends with 0: pass, 1: violation, 2: the run shows
/// nothing because the harness failed.
#[derive(Parser)]
#[command(name = "jep")]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// One run: a cluster, clients, faults, checkers, a report.
    Run(Box<Run>),
    /// Runs the checkers again on the files of a run.
    Check { folder: PathBuf },
    /// Prints the faults that a run with these options would make.
    Plan(Box<Run>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NetMode {
    /// TCP proxies of the harness; needs no root.
    Proxy,
    /// A network namespace for each node, nftables; needs root, and cannot delay.
    Netns,
}

#[derive(Args, Clone)]
pub struct Run {
    /// The program under test.
    #[arg(long, value_name = "PATH", default_value = "target/debug/everstep")]
    pub everstep: PathBuf,
    /// What clients do.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
        Workload::Signals, Workload::Register, Workload::Steps, Workload::Timers, Workload::Updates,
        Workload::Accounts, Workload::Children, Workload::Chains])]
    pub workload: Vec<Workload>,
    /// Kinds of faults to choose from; `none` for none.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Kill, Kind::Pause, Kind::Isolate])]
    pub nemesis: Vec<Kind>,
    /// No faults at all.
    #[arg(long, conflicts_with = "nemesis")]
    pub calm: bool,
    /// While every other fault holds, one of another kind is made as well, where they can be taken back one by one.
    #[arg(long)]
    pub combine: bool,
    /// Seconds of load.
    #[arg(long, default_value_t = 60)]
    pub time: u64,
    /// So many faults, however long that takes, and `--time` at least.
    #[arg(long, value_name = "NUMBER")]
    pub faults: Option<usize>,
    /// What is chosen at random is chosen by this.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    pub nodes: u64,
    #[arg(long, value_enum, default_value_t = NetMode::Proxy)]
    pub net: NetMode,
    /// Multiplies the pauses between the clients' operations.
    #[arg(long, default_value_t = 1.0)]
    pub pace: f64,
    /// Cut logs and make snapshots after little, so that followers that were away need snapshots.
    #[arg(long)]
    pub small_logs: bool,
    /// A Python that has the Temporal SDK: real workers and clients are under load as well, one process for each node.
    #[arg(long, value_name = "PYTHON")]
    pub sdk: Option<PathBuf>,
    /// The program built from `tests/jepsen/sdk/go`: the same with the SDK for Go, besides `--sdk` or without it.
    #[arg(long, value_name = "PROGRAM")]
    pub sdk_go: Option<PathBuf>,
    /// They connect through a balancer, which passes a connection on to any node that takes it; else each to its node.
    #[arg(long)]
    pub balanced: bool,
    /// Where the run's files go; a folder of its own is made in it.
    #[arg(long, value_name = "DIR", default_value = "jepsen-runs")]
    pub out: PathBuf,
    /// Keep the nodes' data after a pass, too.
    #[arg(long)]
    pub keep: bool,
}

impl Run {
    /// The faults, in order.
    pub fn steps(&self) -> Vec<Step> {
        let kinds = self.kinds();
        let order = if self.combine { Order::Combined } else { Order::OneByOne };
        match self.faults {
            Some(number) => plan::steps(self.seed, &kinds, self.nodes, order).take(number).collect(),
            None => plan::plan(self.seed, Duration::from_secs(self.time), &kinds, self.nodes, order),
        }
    }

    /// The SDKs whose workers are under load, with what runs them.
    pub fn sdks(&self) -> Vec<(Language, &Path)> {
        let python = self.sdk.as_deref().map(|python| (Language::Python, python));
        let go = self.sdk_go.as_deref().map(|program| (Language::Go, program));
        python.into_iter().chain(go).collect()
    }

    pub fn kinds(&self) -> Vec<Kind> {
        if self.calm {
            Vec::new()
        } else {
            self.nemesis.clone()
        }
    }
}
