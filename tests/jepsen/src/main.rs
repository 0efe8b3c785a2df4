//! `jep`: runs a cluster of real Everstep processes, breaks it, and checks what clients saw (README.md, semantics.md).
//!
//! ```text
//!   options ─► run ─► cluster (processes, net, disk) ◄── nemesis (plan from a seed)
//!                └──► workload + worker ──► history ──► observe (after the heal) ──► checker ──► report
//! ```

mod checker;
mod client;
mod cluster;
mod disk;
mod history;
mod nemesis;
mod net;
mod observe;
mod options;
mod report;
mod run;
mod shards;
mod verdict;
mod worker;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use options::{Command, Options};

/// The harness failed before there was anything to say about Everstep.
const HARNESS: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    match go(options) {
        Ok(code) => code,
        Err(error) if error.is::<cluster::Stuck>() => {
            eprintln!("VIOLATION: {error:#}");
            verdict::Verdict::Violation.exit_code()
        }
        Err(error) => {
            eprintln!("harness failure: {error:#}");
            ExitCode::from(HARNESS)
        }
    }
}

fn go(options: Options) -> anyhow::Result<ExitCode> {
    match options.command {
        Command::Run(run) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let verdict = runtime.block_on(run::run(&run))?;
            Ok(verdict.exit_code())
        }
        Command::Check { folder } => Ok(run::check_again(&folder)?.exit_code()),
        Command::Plan(run) => {
            let print = |indent, step: &nemesis::plan::Step| {
                println!("{indent}after {:?}: {:?} of {:?} for {:?}", step.calm, step.kind, step.target, step.hold);
            };
            for step in run.steps() {
                print("", &step);
                step.joined.iter().for_each(|joined| print("  ", joined));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
