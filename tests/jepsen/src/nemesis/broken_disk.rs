//! Disks that lose power, fail and fill up, and what a node has to do about it: give up soon, and say so in one line.

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::disk::Failing;

/// A node whose disk fails or is full leads nothing after this.
const FENCED: Duration = Duration::from_secs(5);
/// What a node says when it ends itself over its disk (docs/membership.md).
pub const SAID: &str = "storage failed; this node stops without acknowledging";
/// Bytes left on a disk that is nearly full: less than the nodes' reserve (`cluster/layout.rs`).
const NEARLY: u64 = 6 << 20;
const LOOK: Duration = Duration::from_millis(100);

/// kill -9 of all of them, and what they had not synced is gone: all of it, or files that grew keep some.
pub async fn cut_power(cluster: &Cluster, nodes: &[u64], choice: u64) -> anyhow::Result<&'static str> {
    futures::future::try_join_all(nodes.iter().map(|&node| cluster.kill(node))).await?;
    let torn = (!choice.is_multiple_of(3)).then_some(choice);
    for &node in nodes {
        cluster.disk(node).volume()?.lose(torn).with_context(|| format!("the disk of node {node}"))?;
    }
    Ok(if torn.is_some() { ", files torn" } else { "" })
}

/// The disk fails, in one way or another; the node has to end itself.
pub async fn fail(cluster: &Cluster, node: u64, choice: u64) -> anyhow::Result<String> {
    let (failing, what) = match choice % 3 {
        0 => (Failing { reads: true, writes: true, syncs: true }, "everything"),
        1 => (Failing { reads: false, writes: true, syncs: false }, "writes"),
        _ => (Failing { reads: false, writes: false, syncs: true }, "syncs"),
    };
    let from = cluster.log_end(node);
    cluster.disk(node).volume()?.fail(failing);
    let Some((after, how)) = cluster.await_end(node, FENCED).await else {
        cluster.complain(node, format!("it still runs {FENCED:?} after {what} on its disk began to fail"));
        cluster.kill(node).await?;
        return Ok(format!("EIO for {what} of {node}, killed"));
    };
    let lines = cluster.log_since(node, from);
    let errors: Vec<&String> = lines.iter().filter(|line| line.contains(" ERROR ")).collect();
    if errors.len() != 1 || !errors[0].contains(SAID) {
        cluster.complain(node, format!("EIO for {what}: it ended ({how}) with these errors: {errors:?}"));
    }
    Ok(format!("EIO for {what} of {node}, gone after {after:.1?}"))
}

/// The disk is full, or nearly; the node has to lead nothing, or to end itself.
pub async fn fill(cluster: &Cluster, node: u64, choice: u64) -> anyhow::Result<String> {
    let from = cluster.log_end(node);
    let began = Instant::now();
    let room = if choice.is_multiple_of(2) { 0 } else { NEARLY };
    cluster.disk(node).volume()?.fill(room);
    loop {
        if !cluster.leaders().await.values().any(|leader| *leader == node) {
            break;
        }
        if began.elapsed() > FENCED {
            cluster.complain(node, format!("it still leads {FENCED:?} after its disk was full"));
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let after = began.elapsed();
    // It looks at its disk once a second, which is what it says.
    tokio::time::sleep(FENCED.saturating_sub(after).min(Duration::from_secs(2))).await;
    let said = |line: &String| line.contains("disk full") || line.contains(SAID);
    if !cluster.log_since(node, from).iter().any(said) {
        cluster.complain(node, "its disk is full and its log does not say so".into());
    }
    let full = if room == 0 { "full" } else { "nearly full" };
    let end = if cluster.alive().await.contains(&node) { "up" } else { "gone" };
    Ok(format!("disk of {node} {full}, leads nothing after {after:.1?}, {end}"))
}

/// The disk works and is empty enough again. A node that ended itself comes back to what was synced.
pub async fn mend(cluster: &Cluster, node: u64) -> anyhow::Result<()> {
    let volume = cluster.disk(node).volume()?;
    volume.fail(Failing::default());
    volume.free();
    // A node whose log cannot be written ends itself: that is its fence.
    cluster.await_end(node, Duration::from_millis(100)).await;
    if !cluster.alive().await.contains(&node) {
        volume.lose(None)?;
        cluster.start_node(node).await?;
    }
    Ok(())
}
