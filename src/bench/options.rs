//! What can be asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use super::load::Load;
use super::scenario::Scenario;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) what: Option<What>,
    #[command(flatten)]
    pub(super) options: Options,
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum What {
    /// Commit bare proposals through the Raft and storage stack of this program, without API, matching and workers.
    Raft(RaftOptions),
}

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Servers; clients and workers are spread over them. Repeatable, or separated by commas.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:7233")]
    pub address: Vec<String>,
    /// An existing namespace.
    #[arg(long, default_value = "default")]
    pub namespace: String,
    /// What a workflow does.
    #[arg(long, value_enum, default_value = "activities")]
    pub scenario: Scenario,
    /// How many activities, timers, signals, updates, children or markers a workflow has; 0 completes at once.
    #[arg(long, default_value_t = 1)]
    pub steps: usize,
    /// Closed loop: workflows under way at a time. Several, separated by commas, are measured one after the other.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "64")]
    pub in_flight: Vec<usize>,
    /// Open loop instead: starts a second, at fixed times; latency counts from when a start was due. Several: commas.
    #[arg(long, value_name = "PER-SECOND", value_delimiter = ',')]
    pub rate: Vec<f64>,
    /// One measurement.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,
    /// Load before the first measurement.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub warm_up: Duration,
    /// Measurements of each load; medians are reported.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub runs: usize,
    /// Polls that wait for workflow tasks.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub workflow_pollers: usize,
    /// Polls that wait for activity tasks.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub activity_pollers: usize,
    /// Workflows and polls are spread over so many task queues.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub task_queues: usize,
    /// HTTP/2 connections to each address, for starting workflows and as many for working on them.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub connections: usize,
    /// Bytes of each input, result and signal.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub payload: usize,
    /// Open so many workflows that wait for ever, before anything is measured.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub idle: usize,
    /// Start so many workflows before there are workers. They end while the load is measured, and count.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub backlog: usize,
    /// Where the servers serve Prometheus metrics, for fsyncs of the log (Everstep only). Repeatable, or commas.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// Server processes on this machine, for CPU, memory and writes. Repeatable, or separated by commas.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// Data directories of the servers, for bytes on disk. Repeatable, or separated by commas.
    #[arg(long, value_name = "DIR", value_delimiter = ',')]
    pub data_dir: Vec<PathBuf>,
    /// Names this run in the reports.
    #[arg(long, default_value = "")]
    pub label: String,
    /// Write everything measured, for programs.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report with plots, one file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(super) struct RaftOptions {
    /// Nodes, all within this process.
    #[arg(long, default_value_t = 1)]
    pub nodes: u64,
    /// Data shards.
    #[arg(long, default_value_t = 3)]
    pub shards: u32,
    /// Proposals under way at a time. Several, separated by commas, are measured one after the other.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,64,512")]
    pub in_flight: Vec<usize>,
    /// Bytes that each proposal carries.
    #[arg(long, value_name = "BYTES", default_value_t = 300)]
    pub size: usize,
    /// One measurement.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub duration: Duration,
    /// Where the nodes keep their data, which is removed afterwards; the disk it is on is what is measured.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
}

impl Options {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.runs > 0, "--runs: at least one");
        ensure!(self.connections > 0, "--connections: at least one");
        ensure!(self.workflow_pollers > 0 && self.activity_pollers > 0, "pollers: at least one of each kind");
        let pollers = self.workflow_pollers.min(self.activity_pollers);
        ensure!((1..=pollers).contains(&self.task_queues), "--task-queues: at least one, and pollers for each");
        ensure!(self.in_flight.iter().all(|&count| count > 0), "--in-flight: at least one");
        ensure!(self.rate.iter().all(|&rate| rate > 0.0 && rate <= 1e6), "--rate: more than 0, at most 1000000");
        Ok(())
    }

    pub(super) fn loads(&self) -> Vec<Load> {
        match self.rate.is_empty() {
            true => self.in_flight.iter().map(|&count| Load::Closed(count)).collect(),
            false => self.rate.iter().map(|&rate| Load::Open(rate)).collect(),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let seconds: f64 = number.parse().map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
