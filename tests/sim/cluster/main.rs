//! Whole clusters on turmoil: the server's Raft groups (`src/raft`, these very files) with the real core and the real
//! network code, on simulated connections, disks and clocks; one seed, one process, one thread. See ../README.md.
//!
//! ```text
//!   c1 … ─► front ─► raft::Group ─► openraft ─► storage (here: in memory, crash-aware) ─► statemachine::apply
//!                                     └──► raft::network ─► tonic ─► turmoil's TCP ─► raft::server of the others
//!   faults: links, crashes, disks, clocks        record + invariants/*: what was seen, and what must hold
//! ```
//!
//! A process runs one seed, because much of what makes a run what it is belongs to a process or a thread: seeds of hash
//! maps, of `select!` and of openraft's election timeouts, which all come from the operating system, and its clocks.
//! mad-turmoil answers for the operating system in this process. Several seeds are several processes.

mod client;
mod faults;
mod front;
mod history;
mod invariants;
mod net;
mod node;
#[allow(dead_code, unused_imports, reason = "the server uses more of it than the simulation does")]
#[path = "../../../src/raft/mod.rs"]
mod raft;
mod record;
mod run;
mod settings;
#[allow(dead_code, unused_imports, reason = "it offers src/raft what src/storage does")]
mod storage;
mod workload;

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::PoisonError;

use clap::Parser;
use rand::rngs::StdRng;
use rand::SeedableRng;

#[derive(Parser)]
#[command(about = "Deterministic simulation of whole clusters")]
struct Options {
    /// The first seed.
    #[arg(default_value_t = 1)]
    seed: u64,
    /// So many seeds from there on, each in a process of its own.
    #[arg(long)]
    seeds: Option<u64>,
    /// Seeds at a time; by default as many as there are cores.
    #[arg(long)]
    jobs: Option<usize>,
    /// Runs each seed twice and compares the digests.
    #[arg(long)]
    twice: bool,
    /// Prints all that happens.
    #[arg(long)]
    trace: bool,
    /// Goes on with the next seed after a violation.
    #[arg(long)]
    survey: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match (options.seeds, options.twice) {
        (None, false) => one(options.seed, options.trace),
        (seeds, _) => many(&options, seeds.unwrap_or(1)),
    }
}

/// Runs a seed in this process.
fn one(seed: u64, trace: bool) -> ExitCode {
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let _clocks = mad_turmoil::time::SimClocksGuard::init();
    if !trace {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        run::PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
        told(panic);
    }));
    // A new thread, whose seeds for hash maps and the like come from the seed too.
    let verdict = std::thread::spawn(move || run::run(seed, trace)).join();
    let (told, code) = match verdict {
        Ok(run::Verdict { digest, summary, violation: None }) => {
            (format!("seed {seed} digest {digest:016x} ({summary})"), 0)
        }
        Ok(run::Verdict { violation: Some(violation), summary, .. }) => {
            (format!("seed {seed}: VIOLATION: {violation} ({summary})\nagain: scripts/sim cluster {seed}"), 1)
        }
        Err(_) => {
            let panics = std::mem::take(&mut *run::PANICS.lock().unwrap_or_else(PoisonError::into_inner));
            (format!("seed {seed}: VIOLATION: no_fault: {panics:?}\nagain: scripts/sim cluster {seed}"), 1)
        }
    };
    println!("{told}");
    ExitCode::from(code)
}

/// Runs seeds in processes of their own, several at a time.
fn many(options: &Options, seeds: u64) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, wrong) = (AtomicU64::new(options.seed), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seed.saturating_add(seeds) {
                        return;
                    }
                    let (said, fine) = child(seed, options.twice);
                    print!("{said}");
                    if !fine {
                        wrong.fetch_add(1, Ordering::Relaxed);
                        stop.fetch_or(!options.survey, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    println!("{wrong} violations");
    ExitCode::from(u8::from(wrong > 0))
}

/// What a process says of a seed, and whether all is fine.
fn child(seed: u64, twice: bool) -> (String, bool) {
    let run = || {
        let program = std::env::current_exe()?;
        let output = Command::new(program).arg(seed.to_string()).output()?;
        Ok::<_, std::io::Error>((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
    };
    let again = if twice { Some(run()) } else { None };
    match (run(), again) {
        (Ok((said, fine)), None) => (said, fine),
        (Ok((said, fine)), Some(Ok((second, _)))) if said == second => (said, fine),
        (Ok((said, _)), Some(Ok((second, _)))) => {
            (format!("{said}{second}seed {seed}: VIOLATION: the second run was another one\n"), false)
        }
        (Err(error), _) | (_, Some(Err(error))) => (format!("seed {seed}: {error}\n"), false),
    }
}
