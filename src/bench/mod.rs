//! `everstep bench`: a load generator that is client and workers at once, over plain gRPC, against any server that speaks
//! Temporal's API.
//!
//! ```text
//!   load ── StartWorkflowExecution ──► server ──► worker (pollers, as `scenario` decides) ── last answer ──► recorder
//!    ▲ closed loop: the next start when one has ended                                                      │
//!    └ open loop: starts at fixed times, latency counts from when a start was due ◄────────────────────────┘
//! ```
//!
//! A workflow has ended when the server has acknowledged the completion of its last workflow task. It knows nothing of
//! the server but the API, and of its cost what /proc tells of the given pids.

mod connect;
mod histogram;
mod html;
mod load;
pub mod options;
mod process;
mod raft;
mod recorder;
mod report;
mod scenario;
mod updates;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use options::Options;
use recorder::Recorder;
use report::{Level, Report, Window};

pub use options::Args;

/// Runs what the command line asks for and prints the results.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        Some(options::What::Raft(options)) => raft::run(options).await,
        None => workflows(args.options).await,
    }
}

async fn workflows(options: Options) -> anyhow::Result<()> {
    options.check()?;
    let clients = connect::Clients::connect(&options).await?;
    connect::wait_for_namespace(&clients.starters[0], &options.namespace).await?;
    let mut report = Report::new(&options);
    for load in options.loads() {
        let recorder = Arc::new(Recorder::new());
        let stop = CancellationToken::new();
        let queue = format!("bench-{}", uuid::Uuid::new_v4().simple());
        let bench = Arc::new(load::Bench::new(options.clone(), queue, &clients, recorder.clone()));
        if options.backlog > 0 {
            let begun = Instant::now();
            let started = load::fill(&bench, scenario::WORKFLOW, options.backlog).await;
            println!(
                "{:>14} | {started} workflows wait, {:.0} started/s",
                "backlog",
                started as f64 / begun.elapsed().as_secs_f64()
            );
        }
        let workers = worker::start(&bench, &stop);
        if options.idle > 0 {
            let begun = Instant::now();
            let started = load::fill(&bench, scenario::IDLE, options.idle).await;
            let rate = started as f64 / begun.elapsed().as_secs_f64();
            let at_rest = bench.until_at_rest(started).await;
            println!("{:>14} | {started} workflows are open, {rate:.0} started/s, {at_rest} at rest", "idle");
        }
        let starts = load::start(&bench, load, &stop);
        report::progress(&recorder, "warm-up", load, options.warm_up).await;
        let mut windows = Vec::new();
        for number in 1..=options.runs {
            let before = process::Usage::of(&options)?;
            recorder.take();
            report::progress(&recorder, &format!("run {number}/{}", options.runs), load, options.duration).await;
            let counts = recorder.take();
            windows.push(Window { counts, usage: process::Usage::of(&options)?.since(&before) });
        }
        stop.cancel();
        starts.await.context("the load generator ended badly")?;
        workers.await.context("the workers ended badly")?;
        let level = Level { load, windows };
        println!("{}", report.line(&level));
        report.levels.push(level);
    }
    report.finish(&options)
}
