//! `everstep dev`: a cluster on this machine. With one node it is this process itself. With more, this process is their
//! supervisor: it starts real `everstep server` processes, starts a dead one again, and passes TCP connections on to
//! whichever node is alive.
//!
//! ```text
//!  client ──► :7233 ─┐                      ┌► node 1 (process, own ports, own directory)
//!  browser ─► :8233 ─┼─ balancer (TCP) ─────┼► node 2
//!  curl ────► :7243 ─┘                      └► node 3
//! ```
//! The nodes end when their standard input does, so they never outlive the supervisor. It never looks into what it
//! passes on.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::{options, stop};
use crate::config::Config;
use crate::telemetry;

mod balancer;
mod fleet;
mod layout;
mod ready;
mod single;
mod supervisor;

use layout::Layout;

#[derive(clap::Args)]
pub struct Args {
    /// How many nodes: 1 is this process itself, more are processes of their own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=9))]
    nodes: u64,
    /// Keep the data in this directory. Without it the data is thrown away at exit.
    #[arg(long, value_name = "DIR")]
    db: Option<PathBuf>,
    /// IP address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_parser = options::ip)]
    ip: IpAddr,
    /// Port of the gRPC API. One more than it takes `everstep cluster status`, if it is free.
    #[arg(long, short = 'p', default_value_t = 7233)]
    port: u16,
    /// Port of the web pages. Default: 1000 more than --port.
    #[arg(long)]
    ui_port: Option<u16>,
    /// No web pages.
    #[arg(long)]
    headless: bool,
    /// Port of the HTTP API. Default: 10 more than --port.
    #[arg(long)]
    http_port: Option<u16>,
    /// Leave a node that died dead.
    #[arg(long)]
    no_restart: bool,
    #[command(flatten)]
    seeds: options::Seeds,
    #[command(flatten)]
    dynamic: options::Dynamic,
    #[command(flatten)]
    logs: options::Logs,
}

/// Where clients connect. An absent port is not listened on.
pub(super) struct FrontPorts {
    pub ip: IpAddr,
    pub web_ip: IpAddr,
    pub api: u16,
    pub web: Option<u16>,
    pub http: Option<u16>,
    /// For `everstep cluster status`: goes to the peer port of a node. Done without if it is taken.
    pub admin: Option<u16>,
    /// Of a single node; the nodes of several have one each.
    pub metrics: Option<u16>,
}

impl FrontPorts {
    fn api(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.api)
    }

    fn web(&self) -> Option<SocketAddr> {
        self.web.map(|port| SocketAddr::new(self.web_ip, port))
    }

    fn http(&self) -> Option<SocketAddr> {
        self.http.map(|port| SocketAddr::new(self.ip, port))
    }

    fn admin(&self) -> Option<SocketAddr> {
        self.admin.map(|port| SocketAddr::new(self.ip, port))
    }
}

pub(super) struct Plan {
    pub nodes: u64,
    /// Absent: a temporary one, removed at exit.
    pub directory: Option<PathBuf>,
    pub ports: FrontPorts,
    /// What all nodes have in common.
    pub config: Config,
    pub restart: bool,
    /// For when logging is set up.
    pub warnings: Vec<String>,
}

/// A port some way above another, for defaults.
pub(super) fn above(port: u16, distance: u16) -> u16 {
    port.saturating_add(distance)
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = Config::default();
    args.seeds.apply(&mut config);
    args.logs.apply(&mut config);
    let warnings = args.dynamic.apply(&mut config)?;
    let ports = FrontPorts {
        ip: args.ip,
        web_ip: args.ip,
        api: args.port,
        web: (!args.headless).then(|| args.ui_port.unwrap_or(above(args.port, 1000))),
        http: Some(args.http_port.unwrap_or(above(args.port, 10))),
        admin: Some(above(args.port, 1)),
        metrics: None,
    };
    let restart = !args.no_restart;
    run_plan(Plan { nodes: args.nodes, directory: args.db, ports, config, restart, warnings }).await
}

pub(super) async fn run_plan(plan: Plan) -> anyhow::Result<()> {
    telemetry::init(&plan.config.log)?;
    plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let stop = stop::on_signals()?;
    let layout = Layout::prepare(&plan)?;
    if plan.nodes == 1 {
        single::run(layout, stop).await
    } else {
        supervisor::run(plan, layout, stop).await
    }
}
