//! `everstep bench raft`: what replicating and storing cost by themselves. Nodes within this process commit proposals
//! that carry bytes and change nothing: a heartbeat of an activity that does not exist.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use statemachine::op::{op::Kind, HeartbeatActivity, Op, TaskRef};
use tokio_util::sync::CancellationToken;

use super::histogram::Histogram;
use super::options::RaftOptions;
use super::report::number;
use super::scenario;
use crate::cluster::{Router, Target};
use crate::config::{Config, Peer};
use crate::node::Node;

const WARM_UP: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// Until every shard has a leader and leaderships are spread.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) async fn run(options: RaftOptions) -> anyhow::Result<()> {
    let directory = tempfile::tempdir_in(&options.directory).context("--directory")?;
    let configs = configs(&options, directory.path())?;
    let nodes = try_join_all(configs.into_iter().map(Node::start)).await?;
    tokio::time::sleep(SETTLE).await;
    println!("{} nodes in one process, {} shards, {} bytes a proposal", options.nodes, options.shards, options.size);
    for &in_flight in &options.in_flight {
        let routers: Vec<Arc<Router>> = nodes.iter().map(|node| node.router().clone()).collect();
        measure(&options, &routers, in_flight, WARM_UP).await?;
        let cpu = cpu_of_this_process()?;
        let (histogram, count) = measure(&options, &routers, in_flight, options.duration).await?;
        let cpu = cpu_of_this_process()?.saturating_sub(cpu);
        println!(
            "{in_flight:>6} in flight | {} proposals/s | p50 {} ms | p99 {} ms | max {} ms | CPU {} us a proposal",
            number(count as f64 / options.duration.as_secs_f64()),
            number(histogram.percentile(0.5)),
            number(histogram.percentile(0.99)),
            number(histogram.max()),
            number(cpu.as_secs_f64() * 1e6 / count.max(1) as f64),
        );
    }
    join_all(nodes.into_iter().map(Node::shutdown)).await;
    Ok(())
}

fn configs(options: &RaftOptions, directory: &Path) -> anyhow::Result<Vec<Config>> {
    let any: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 0));
    let held: Vec<TcpListener> = (0..options.nodes).map(|_| TcpListener::bind(any)).collect::<Result<_, _>>()?;
    let mut peers = Vec::new();
    for (listener, id) in held.iter().zip(1..) {
        peers.push(Peer { id, address: listener.local_addr()?.to_string() });
    }
    let config = |peer: &Peer| -> anyhow::Result<Config> {
        let mut config = Config {
            node_id: peer.id,
            data_dir: directory.join(peer.id.to_string()),
            data_shards: options.shards,
            peers: peers.clone(),
            ..Config::default()
        };
        config.listen.api = any;
        config.listen.peer = peer.address.parse()?;
        Ok(config)
    };
    peers.iter().map(config).collect()
}

/// Proposes in a closed loop, each at the node that leads the shard, as matching and clients that know it would.
async fn measure(
    options: &RaftOptions,
    routers: &[Arc<Router>],
    in_flight: usize,
    duration: Duration,
) -> anyhow::Result<(Histogram, u64)> {
    let stop = CancellationToken::new();
    let count = Arc::new(AtomicU64::new(0));
    let details = scenario::payloads(options.size);
    let proposers = (0..in_flight).map(|at| {
        let shard = at as u32 % options.shards + 1;
        let leader = routers.iter().find(|router| router.leads(shard)).unwrap_or(&routers[0]).clone();
        let (stop, count, details) = (stop.clone(), count.clone(), details.clone());
        tokio::spawn(async move {
            let mut histogram = Histogram::default();
            let task = Some(TaskRef { namespace_id: "none".into(), ..Default::default() });
            let op = Op {
                kind: Some(Kind::HeartbeatActivity(HeartbeatActivity {
                    task,
                    details: Some(details),
                    ..Default::default()
                })),
            };
            while !stop.is_cancelled() {
                let begun = Instant::now();
                let deadline = tokio::time::Instant::now() + PATIENCE;
                leader.propose(Target::Shard(shard), op.clone(), deadline).await?;
                histogram.record(begun.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, crate::cluster::RouteError>(histogram)
        })
    });
    let proposers: Vec<_> = proposers.collect();
    tokio::time::sleep(duration).await;
    let counted = count.load(Ordering::Relaxed);
    stop.cancel();
    let mut all = Histogram::default();
    for proposer in proposers {
        all.add(&proposer.await??);
    }
    Ok((all, counted))
}

fn cpu_of_this_process() -> anyhow::Result<Duration> {
    super::process::cpu(std::process::id())
}
