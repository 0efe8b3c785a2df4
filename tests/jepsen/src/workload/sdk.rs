//! (p) Real SDK workers, for each language one process through each node or through a balancer each, as `sdk/worker.py`
//! and `sdk/go` have it. What they were answered goes into the history's `finals`; checkers `sdk` and `sdk-go`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{ensure, Context as _};
use serde_json::{json, Value};
use tokio::process::{Child, Command};

use super::Context;
use crate::net::balancer::Balancer;

/// Not the other workloads': their checkers know every run of theirs.
pub const NAMESPACE: &str = "sdk";

const PYTHON: &str = include_str!("../../sdk/worker.py");
/// Longer than a worker waits for its last results.
const FINISH: Duration = Duration::from_secs(90);
/// What an SDK says about a history that does not fit its workflow, whatever else it says.
const REFUSED: [&str; 3] = ["TMPRL1100", "ondeterminism", "ondeterministic"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    Go,
}

impl Language {
    const ALL: [Self; 2] = [Self::Python, Self::Go];

    /// The checker of its workers, which also begins the names of their files and workflows.
    pub fn checker(self) -> &'static str {
        match self {
            Self::Python => "sdk",
            Self::Go => "sdk-go",
        }
    }

    /// What runs its worker: a Python that has the SDK, or the program itself.
    fn command(self, program: &Path, folder: &Path) -> std::io::Result<Command> {
        let mut command = Command::new(program);
        if self == Self::Python {
            let source = folder.join("sdk.py");
            fs_err::write(&source, PYTHON)?;
            command.arg(source);
        }
        Ok(command)
    }
}

pub struct Sdk {
    language: Language,
    workers: Vec<(u64, Child)>,
    _balancers: Vec<Balancer>,
}

impl Sdk {
    /// A worker for each member; through that member, or through a balancer that prefers it.
    pub async fn start(
        context: &Context,
        language: Language,
        program: &Path,
        balanced: bool,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let prefix = language.checker();
        let mut workers = Vec::new();
        let mut balancers = Vec::new();
        for &node in &context.nodes {
            let mut address = context.cluster.api(node);
            if balanced {
                balancers.push(balancer(context, node).await?);
                address = balancers.last().map_or(address, |balancer| balancer.address);
            }
            let log = fs_err::File::create(folder.join(format!("{prefix}-{node}.log")))?.into_parts().0;
            let worker = language
                .command(program, folder)?
                .args(["--address", &address.to_string(), "--namespace", NAMESPACE])
                .args(["--name", &format!("{prefix}-{node}")])
                .arg("--out")
                .arg(folder.join(format!("{prefix}-{node}.jsonl")))
                .stdin(Stdio::piped())
                .stdout(log.try_clone()?)
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .with_context(|| format!("{} does not start", program.display()))?;
            workers.push((node, worker));
        }
        Ok(Self { language, workers, _balancers: balancers })
    }

    pub fn language(&self) -> Language {
        self.language
    }

    /// Ends the load.
    pub fn stop(&mut self) {
        self.workers.iter_mut().for_each(|(_, worker)| drop(worker.stdin.take()));
    }

    /// Waits for the last results after the end of the load, and tells them all.
    pub async fn finish(self, folder: &Path) -> anyhow::Result<Value> {
        let mut told = Vec::new();
        let mut refused = Vec::new();
        let prefix = self.language.checker();
        for (node, mut worker) in self.workers {
            let log = folder.join(format!("{prefix}-{node}.log"));
            let ended = tokio::time::timeout(FINISH, worker.wait()).await.context("an SDK worker does not end")??;
            ensure!(ended.success(), "the worker {prefix} of node {node} ended with {ended}: {}", log.display());
            for line in fs_err::read_to_string(folder.join(format!("{prefix}-{node}.jsonl")))?.lines() {
                told.push(serde_json::from_str::<Value>(line)?);
            }
            let text = fs_err::read_to_string(&log)?;
            refused.extend(refusals(&text).map(|line| format!("{}: {line}", log.display())));
        }
        Ok(json!({ "workflows": told, "refused": refused }))
    }
}

fn refusals(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| REFUSED.iter().any(|word| line.contains(word)))
}

/// Prefers this node to the others that are members when a connection comes.
async fn balancer(context: &Context, node: u64) -> std::io::Result<Balancer> {
    let cluster = context.cluster.clone();
    let targets = move || {
        let mut members = cluster.ids();
        members.sort_by_key(|&member| member != node);
        members.into_iter().map(|member| cluster.api(member)).collect()
    };
    Balancer::start(Arc::new(targets)).await
}

/// For the report, by checker; null without SDK workers.
pub fn summaries(finals: &BTreeMap<String, Value>) -> Value {
    let told = |language: Language| finals.get_key_value(language.checker());
    let sums: serde_json::Map<_, _> =
        Language::ALL.into_iter().filter_map(told).map(|(name, told)| (name.clone(), summary(told))).collect();
    if sums.is_empty() {
        return Value::Null;
    }
    sums.into()
}

/// Workflows, calls that the SDK's own retries did not save, the longest start or signal and the longest
/// workflow.
fn summary(told: &Value) -> Value {
    let workflows = told["workflows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = workflows.iter().filter_map(|workflow| workflow["failed_calls"].as_array());
    let longest = |name| workflows.iter().filter_map(|workflow| workflow[name].as_f64()).fold(0.0, f64::max);
    json!({
        "workflows": workflows.len(),
        "failed_calls": failed.map(Vec::len).sum::<usize>(),
        "slowest_call": longest("slowest_call"),
        "longest_seconds": longest("seconds"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_adds_up() {
        let one = |failed: &[&str], seconds: f64| json!({ "failed_calls": failed, "slowest_call": seconds / 5.0, "seconds": seconds });
        let told = json!({ "workflows": [one(&["UNAVAILABLE"], 1.5), one(&[], 0.5)] });
        let sums = json!({ "workflows": 2, "failed_calls": 1, "slowest_call": 0.3, "longest_seconds": 1.5 });
        let one_language = BTreeMap::from([("sdk-go".to_owned(), told), ("outages".to_owned(), json!([]))]);
        assert_eq!(summaries(&one_language), json!({ "sdk-go": sums }));
        assert_eq!(summaries(&BTreeMap::new()), Value::Null);
    }

    #[test]
    fn what_each_sdk_says_of_a_replay_that_differs_is_found() {
        let python = "temporalio.workflow.NondeterminismError: Workflow activation completion failed: [TMPRL1100] …";
        // As sdk/go/workflow_test.go sees it.
        let go = "level=ERROR msg=\"Workflow panic\" Error=\"[TMPRL1100] During replay, a matching Timer command was expected\"";
        for line in [python, go] {
            assert_eq!(refusals(&format!("level=WARN msg=retrying\n{line}\n")).collect::<Vec<_>>(), [line]);
        }
        assert_eq!(refusals("level=WARN msg=\"the connection was lost\"\n").count(), 0);
    }
}
