//! One run from the start of the cluster to the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{ensure, Context as _};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::checker::{self, Outages};
use crate::cluster::{self, Cluster};
use crate::disk;
use crate::history::{self, History, Recorder};
use crate::nemesis::plan::Step;
use crate::nemesis::{self, Broken, Fault, Kind};
use crate::observe;
use crate::options::{NetMode, Run};
use crate::report::stats::{self, Counts, Writes};
use crate::report::{self, others, Leaders, Struck, Summary};
use crate::shards::Shards;
use crate::verdict::{Checked, Verdict, Violation};
use crate::worker::Workers;
use crate::workload::sdk::{self, Sdk};
use crate::workload::{Context, Workload};

/// After the load: what clients are at is finished or given up.
const FINISH: Duration = Duration::from_secs(60);
const SAMPLE: Duration = Duration::from_millis(250);

/// What the load and the faults left behind.
struct Outcome {
    history: History,
    faults: Vec<Fault>,
    leaders: Vec<Leaders>,
    shards: Shards,
    broken: Option<Broken>,
    /// Nanoseconds since the epoch when the run's clock was 0.
    epoch: i64,
    seconds: f64,
}

impl Outcome {
    fn outages(&self) -> Outages {
        let excuse = |fault: &Fault| (self.epoch + fault.begin as i64, self.epoch + fault.whole.max(fault.end) as i64);
        self.faults.iter().map(excuse).collect()
    }

    /// Writes what was read, for `jep check`: before the checkers, which may take long.
    fn keep(&mut self, folder: &Path) -> anyhow::Result<()> {
        let outages = serde_json::json!(self.outages());
        self.history.finals.insert("outages".into(), outages);
        history::write_lines(&folder.join("runs.jsonl"), &self.history.runs)?;
        Ok(fs_err::write(folder.join("finals.json"), serde_json::to_string(&self.history.finals)?)?)
    }
}

pub async fn run(options: &Run) -> anyhow::Result<Verdict> {
    let folder = folder(options)?;
    let cluster = Cluster::start(plan_of(options, &folder)?).await?;
    println!("{} nodes are up; files in {}", options.nodes, folder.display());
    let outcome = load(options, &cluster, &folder).await;
    let mut wrong = cluster.complaints();
    let ended = |(node, how): (u64, String)| (node, format!("it ended by itself: {how}"));
    wrong.extend(cluster.unexpected_ends().await.into_iter().map(ended));
    let log_lines = cluster.bad_log_lines();
    cluster.stop().await;
    let mut outcome = outcome?;
    outcome.keep(&folder)?;
    let (summary, history, leaders) = judge(options, outcome, wrong, log_lines);
    report::write(&folder, &summary, &history.ops, &leaders)?;
    tell(&summary, &folder);
    if summary.verdict == Verdict::Pass && !options.keep {
        for node in cluster.everybody() {
            fs_err::remove_dir_all(folder.join(format!("node-{node}/data"))).ok();
        }
    }
    Ok(summary.verdict)
}

fn folder(options: &Run) -> anyhow::Result<PathBuf> {
    let name = format!("seed-{}-{}", options.seed, uuid::Uuid::new_v4().simple());
    let folder = std::path::absolute(&options.out)?.join(&name[..name.len() - 24]);
    fs_err::create_dir_all(&folder)?;
    Ok(folder)
}

fn plan_of(options: &Run, folder: &Path) -> anyhow::Result<cluster::Plan> {
    let everstep = std::path::absolute(&options.everstep)?;
    ensure!(everstep.is_file(), "there is no program {}", everstep.display());
    let kinds = options.kinds();
    let clocks = kinds.contains(&Kind::Clock) || kinds.contains(&Kind::ClockWrong);
    let steps = options.steps();
    let spares = steps.iter().map(Step::newcomers).sum::<u64>();
    let around = options.net == NetMode::Proxy && kinds.iter().any(|kind| kind.is_of_network());
    ensure!(spares == 0 || !around, "nodes that join are not behind proxies: with faults of the network, --net netns");
    ensure!(
        spares == 0 || options.sdks().is_empty() || options.balanced,
        "an SDK worker has one node: with faults that replace nodes --sdk and --sdk-go need --balanced"
    );
    ensure!(!options.balanced || !options.sdks().is_empty(), "--balanced is for workers of --sdk or --sdk-go");
    let delays = kinds.contains(&Kind::Slow) && options.net == NetMode::Netns;
    ensure!(!delays, "slow needs --net proxy: this kernel cannot delay packets");
    Ok(cluster::Plan {
        everstep,
        folder: folder.to_owned(),
        nodes: options.nodes,
        spares,
        netns: options.net == NetMode::Netns,
        clocks,
        disk: if kinds.iter().any(|kind| kind.is_of_disk()) { disk::Kind::Volume } else { disk::Kind::Folder },
        small_logs: options.small_logs,
    })
}

async fn load(options: &Run, cluster: &Arc<Cluster>, folder: &Path) -> anyhow::Result<Outcome> {
    let shards = Shards::of(cluster).await?;
    let recorder = Recorder::create(folder)?;
    let epoch = now() - i64::try_from(recorder.now()).unwrap_or_default();
    let context = Context::new(cluster.clone(), recorder.clone(), shards.clone(), options.seed, options.pace);
    let workers = Workers::start(&context);
    let mut sdks = Vec::new();
    for (language, program) in options.sdks() {
        sdks.push(Sdk::start(&context, language, program, options.balanced, folder).await?);
    }
    let mut clients = JoinSet::new();
    options.workload.iter().for_each(|workload| workload.start(&context, &mut clients));
    let stop = CancellationToken::new();
    let sampling = tokio::spawn(sample(cluster.clone(), recorder.clone(), stop.clone()));

    let steps = options.steps();
    let length = Duration::from_secs(options.time);
    let (load, (faults, mut broken)) =
        tokio::join!(tokio::time::sleep(length), nemesis::run(cluster, &recorder, &steps));
    let () = load;
    context.stop.cancel();
    finish(&mut clients).await;
    let leaders = ended(sampling, &stop).await?;
    let seconds = recorder.now() as f64 / 1e9;
    let mut history = History { ops: recorder.take()?, ..History::default() };
    history.finals.insert("epoch".into(), epoch.into());
    sdks.iter_mut().for_each(Sdk::stop);
    for sdk in sdks {
        history.finals.insert(sdk.language().checker().into(), sdk.finish(folder).await?);
    }
    if broken.is_none() {
        // A whole cluster answers; one that does not is a finding, and what was read until then says nothing.
        let read = observe::everything(&context, &mut history).await;
        broken = read.err().map(|error| Broken::Everstep(format!("with everything healed: {error:#}")));
    }
    history.finals.insert("read".into(), now().into());
    workers.stop();
    Ok(Outcome { history, faults, leaders, shards, broken, epoch, seconds })
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

async fn finish(clients: &mut JoinSet<()>) {
    let all = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH, all).await.is_err() {
        clients.abort_all();
    }
}

/// Who leads what, over and over.
async fn sample(cluster: Arc<Cluster>, recorder: Arc<Recorder>, stop: CancellationToken) -> Vec<Leaders> {
    let mut leaders = Vec::new();
    while !stop.is_cancelled() {
        let shards = cluster.leaders().await;
        leaders.push(Leaders { at: recorder.now(), shards });
        tokio::time::sleep(SAMPLE).await;
    }
    leaders
}

async fn ended(sampling: JoinHandle<Vec<Leaders>>, stop: &CancellationToken) -> anyhow::Result<Vec<Leaders>> {
    stop.cancel();
    sampling.await.context("the sampler of leaders")
}

fn judge(
    options: &Run,
    outcome: Outcome,
    wrong: Vec<(u64, String)>,
    log_lines: Vec<String>,
) -> (Summary, History, Vec<Leaders>) {
    let outages = outcome.outages();
    let Outcome { history, faults, leaders, shards, broken, seconds, .. } = outcome;
    // Without the reads after the end there is nothing to compare with.
    let mut checked = if broken.is_none() { checker::all(&history, &outages) } else { Vec::new() };
    checked.push(processes(&broken, wrong, &log_lines));
    let writes = Writes::of(&history.ops, &shards);
    let faults = stats::strike(faults, &history.ops, &writes);
    let failures = match &broken {
        Some(Broken::Harness(why)) => {
            println!("the faults could not be gone on with: {why}");
            vec![why.clone()]
        }
        _ => empty(options, &faults, &checked),
    };
    let violated = checked.iter().any(|checked| !checked.violations.is_empty());
    let summary = Summary {
        verdict: Verdict::of(violated, failures),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        net: format!("{:?}", options.net).to_lowercase(),
        seed: options.seed,
        seconds,
        operations: Counts::of(history.ops.iter()),
        pauses: writes.longest_pauses(),
        failovers: stats::failovers(&faults),
        sdk: sdk::summaries(&history.finals),
        others: others::others(&faults, &history.ops, &shards),
        faults,
        checked,
        log_lines,
    };
    (summary, history, leaders)
}

/// Nodes that died by themselves, panicked, did not give up when they had to, or never became a cluster again.
fn processes(broken: &Option<Broken>, wrong: Vec<(u64, String)>, log_lines: &[String]) -> Checked {
    let mut checked = Checked::new("processes");
    checked.compared = 1;
    for (node, what) in wrong {
        checked.violation(&format!("node {node}"), what);
    }
    if let Some(Broken::Everstep(why)) = broken {
        checked.violation("cluster", why.clone());
    }
    for line in log_lines.iter().filter(|line| line.contains("panicked at")) {
        checked.violations.push(Violation::new("processes", "cluster", line.clone()));
    }
    checked
}

/// Why the run shows nothing, although nothing wrong was seen.
fn empty(options: &Run, faults: &[Struck], checked: &[Checked]) -> Vec<String> {
    let mut reasons = Vec::new();
    if faults.is_empty() && !options.calm {
        reasons.push("no fault was made".into());
    }
    for struck in faults.iter().filter(|struck| struck.operations.all() == 0) {
        reasons.push(format!("no operation was under way during: {}", struck.fault.what));
    }
    let led = faults.iter().any(|struck| !struck.fault.led.is_empty());
    if !faults.is_empty() && !led {
        reasons.push("no fault hit a leader".into());
    }
    let needed = |workload: &Workload| match workload {
        Workload::Signals => vec!["signals", "reads", "dates"],
        other => vec![other.name()],
    };
    let mut needed: Vec<&str> = options.workload.iter().flat_map(needed).collect();
    needed.extend(["closes", "lists", "digests"]);
    needed.extend(options.sdks().iter().map(|(language, _)| language.checker()));
    for name in needed {
        if !checked.iter().any(|checked| checked.checker == name && checked.compared > 0) {
            reasons.push(format!("the checker `{name}` compared nothing"));
        }
    }
    reasons
}

fn tell(summary: &Summary, folder: &Path) {
    const SHOWN: usize = 10;
    let counts = summary.operations;
    println!(
        "\n{} operations: {} acknowledged, {} refused, {} unknown; {} faults",
        counts.all(),
        counts.ok,
        counts.failed,
        counts.unknown,
        summary.faults.len()
    );
    for (kind, one) in &summary.failovers {
        println!(
            "{kind}: {} faults, next write of {} shards: median {:.0} ms, p99 {:.0} ms, worst {:.0} ms",
            one.faults, one.shards, one.median_ms, one.p99_ms, one.worst_ms
        );
    }
    if !summary.sdk.is_null() {
        println!("SDKs: {}", summary.sdk);
    }
    if let Some(others) = &summary.others {
        println!(
            "shards that kept their leader: p99 {:.1} ms of {} writes in the 2 s after; quiet times {:.1} ms of {}",
            others.p99_ms, others.writes, others.quiet_p99_ms, others.quiet_writes
        );
    }
    for checked in &summary.checked {
        println!("{:<10} compared {:>7}  violations {}", checked.checker, checked.compared, checked.violations.len());
        for violation in checked.violations.iter().take(SHOWN) {
            println!("  {}: {}", violation.key, violation.what);
            violation.example.iter().for_each(|line| println!("      {line}"));
        }
    }
    if let Verdict::HarnessFailure(reasons) = &summary.verdict {
        reasons.iter().for_each(|reason| println!("harness failure: {reason}"));
    }
    println!("{}: {}", summary.verdict.word(), folder.join("report.html").display());
}

/// The checkers alone, on the files of a run.
pub fn check_again(folder: &Path) -> anyhow::Result<Verdict> {
    let history = History::load(folder)?;
    let outages = history.finals.get("outages").cloned().unwrap_or_default();
    let outages: Outages = serde_json::from_value(outages).unwrap_or_default();
    let checked = checker::all(&history, &outages);
    let mut violated = false;
    for checked in &checked {
        println!("{:<10} compared {:>7}  violations {}", checked.checker, checked.compared, checked.violations.len());
        for violation in &checked.violations {
            violated = true;
            println!("  {}: {}", violation.key, violation.what);
            violation.example.iter().for_each(|line| println!("      {line}"));
        }
    }
    Ok(Verdict::of(violated, Vec::new()))
}
