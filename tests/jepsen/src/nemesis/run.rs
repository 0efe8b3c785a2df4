//! Goes through a plan while clients work.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::act::{act, aim, undo};
use super::plan::{Step, Target};
use super::Fault;
use crate::cluster::Cluster;
use crate::history::Recorder;

/// After a fault was taken back every shard has a leader within this, or the cluster does not recover.
const RECOVER: Duration = Duration::from_secs(60);

/// Why the plan could not be gone through.
pub enum Broken {
    /// The cluster does not become whole again: a violation.
    Everstep(String),
    /// A fault could not be made or taken back.
    Harness(String),
}

/// The faults that were made, and why there are no more of them.
pub async fn run(cluster: &Arc<Cluster>, recorder: &Arc<Recorder>, steps: &[Step]) -> (Vec<Fault>, Option<Broken>) {
    let mut faults = Vec::new();
    for step in steps {
        let whole = match one(cluster, recorder, step).await {
            Ok(fault) => {
                let healed = Instant::now();
                let whole = cluster.await_leaders(RECOVER).await;
                let seconds = (fault.end - fault.begin) as f64 / 1e9;
                println!(
                    "{:8.1} s  {} (for {seconds:.1} s; {} after)",
                    fault.begin as f64 / 1e9,
                    fault.what,
                    took(healed, &whole)
                );
                faults.push(fault);
                whole
            }
            Err(error) => return (faults, Some(Broken::Harness(format!("{:?}: {error:#}", step.kind)))),
        };
        if let Err(error) = whole {
            let ends = cluster.unexpected_ends().await;
            let ends: Vec<String> =
                ends.into_iter().map(|(node, how)| format!("; node {node} ended with {how}")).collect();
            return (faults, Some(Broken::Everstep(format!("after {:?}: {error:#}{}", step.kind, ends.concat()))));
        }
    }
    (faults, None)
}

/// How long it took until every node was up and every shard led.
fn took(since: Instant, whole: &anyhow::Result<()>) -> String {
    match whole {
        Ok(()) => format!("whole {:.1} s", since.elapsed().as_secs_f64()),
        Err(_) => "never whole".into(),
    }
}

async fn one(cluster: &Arc<Cluster>, recorder: &Arc<Recorder>, step: &Step) -> anyhow::Result<Fault> {
    tokio::time::sleep(step.calm).await;
    let leaders = cluster.leaders().await;
    let busiest = |node: &u64| leaders.iter().filter(|(shard, leader)| **shard > 0 && *leader == node).count();
    let nodes = cluster.ids();
    let target = match step.target {
        // The plan counts from the first members; others may have taken their places.
        Target::Node(node) => nodes[(node as usize - 1) % nodes.len()],
        Target::Busiest => nodes.iter().copied().max_by_key(busiest).unwrap_or(1),
    };
    let aimed = aim(step, target, &nodes);
    let led = leaders.iter().filter(|(shard, leader)| **shard > 0 && aimed.contains(leader)).map(|(shard, _)| *shard);
    let led: Vec<u32> = led.collect();
    let before = recorder.now();
    let done = act(cluster, step, &aimed).await?;
    let begin = if step.kind.is_gradual() { before } else { recorder.now() };
    tokio::time::sleep(if step.kind == super::Kind::Rolling { Duration::ZERO } else { step.hold }).await;
    undo(cluster, &done).await?;
    Ok(Fault { kind: step.kind, what: done.what, nodes: done.nodes, led, begin, end: recorder.now() })
}
