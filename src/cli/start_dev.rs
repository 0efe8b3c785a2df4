//! `everstep server start-dev`: takes what `temporal server start-dev` takes, so that a link named `temporal` to this
//! program works where an SDK looks for that one.

use std::net::IpAddr;
use std::path::PathBuf;

use super::dev::{self, FrontPorts, Plan};
use super::options;
use crate::config::Config;

/// As in Temporal's program, the last of a repeated flag counts.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(super) struct Args {
    /// Port of the gRPC API.
    #[arg(long, short = 'p', default_value_t = 7233)]
    port: u16,
    /// IP address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_parser = options::ip)]
    ip: IpAddr,
    /// Port of the HTTP API. Off if not given.
    #[arg(long)]
    http_port: Option<u16>,
    /// Port of the web pages. Default: 1000 more than --port.
    #[arg(long)]
    ui_port: Option<u16>,
    /// IP address of the web pages. Default: --ip.
    #[arg(long, value_parser = options::ip)]
    ui_ip: Option<IpAddr>,
    /// No web pages.
    #[arg(long)]
    headless: bool,
    /// Port of the Prometheus endpoint. Default: a free one.
    #[arg(long)]
    metrics_port: Option<u16>,
    /// Keep the data in the directory FILE.everstep. Without this it is thrown away at exit.
    #[arg(long, short = 'f', value_name = "FILE")]
    db_filename: Option<PathBuf>,
    #[command(flatten)]
    seeds: options::Seeds,
    #[command(flatten)]
    dynamic: options::Dynamic,
    #[command(flatten)]
    logs: options::Logs,
    #[command(flatten)]
    ignored: Ignored,
}

/// Flags that mean something to Temporal only. They are taken so that nothing that passes them breaks.
#[derive(clap::Args)]
struct Ignored {
    /// Taken without effect: there is no SQLite here.
    #[arg(long, value_name = "PRAGMA=VALUE")]
    sqlite_pragma: Vec<String>,
    /// Taken without effect: the pages decode JSON only.
    #[arg(long, value_name = "URL")]
    ui_codec_endpoint: Option<String>,
    /// Taken without effect: the pages are inside the program.
    #[arg(long, value_name = "DIR")]
    ui_asset_path: Option<String>,
    /// Taken without effect: the pages are at `/`.
    #[arg(long, value_name = "PATH")]
    ui_public_path: Option<String>,
    /// Taken without effect: `everstep config docs` tells the configuration.
    #[arg(long)]
    log_config: bool,
    /// Taken without effect.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<String>,
    /// Taken without effect.
    #[arg(long, value_name = "WHEN")]
    color: Option<String>,
}

impl Ignored {
    fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--sqlite-pragma", !self.sqlite_pragma.is_empty()),
            ("--ui-codec-endpoint", self.ui_codec_endpoint.is_some()),
            ("--ui-asset-path", self.ui_asset_path.is_some()),
            ("--ui-public-path", self.ui_public_path.is_some()),
            ("--log-config", self.log_config),
            ("--output", self.output.is_some()),
            ("--color", self.color.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = Config::default();
    args.seeds.apply(&mut config);
    args.logs.apply(&mut config);
    let mut warnings = args.dynamic.apply(&mut config)?;
    warnings.extend(args.ignored.given().into_iter().map(|flag| format!("{flag} has no effect here")));
    let ports = FrontPorts {
        ip: args.ip,
        web_ip: args.ui_ip.unwrap_or(args.ip),
        api: args.port,
        web: (!args.headless).then(|| args.ui_port.unwrap_or(dev::above(args.port, 1000))),
        http: args.http_port,
        admin: None,
        metrics: args.metrics_port,
    };
    let directory = args.db_filename.map(|mut path| {
        path.as_mut_os_string().push(".everstep");
        path
    });
    dev::run_plan(Plan { nodes: 1, directory, ports, config, restart: false, warnings }).await
}
