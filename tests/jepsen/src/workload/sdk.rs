//! (p) Real SDK workers, one process through each node or through a balancer each, as `sdk/worker.py` has it. What they were answered goes into the
//! history's `finals`; checker `sdk`.

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

const PROGRAM: &str = include_str!("../../sdk/worker.py");
/// Longer than a worker waits for its last results.
const FINISH: Duration = Duration::from_secs(90);
/// What an SDK says about a history that does not fit its workflow, whatever else it says.
const REFUSED: [&str; 2] = ["TMPRL1100", "ondeterminism"];

pub struct Sdk {
    workers: Vec<(u64, Child)>,
    _balancers: Vec<Balancer>,
}

impl Sdk {
    /// A worker for each member, with the Python that has the SDK; through that member, or through a balancer that
    /// prefers it.
    pub async fn start(context: &Context, python: &Path, balanced: bool, folder: &Path) -> anyhow::Result<Self> {
        let program = folder.join("sdk.py");
        fs_err::write(&program, PROGRAM)?;
        let mut workers = Vec::new();
        let mut balancers = Vec::new();
        for &node in &context.nodes {
            let mut address = context.cluster.api(node);
            if balanced {
                balancers.push(balancer(context, node).await?);
                address = balancers.last().map_or(address, |balancer| balancer.address);
            }
            let log = fs_err::File::create(folder.join(format!("sdk-{node}.log")))?.into_parts().0;
            let worker = Command::new(python)
                .arg(&program)
                .args(["--address", &address.to_string(), "--namespace", NAMESPACE])
                .args(["--name", &format!("sdk-{node}")])
                .arg("--out")
                .arg(folder.join(format!("sdk-{node}.jsonl")))
                .stdin(Stdio::piped())
                .stdout(log.try_clone()?)
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .with_context(|| format!("{} does not start", python.display()))?;
            workers.push((node, worker));
        }
        Ok(Self { workers, _balancers: balancers })
    }

    /// Ends the load, waits for the last results, and tells them all.
    pub async fn finish(self, folder: &Path) -> anyhow::Result<Value> {
        let mut told = Vec::new();
        let mut refused = Vec::new();
        let mut workers = self.workers;
        workers.iter_mut().for_each(|(_, worker)| drop(worker.stdin.take()));
        for (node, mut worker) in workers {
            let log = folder.join(format!("sdk-{node}.log"));
            let ended = tokio::time::timeout(FINISH, worker.wait()).await.context("an SDK worker does not end")??;
            ensure!(ended.success(), "the SDK worker of node {node} ended with {ended}: {}", log.display());
            for line in fs_err::read_to_string(folder.join(format!("sdk-{node}.jsonl")))?.lines() {
                told.push(serde_json::from_str::<Value>(line)?);
            }
            let text = fs_err::read_to_string(&log)?;
            let bad = text.lines().filter(|line| REFUSED.iter().any(|word| line.contains(word)));
            refused.extend(bad.map(|line| format!("{}: {line}", log.display())));
        }
        Ok(json!({ "workflows": told, "refused": refused }))
    }
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

/// For the report: workflows, calls that the SDK's own retries did not save, the longest start or signal and the longest
/// workflow.
pub fn summary(told: &Value) -> Value {
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
        assert_eq!(
            summary(&told),
            json!({ "workflows": 2, "failed_calls": 1, "slowest_call": 0.3, "longest_seconds": 1.5 })
        );
    }
}
