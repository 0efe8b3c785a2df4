//! `sim`: runs seeds, one after the other; the first violation is cut down and printed. See README.md.

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

#[expect(clippy::disallowed_methods, reason = "how long it took is told to people, and nothing depends on it")]
fn main() -> std::process::ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let mut total = Total::default();
    let out_of_time = |started: Instant| options.seconds.is_some_and(|limit| started.elapsed() >= Duration::from_secs(limit));
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        let trial = Trial::of_seed(seed, options.steps);
        if !options.keep_whole {
            std::panic::set_hook(Box::new(|_| {})); // A panic is a violation like others, and told of below.
        }
        if let Err(text) = one(&trial, &options, &mut total) {
            println!("{text}");
            total.print(started.elapsed());
            return std::process::ExitCode::from(1);
        }
        if out_of_time(started) {
            break;
        }
    }
    total.print(started.elapsed());
    std::process::ExitCode::from(u8::from(total.violations > 0))
}

#[derive(Default)]
struct Total {
    seeds: u64,
    ops: u64,
    violations: u64,
    kinds: std::collections::BTreeMap<String, (u64, u64)>,
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

fn one(trial: &Trial, options: &Options, total: &mut Total) -> Result<(), String> {
    let verdict = if options.trace { trial.run_traced() } else { trial.run() };
    for line in &verdict.trace {
        println!("{line}");
    }
    total.seeds += 1;
    total.ops += verdict.ops;
    for (kind, counts) in &verdict.kinds {
        let sum = total.kinds.entry(kind.clone()).or_default();
        *sum = (sum.0 + counts.0, sum.1 + counts.1);
    }
    let violation = match verdict.result {
        Ok(digest) => {
            println!("seed {} digest {digest:016x} ({} ops)", trial.seed, verdict.ops);
            if options.twice && trial.run().result.ok() != Some(digest) {
                return Err(format!("seed {}: the second run came to another digest", trial.seed));
            }
            return Ok(());
        }
        Err(violation) => violation,
    };
    println!("seed {}: VIOLATION after {} of {} steps: {violation}", trial.seed, verdict.steps, trial.steps.len());
    total.violations += 1;
    if options.survey {
        return Ok(());
    }
    if options.keep_whole {
        return Err(format!("again: scripts/sim {} --steps {}", trial.seed, trial.steps.len()));
    }
    let (short, violation) = shrink::shrink(trial, &violation);
    let mut text = format!("the shortest list found, {} steps:\n", short.steps.len());
    for line in short.run_traced().trace {
        text += &format!("  {line}\n");
    }
    Err(format!("{text}{violation}\nagain: scripts/sim {} --steps {}", trial.seed, trial.steps.len()))
}
