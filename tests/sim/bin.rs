//! `sim`: runs seeds, several at a time; the first violation is cut down and printed. See README.md.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use sim::{shrink, Trial};

#[derive(Parser)]
#[command(about = "Deterministic simulation of the core")]
struct Options {
    /// The first seed.
    #[arg(default_value_t = 1)]
    seed: u64,
    /// So many seeds from there on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Stops after so many seconds, at the end of a seed.
    #[arg(long)]
    seconds: Option<u64>,
    /// Steps of each seed.
    #[arg(long, default_value_t = 20_000)]
    steps: usize,
    /// Seeds at a time; by default as many as there are cores.
    #[arg(long)]
    jobs: Option<usize>,
    /// Runs each seed twice and compares the digests.
    #[arg(long)]
    twice: bool,
    /// Prints all that happens.
    #[arg(long)]
    trace: bool,
    /// Goes on with the next seed after a violation, which is told in one line.
    #[arg(long)]
    survey: bool,
    /// Prints a violation as it was met, without looking for a shorter list of steps.
    #[arg(long)]
    keep_whole: bool,
}

#[derive(Default)]
struct Total {
    seeds: u64,
    ops: u64,
    violations: u64,
    kinds: BTreeMap<String, (u64, u64)>,
}

impl Total {
    fn print(&self, took: Duration) {
        for (kind, (applied, refused)) in &self.kinds {
            println!("{kind:<24} {applied:>10} applied, {refused:>9} refused");
        }
        let rate = self.ops as f64 / took.as_secs_f64() * 60.0;
        let (seeds, ops, seconds) = (self.seeds, self.ops, took.as_secs_f64());
        println!("{seeds} seeds, {ops} ops in {seconds:.1} s: {rate:.0} ops a minute, {} violations", self.violations);
    }
}

/// What the threads share.
struct Run {
    options: Options,
    next: AtomicU64,
    stop: AtomicBool,
    total: Mutex<Total>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(cores).max(1);
    if !options.keep_whole {
        std::panic::set_hook(Box::new(|_| {})); // A panic is a violation like others, and told of as one.
    }
    let run =
        Run { next: AtomicU64::new(options.seed), stop: AtomicBool::new(false), total: Mutex::default(), options };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| run.work(started));
        }
    });
    let total = run.total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.print(started.elapsed());
    ExitCode::from(u8::from(total.violations > 0))
}

impl Run {
    /// Takes seed after seed until all are done, the time is over or something is wrong.
    fn work(&self, started: Instant) {
        let options = &self.options;
        let end = options.seed.saturating_add(options.seeds);
        let limit = options.seconds.map(Duration::from_secs);
        while !self.stop.load(Ordering::Relaxed) && limit.is_none_or(|limit| started.elapsed() < limit) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            self.one(&Trial::of_seed(seed, options.steps));
        }
    }

    fn one(&self, trial: &Trial) {
        let options = &self.options;
        let verdict = if options.trace { trial.run_traced() } else { trial.run() };
        let twice = || !options.twice || trial.run().result.ok() == verdict.result.as_ref().ok().copied();
        let (seed, steps) = (trial.seed, trial.steps.len());
        let (said, violation, wrong) = match &verdict.result {
            Ok(digest) if twice() => (format!("seed {seed} digest {digest:016x} ({} ops)", verdict.ops), None, false),
            Ok(_) => (format!("seed {seed}: VIOLATION: the second run came to another digest"), None, true),
            Err(violation) => {
                let told = format!("seed {seed}: VIOLATION after {} of {steps} steps: {violation}", verdict.steps);
                (told, Some(violation), true)
            }
        };
        let mut text = verdict.trace.iter().chain([&said]).map(String::as_str).collect::<Vec<_>>().join("\n");
        if wrong && !options.survey {
            self.stop.store(true, Ordering::Relaxed);
        }
        if let Some(violation) = violation.filter(|_| !options.survey && !options.keep_whole) {
            let (short, violation) = shrink::shrink(trial, violation);
            text += &format!("\nthe shortest list found, {} steps:\n", short.steps.len());
            for line in short.run_traced().trace {
                text += &format!("  {line}\n");
            }
            text += &format!("{violation}\nagain: scripts/sim {seed} --steps {steps}");
        }
        println!("{text}");
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        total.seeds += 1;
        total.ops += verdict.ops;
        total.violations += u64::from(wrong);
        for (kind, counts) in &verdict.kinds {
            let sum = total.kinds.entry(kind.clone()).or_default();
            *sum = (sum.0 + counts.0, sum.1 + counts.1);
        }
    }
}
