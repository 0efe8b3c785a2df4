//! Goes through a plan while clients work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::act::{act, aim, undo};
use super::plan::{Step, Target};
use super::{Fault, Kind};
use crate::cluster::{Cluster, Stuck};
use crate::history::Recorder;

/// After a fault was taken back every shard has a leader within this, or the cluster does not recover.
const RECOVER: Duration = Duration::from_secs(60);

/// Why the plan could not be gone through.
pub enum Broken {
    /// The cluster does not become whole again, or does not do what it was asked: a violation.
    Everstep(String),
    /// A fault could not be made or taken back.
    Harness(String),
}

impl Broken {
    /// What the cluster did not do is told apart from what the harness could not do.
    pub fn by(what: &str, error: &anyhow::Error) -> Self {
        let told = format!("{what}: {error:#}");
        match error.downcast_ref::<Stuck>() {
            Some(_) => Self::Everstep(told),
            None => Self::Harness(told),
        }
    }
}

/// The faults that were made, and why there are no more of them.
pub async fn run(cluster: &Arc<Cluster>, recorder: &Arc<Recorder>, steps: &[Step]) -> (Vec<Fault>, Option<Broken>) {
    let mut faults = Vec::new();
    for step in steps {
        tokio::time::sleep(step.calm).await;
        let made = together(cluster, recorder, step).await;
        let whole = match &made {
            Ok(_) => cluster.await_leaders(RECOVER).await,
            Err(_) => Ok(()),
        };
        let broken = match (&made, whole) {
            (Err(error), _) => Some(Broken::by(&format!("{:?}", step.kind), error)),
            (Ok(_), Err(error)) => Some(Broken::by(&format!("after {:?}", step.kind), &error)),
            (Ok(_), Ok(())) => None,
        };
        let at = if broken.is_none() { recorder.now() } else { 0 };
        for fault in made.unwrap_or_default() {
            let fault = Fault { whole: at, ..fault };
            println!("{}", line(&fault));
            faults.push(fault);
        }
        if let Some(broken) = broken {
            return (faults, Some(with_ends(cluster, broken).await));
        }
    }
    (faults, None)
}

/// How long the fault held, and how long it took after it until every node was up and every shard led.
fn line(fault: &Fault) -> String {
    let seconds = |from, to: u64| to.saturating_sub(from) as f64 / 1e9;
    let whole = match fault.whole {
        0 => "never whole".to_owned(),
        at => format!("whole {:.1} s", seconds(fault.end, at)),
    };
    let held = seconds(fault.begin, fault.end);
    let joined = if fault.combined { "+ " } else { "" };
    format!("{:8.1} s  {joined}{} (for {held:.1} s; {whole} after)", fault.begin as f64 / 1e9, fault.what)
}

/// A cluster that is stuck, with the nodes that are gone by themselves.
async fn with_ends(cluster: &Cluster, broken: Broken) -> Broken {
    let Broken::Everstep(why) = broken else { return broken };
    let ends = cluster.unexpected_ends().await;
    let ends: String = ends.into_iter().map(|(node, how)| format!("; node {node} ended with {how}")).collect();
    Broken::Everstep(why + &ends)
}

/// A fault, and the one that joins it.
async fn together(cluster: &Arc<Cluster>, recorder: &Arc<Recorder>, step: &Step) -> anyhow::Result<Vec<Fault>> {
    let leaders = cluster.leaders().await;
    let nodes = cluster.ids();
    let aimed = aim(step, target(step, &nodes, &leaders), &nodes);
    let first = one(cluster, recorder, step, &aimed, &leaders);
    let Some(joined) = &step.joined else { return Ok(vec![first.await?]) };
    let second = async {
        tokio::time::sleep(joined.calm).await;
        let leaders = cluster.leaders().await;
        let struck = |node: &u64| step.kind.is_of_process() && joined.kind.is_of_process() && aimed.contains(node);
        let nodes: Vec<u64> = cluster.ids().into_iter().filter(|node| !struck(node)).collect();
        if nodes.is_empty() {
            return Ok(None);
        }
        let aimed = aim(joined, target(joined, &nodes, &leaders), &nodes);
        one(cluster, recorder, joined, &aimed, &leaders).await.map(Some)
    };
    let (first, second) = tokio::join!(first, second);
    let mut faults: Vec<Fault> = std::iter::once(first?).chain(second?).collect();
    let combined = faults.len() > 1;
    faults.iter_mut().for_each(|fault| fault.combined = combined);
    Ok(faults)
}

fn target(step: &Step, nodes: &[u64], leaders: &BTreeMap<u32, u64>) -> u64 {
    let led = |node: &u64| leaders.iter().filter(|(shard, leader)| **shard > 0 && *leader == node).count();
    match step.target {
        // The plan counts from the first members; others may have taken their places.
        Target::Node(node) => nodes[(node as usize - 1) % nodes.len()],
        Target::Busiest => nodes.iter().copied().max_by_key(led).unwrap_or(1),
    }
}

async fn one(
    cluster: &Arc<Cluster>,
    recorder: &Arc<Recorder>,
    step: &Step,
    aimed: &[u64],
    leaders: &BTreeMap<u32, u64>,
) -> anyhow::Result<Fault> {
    let led = leaders.iter().filter(|(shard, leader)| **shard > 0 && aimed.contains(leader)).map(|(shard, _)| *shard);
    let led: Vec<u32> = led.collect();
    let before = recorder.now();
    let done = act(cluster, step, aimed).await?;
    let begin = if step.kind.is_gradual() { before } else { recorder.now() };
    tokio::time::sleep(if step.kind == Kind::Rolling { Duration::ZERO } else { step.hold }).await;
    undo(cluster, &done).await?;
    let end = recorder.now();
    Ok(Fault { kind: step.kind, what: done.what, nodes: done.nodes, led, begin, end, whole: 0, combined: false })
}
