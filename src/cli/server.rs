//! `everstep server --config everstep.toml`: one node in this process.

use std::path::PathBuf;

use clap::Subcommand;

use super::{options, start_dev, stop};
use crate::config::Config;
use crate::{node, telemetry};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    /// The configuration (docs/config.md documents every key).
    #[arg(long, short = 'c', value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    dynamic: options::Dynamic,
    /// Stop when standard input ends, as if by SIGTERM: a node must not outlive its supervisor.
    #[arg(long)]
    stop_on_stdin_eof: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// A server for development in one process, with the flags of `temporal server start-dev`.
    StartDev(Box<start_dev::Args>),
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(Command::StartDev(args)) = args.command {
        return start_dev::run(*args).await;
    }
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let warnings = args.dynamic.apply(&mut config)?;
    config.validate()?;
    telemetry::init(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let stop = stop::on_signals()?;
    if args.stop_on_stdin_eof {
        stop::on_stdin_eof(&stop);
    }
    node::run(config, stop).await
}
