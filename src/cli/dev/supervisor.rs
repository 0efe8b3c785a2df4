//! Starts the nodes, starts the dead ones again, and stops them all.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::balancer;
use super::fleet::{Door, Fleet};
use super::layout::Layout;
use super::{ready, Plan};
use crate::config::LogFormat;

const BEFORE_RESTART: Duration = Duration::from_secs(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(plan: Plan, mut layout: Layout, stop: CancellationToken) -> anyhow::Result<()> {
    let started = Instant::now();
    let doors = open_doors(&plan, &mut layout).await?;
    let fleet = Arc::new(Fleet::new(layout));
    for (listener, door) in doors {
        tokio::spawn(balancer::run(listener, door, Arc::clone(&fleet), stop.clone()));
    }
    let mut nodes = JoinSet::new();
    for id in 1..=plan.nodes {
        let keeper = Keeper {
            id,
            fleet: Arc::clone(&fleet),
            restart: plan.restart,
            log_format: plan.config.log.format,
            stop: stop.clone(),
        };
        nodes.spawn(keeper.run());
    }
    let announcing = tokio::spawn(announce_when_ready(Arc::clone(&fleet), started));
    let result = all_ended(&mut nodes, &stop).await;
    announcing.abort();
    result
}

async fn all_ended(nodes: &mut JoinSet<anyhow::Result<()>>, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = nodes.join_next().await {
        let ended = ended.context("a node's keeper ended").and_then(|ended| ended);
        if ended.is_err() {
            // One node that cannot start is a mistake of ours or the user's: no half of a cluster.
            stop.cancel();
        }
        result = result.and(ended);
    }
    result
}

async fn open_doors(plan: &Plan, layout: &mut Layout) -> anyhow::Result<Vec<(tokio::net::TcpListener, Door)>> {
    let ports = &plan.ports;
    let mut doors = vec![(balancer::listen("--port", ports.api()).await?, Door::Api)];
    if let Some(address) = ports.web() {
        doors.push((balancer::listen("--ui-port", address).await?, Door::Web));
    }
    if let Some(address) = ports.http() {
        doors.push((balancer::listen("--http-port", address).await?, Door::Http));
    }
    if let Some(address) = ports.admin() {
        match balancer::listen("admin", address).await {
            Ok(listener) => doors.push((listener, Door::Peer)),
            Err(_) => {
                tracing::info!(%address, "is taken: `everstep cluster status` needs the --address of a node");
                layout.state.admin = None;
            }
        }
    }
    Ok(doors)
}

async fn announce_when_ready(fleet: Arc<Fleet>, started: Instant) {
    fleet.all_serving().await;
    ready::announce(fleet.layout(), &fleet.state(), started);
}

/// Keeps one node running.
struct Keeper {
    id: u64,
    fleet: Arc<Fleet>,
    restart: bool,
    log_format: LogFormat,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self) -> anyhow::Result<()> {
        let id = self.id;
        let mut restarts = 0;
        let mut was_ready = false;
        loop {
            let mut child = self.spawn()?;
            // Held here: waiting for a child closes what it still holds.
            let lifeline = child.stdin.take();
            let life = self.fleet.started(id, child.id(), restarts);
            let health = tokio::spawn(watch_health(Arc::clone(&self.fleet), id, life.clone()));
            let status = tokio::select! {
                status = child.wait() => status,
                () = self.stop.cancelled() => stop_child(id, lifeline, &mut child).await,
            };
            health.abort();
            was_ready |= health.await.is_ok();
            self.fleet.ended(id, restarts);
            let status = status.with_context(|| format!("cannot wait for node {id}"))?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if !was_ready && status.signal().is_none() {
                bail!("node {id} ended before it was ready ({}); its log is above", describe(status));
            }
            if !self.restart {
                tracing::warn!("node {id} ended ({}) and stays down", describe(status));
                return Ok(());
            }
            tracing::warn!("node {id} ended ({}) and starts again in a second", describe(status));
            restarts += 1;
            if self.stop.run_until_cancelled(tokio::time::sleep(BEFORE_RESTART)).await.is_none() {
                return Ok(());
            }
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        command.arg("server").arg("--config").arg(self.fleet.layout().config_file(self.id)).arg("--stop-on-stdin-eof");
        // In a group of its own, Ctrl-C reaches only the supervisor, which stops the nodes in order.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::piped());
        let prefixed = self.log_format == LogFormat::Text;
        if prefixed {
            command.stderr(Stdio::piped());
        }
        let mut child = command.spawn().with_context(|| format!("cannot start node {}", self.id))?;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(print_log(self.id, stderr));
        }
        Ok(child)
    }
}

/// Ends well only if the node was ready once in this life.
async fn watch_health(fleet: Arc<Fleet>, id: u64, life: CancellationToken) {
    let api = fleet.layout().configs.iter().find(|config| config.node_id == id).map(|config| config.listen.api);
    if let Some(address) = api {
        ready::serving(address).await;
        fleet.serving(id, &life);
    }
}

/// The end of its standard input tells a node to stop; one that does not is killed.
async fn stop_child(id: u64, lifeline: Option<ChildStdin>, child: &mut Child) -> std::io::Result<ExitStatus> {
    drop(lifeline);
    match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            tracing::warn!("node {id} did not stop in {} s and is killed", STOP_TIMEOUT.as_secs());
            child.kill().await?;
            child.wait().await
        }
    }
}

async fn print_log(id: u64, stderr: ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("[node {id}] {line}");
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(signal)) => format!("signal {signal}"),
        (Some(code), None) => format!("exit code {code}"),
        (None, None) => "no exit code".into(),
    }
}
