//! `everstep chaos`: faults on a running cluster under a load of its own, and what the clients saw of them.
//!
//! ```text
//!   load ── start, signal 1..n ──► any node's API ◄── worker (raw gRPC)     each call: until it is answered
//!   schedule (seed) ─► cluster: kill -9, SIGSTOP, SIGTERM by pid │ transfer, drain, cut off by the admin API
//!   verify ── histories of every node ──► lost? doubled? different?
//!   journal ─► report: calls, failures, unknown outcomes, the longest pause, for each fault
//! ```
//!
//! The load is also that of `tests/cluster`. It knows nothing of the server but its API and the operators' service, and
//! it never sends a signal to a process that is not a node.

mod calls;
mod cluster;
mod journal;
mod load;
mod report;
mod schedule;
mod verify;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use cluster::Cluster;
use report::{End, Happened, Report, Verdict};
use schedule::{Faults, Schedule, BETWEEN};

pub use calls::Site;
pub use journal::Journal;
pub use load::{Load, Record};
pub use verify::{all as verify, Violation};
pub use worker::Worker;

/// The load runs undisturbed for so long before the first fault and after the last.
const QUIET: Duration = Duration::from_secs(2);
const TRY: Duration = Duration::from_secs(3);
/// Exit codes besides 0.
const VIOLATION: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

/// Inflict faults on a cluster under load, and tell what its clients saw.
///
/// Exit code 0: nothing was lost, doubled or refused. 1: something was, or the cluster did not become whole again. 2: it
/// could not run, or a fault could not be inflicted. Ctrl-C ends the fault of that moment and tells what was seen.
#[derive(clap::Args)]
pub struct Args {
    /// Peer ports of nodes (host:port); the first that answers names the others. Repeatable, or separated by commas.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:7234")]
    address: Vec<String>,
    /// Which faults.
    #[arg(long, value_enum, default_value = "mix")]
    schedule: Schedule,
    /// How long to go on with faults.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The same seed gives the same faults. Default: made up and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that work at the same time, each on one workflow after the other.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// Namespace of the load; it must exist.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// When `stop` is cancelled the fault of that moment is ended, and what happened until then is told.
pub async fn run(args: Args, stop: CancellationToken) -> ExitCode {
    match torment(&args, &stop).await {
        Ok(report) => {
            match args.json {
                true => println!("{:#}", report.json()),
                false => print!("{}", report.text()),
            }
            match report.verdict() {
                Verdict::Pass => ExitCode::SUCCESS,
                Verdict::Violation => ExitCode::from(VIOLATION),
                Verdict::Incomplete => ExitCode::from(COULD_NOT_RUN),
            }
        }
        Err(error) => {
            eprintln!("everstep chaos: {error:#}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

async fn torment(args: &Args, stop: &CancellationToken) -> anyhow::Result<Report> {
    let seed = args.seed.unwrap_or_else(|| rand::random_range(1..1_000_000));
    let mut cluster = Cluster::find(&args.address).await?;
    cluster.whole().await.context("before the first fault")?;
    let faults = args.schedule.faults(seed, cluster.means()).map_err(anyhow::Error::msg)?;
    let site = Arc::new(Site {
        addresses: cluster.apis().into_values().collect(),
        namespace: args.namespace.clone(),
        queue: format!("chaos-{}", uuid::Uuid::new_v4().simple()),
        try_for: TRY,
    });
    let journal = Arc::new(Journal::default());
    let worker = Worker::start(&site, &journal)?;
    let load = Load::start(&site, usize::from(args.clients), &journal)?;
    let began = Instant::now();
    let (happened, end) = inflict(&mut cluster, faults, args, seed, began, stop).await;
    tokio::time::sleep(QUIET).await;
    let records = load.stop().await;
    let ended = Instant::now();
    let full = journal.is_full();
    ensure!(!full, "too many calls to remember: run for less time");
    let violations = verify::all(&records, &site, &cluster.apis()).await?;
    worker.stop();
    let entries = journal.take();
    ensure!(!entries.is_empty(), "nothing happened: no call was answered");
    Ok(Report {
        schedule: clap::ValueEnum::to_possible_value(&args.schedule)
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default(),
        seed,
        nodes: cluster.nodes.len(),
        began,
        ended,
        workflows: records.len(),
        faults: happened,
        end,
        entries,
        violations,
    })
}

async fn inflict(
    cluster: &mut Cluster,
    faults: Faults,
    args: &Args,
    seed: u64,
    began: Instant,
    stop: &CancellationToken,
) -> (Vec<Happened>, End) {
    let mut random = StdRng::seed_from_u64(!seed);
    let mut happened = Vec::new();
    tokio::time::sleep(QUIET).await;
    for fault in faults {
        if stop.is_cancelled() {
            return (happened, End::Interrupted);
        }
        let from = Instant::now();
        let what = match cluster.inflict(fault, random.random(), stop).await {
            Ok(what) => what,
            Err(error) => return (happened, End::NotInflicted(format!("{error:#}"))),
        };
        // A process that was told to end takes a moment to do so.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let whole = cluster.whole().await;
        if !args.json {
            eprintln!("{:>6.1} s  {what}", (from - began).as_secs_f64());
        }
        happened.push(Happened { what, from, to: Instant::now() });
        if let Err(error) = whole {
            return (happened, End::NotWhole(format!("{error:#}")));
        }
        tokio::select! {
            () = tokio::time::sleep(BETWEEN) => {}
            () = stop.cancelled() => {}
        }
        if began.elapsed() >= Duration::from_secs(args.seconds) {
            break;
        }
    }
    (happened, End::Done)
}
