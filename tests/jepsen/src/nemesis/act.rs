//! Does a fault and takes it back.

use std::time::Duration;

use anyhow::Context;

use super::plan::Step;
use super::{broken_disk, damage, Kind};
use crate::cluster::Cluster;
use crate::net::grudge;
use crate::net::links::{Pair, Trouble};

/// Between two nodes of a rolling restart: the cluster is to be whole again.
const WHOLE: Duration = Duration::from_secs(40);

/// What was done and how it is taken back.
pub struct Done {
    pub what: String,
    pub nodes: Vec<u64>,
    back: Back,
}

enum Back {
    /// Nothing is left of it.
    Nothing,
    Start(Vec<u64>),
    Resume(Vec<u64>),
    Heal(Vec<Pair>),
    Undrain(u64),
    SetClock(u64),
    /// The disk is whole again; the node takes part, or another one takes its place.
    Mend(u64, bool),
    /// Two members leave, by this choice.
    Shrink(u64),
    Replace(u64),
}

/// The nodes that a fault is aimed at, known before it begins.
pub fn aim(step: &Step, target: u64, nodes: &[u64]) -> Vec<u64> {
    match step.kind {
        Kind::KillAll | Kind::LoseUnsyncedAll | Kind::Rolling | Kind::Slow | Kind::Lossy => nodes.to_vec(),
        Kind::KillMajority | Kind::LoseUnsyncedMajority | Kind::PauseMajority => {
            let others = nodes.iter().copied().filter(|&node| node != target);
            std::iter::once(target).chain(others).take(nodes.len() / 2 + 1).collect()
        }
        Kind::Halves => nodes[..nodes.len() / 2].to_vec(),
        _ => vec![target],
    }
}

pub async fn act(cluster: &Cluster, step: &Step, aimed: &[u64]) -> anyhow::Result<Done> {
    let nodes = cluster.ids();
    let one = aimed.first().copied().context("a fault is aimed at a node")?;
    let done = |what: String, back| Done { what, nodes: aimed.to_vec(), back };
    match step.kind {
        Kind::Kill | Kind::KillMajority | Kind::KillAll => {
            let kills = aimed.iter().map(|&node| cluster.kill(node));
            futures::future::try_join_all(kills).await?;
            Ok(done(format!("kill -9 of {aimed:?}"), Back::Start(aimed.to_vec())))
        }
        Kind::Pause | Kind::PauseMajority => {
            for &node in aimed {
                cluster.pause(node).await?;
            }
            Ok(done(format!("SIGSTOP of {aimed:?}"), Back::Resume(aimed.to_vec())))
        }
        Kind::Isolate | Kind::Halves | Kind::Bridge | Kind::Ring | Kind::Mute | Kind::Deaf | Kind::NoClients => {
            let pairs = pairs(step.kind, one, &nodes);
            cut(cluster, &pairs).await?;
            Ok(done(format!("{}: {}", step.kind.name(), arrows(&pairs)), Back::Heal(pairs)))
        }
        Kind::Slow | Kind::Lossy => {
            let pairs = grudge::all_pairs(&nodes);
            let trouble = match step.kind {
                Kind::Slow => Trouble::Slow { millis: 20 + step.choice % 180, jitter: 1 + (step.choice >> 16) % 60 },
                _ => Trouble::Lossy { percent: u8::try_from(5 + step.choice % 20).unwrap_or(5) },
            };
            let each: Vec<(Pair, Trouble)> = pairs.iter().map(|&pair| (pair, trouble)).collect();
            cluster.net.trouble(&each).await?;
            Ok(done(format!("{trouble:?} between all nodes"), Back::Heal(pairs)))
        }
        Kind::Restart => {
            let took = cluster.terminate(one).await?;
            Ok(done(format!("SIGTERM of {one}, gone after {took:.1?}"), Back::Start(vec![one])))
        }
        Kind::Rolling => roll(cluster, step, &nodes).await.map(|what| done(what, Back::Nothing)),
        Kind::Drain => {
            cluster.drain(one, false).await?;
            Ok(done(format!("drain of {one}"), Back::Undrain(one)))
        }
        Kind::Transfer => {
            let moved = cluster.transfer(step.choice).await?;
            Ok(done(format!("transfer of {moved}"), Back::Nothing))
        }
        Kind::Replace => replace(cluster, step, one).await.map(|what| done(what, Back::Nothing)),
        Kind::Clock | Kind::ClockWrong => {
            let millis = clock_bump(step.kind, step.choice);
            cluster.set_clock(one, millis)?;
            Ok(done(format!("clock of {one} by {millis} ms"), Back::SetClock(one)))
        }
        Kind::LoseUnsynced
        | Kind::LoseUnsyncedMajority
        | Kind::LoseUnsyncedAll
        | Kind::DiskFull
        | Kind::Eio
        | Kind::FsyncStall => {
            let (what, back) = act_on_disk(cluster, step, aimed).await?;
            Ok(done(what, back))
        }
        Kind::Corrupt => {
            let what = damage::damage(cluster, one, step.choice).await?;
            Ok(done(what, Back::Replace(one)))
        }
        Kind::Resize => {
            let new = [cluster.admit().await?, cluster.admit().await?];
            cluster.settled().await?;
            Ok(done(format!("{new:?} join, then two leave"), Back::Shrink(step.choice)))
        }
    }
}

async fn act_on_disk(cluster: &Cluster, step: &Step, aimed: &[u64]) -> anyhow::Result<(String, Back)> {
    let one = aimed[0];
    match step.kind {
        Kind::DiskFull => {
            Ok((broken_disk::fill(cluster, one, step.choice >> 8).await?, Back::Mend(one, step.replaces())))
        }
        Kind::Eio => Ok((broken_disk::fail(cluster, one, step.choice >> 8).await?, Back::Mend(one, step.replaces()))),
        Kind::FsyncStall => {
            cluster.disk(one).volume()?.stall(step.hold);
            Ok((format!("no sync of {one} ends"), Back::Nothing))
        }
        _ => {
            let torn = broken_disk::cut_power(cluster, aimed, step.choice).await?;
            Ok((format!("power cut of {aimed:?}{torn}"), Back::Start(aimed.to_vec())))
        }
    }
}

/// Takes the fault back.
pub async fn undo(cluster: &Cluster, done: &Done) -> anyhow::Result<()> {
    match &done.back {
        Back::Nothing => Ok(()),
        Back::Start(nodes) => {
            for &node in nodes {
                cluster.start_node(node).await?;
            }
            Ok(())
        }
        Back::Resume(nodes) => {
            for &node in nodes {
                cluster.resume(node).await?;
            }
            Ok(())
        }
        Back::Heal(pairs) => cluster.net.heal(pairs).await,
        Back::Undrain(node) => cluster.drain(*node, true).await,
        Back::SetClock(node) => cluster.set_clock(*node, 0),
        Back::Mend(node, false) => broken_disk::mend(cluster, *node).await,
        Back::Mend(node, true) | Back::Replace(node) => {
            let new = cluster.admit().await?;
            damage::left_well(cluster, *node).await;
            cluster.replace(*node, new).await
        }
        Back::Shrink(choice) => {
            for part in [*choice, choice >> 16] {
                let nodes = cluster.ids();
                cluster.remove(nodes[part as usize % nodes.len()]).await?;
            }
            Ok(())
        }
    }
}

async fn roll(cluster: &Cluster, step: &Step, nodes: &[u64]) -> anyhow::Result<String> {
    let mut took = Vec::new();
    for &node in nodes {
        took.push(format!("{node}: {:.1?}", cluster.terminate(node).await?));
        tokio::time::sleep(step.hold).await;
        cluster.start_node(node).await?;
        cluster.await_leaders(WHOLE).await?;
        // The balancer hands leaderships back before the next node goes.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(format!("SIGTERM of one after the other, gone after {}", took.join(", ")))
}

/// The one that is replaced runs, or was killed before.
async fn replace(cluster: &Cluster, step: &Step, old: u64) -> anyhow::Result<String> {
    let dead = step.choice.is_multiple_of(2);
    if dead {
        cluster.kill(old).await?;
    }
    let new = cluster.admit().await?;
    cluster.replace(old, new).await?;
    Ok(format!("node {old}, {}, replaced by node {new}", if dead { "killed" } else { "up" }))
}

fn pairs(kind: Kind, one: u64, nodes: &[u64]) -> Vec<Pair> {
    match kind {
        Kind::Halves => grudge::halves(nodes),
        Kind::Bridge => grudge::bridge(nodes),
        Kind::Ring => grudge::ring(nodes),
        Kind::Mute => grudge::mute(one, nodes),
        Kind::Deaf => grudge::deaf(one, nodes),
        Kind::NoClients => grudge::apart(&[0], &[one]),
        _ => grudge::isolate(one, nodes),
    }
}

async fn cut(cluster: &Cluster, pairs: &[Pair]) -> anyhow::Result<()> {
    let each: Vec<(Pair, Trouble)> = pairs.iter().map(|&pair| (pair, Trouble::Cut)).collect();
    cluster.net.trouble(&each).await
}

fn arrows(pairs: &[Pair]) -> String {
    pairs.iter().map(|(from, to)| format!("{from}→{to}")).collect::<Vec<_>>().join(" ")
}

/// Some milliseconds, some seconds, or an hour, forward or back. What is to be noticed as wrong is no milliseconds.
fn clock_bump(kind: Kind, choice: u64) -> i64 {
    let size = match choice % 3 {
        0 if kind == Kind::Clock => 50 + (choice >> 8) % 450,
        0 | 1 => 1_000 + (choice >> 8) % 30_000,
        _ => 3_600_000,
    };
    let size = i64::try_from(size).unwrap_or(1000);
    if (choice >> 40).is_multiple_of(2) {
        size
    } else {
        -size
    }
}
