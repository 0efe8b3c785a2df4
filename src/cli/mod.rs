//! The command line: parses, loads the configuration, sets up logs and signals, and hands over to the node, to the
//! supervisor of `dev` or to a client of a running cluster. It never holds a rule of the server.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

mod cluster;
mod config;
pub mod dev;
mod options;
mod server;
mod start_dev;
mod stop;

/// The Temporal server whose behaviour clients get.
const TEMPORAL_SERVER: &str = "1.31.2";
/// The command line whose `server start-dev` is understood.
const TEMPORAL_CLI: &str = "1.8.2";

/// Durable execution that speaks Temporal's gRPC API: one binary, no database.
#[derive(Parser)]
#[command(name = "everstep", disable_version_flag = true, propagate_version = false, max_term_width = 100)]
struct Cli {
    /// Print the version.
    #[arg(long, short = 'v', alias = "V")]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run one node of a cluster, or (`start-dev`) a server for development.
    Server(server::Args),
    /// Run a whole cluster on this machine: real node processes behind one address.
    Dev(Box<dev::Args>),
    /// Look at a running cluster and change its members.
    Cluster(cluster::Args),
    /// Measure this server, or any other that speaks Temporal's API.
    Bench(Box<crate::bench::Args>),
    /// Inflict faults on a cluster under load, and tell what its clients saw.
    Chaos(Box<crate::chaos::Args>),
    /// Check a configuration file, or print the page that documents every key.
    Config(config::Args),
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.version {
        println!("{}", version(&program()));
        return ExitCode::SUCCESS;
    }
    let Some(command) = cli.command else {
        eprintln!("everstep: a command is needed: server, dev, cluster, bench, chaos or config (--help tells more)");
        return ExitCode::from(2);
    };
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("everstep: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let result = runtime.block_on(async {
        let done = match command {
            Command::Server(args) => server::run(args).await,
            Command::Dev(args) => dev::run(*args).await,
            Command::Cluster(args) => cluster::run(args).await,
            Command::Bench(args) => crate::bench::run(*args).await,
            Command::Config(args) => config::run(&args),
            Command::Chaos(args) => return Ok(crate::chaos::run(*args, stop::on_signals()?).await),
        };
        done.map(|()| ExitCode::SUCCESS)
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

/// The name this program was called by.
fn program() -> String {
    let path = std::env::args_os().next().map(std::path::PathBuf::from).unwrap_or_default();
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn version(program: &str) -> String {
    let own = env!("CARGO_PKG_VERSION");
    if program.starts_with("temporal") {
        format!("temporal version {TEMPORAL_CLI} (Server {TEMPORAL_SERVER}, Everstep {own})")
    } else {
        format!("everstep version {own} (behaves as Temporal Server {TEMPORAL_SERVER})")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_has_help() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} --{}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }

    #[test]
    fn what_the_harnesses_of_the_sdks_pass_is_understood() {
        let lines = [
            "temporal server start-dev --port 7000 --namespace default --ip 127.0.0.1 --log-format pretty --log-level warn \
             --dynamic-config-value frontend.enableServerVersionCheck=false --headless",
            "temporal server start-dev -n a -n b --ui-port 9000 --http-port 7243 --db-filename x.db \
             --sqlite-pragma journal_mode=WAL --search-attribute Key=Keyword --ui-codec-endpoint http://x \
             --dynamic-config-value=history.rps=7000 --metrics-port 9100 --ui-ip 127.0.0.1 -p 7233 -f y.db",
            "everstep dev --nodes 3 --db DIR --port 7233 --ui-port 8233 --http-port 7243 --no-restart --namespace a",
            "everstep server --config everstep.toml --stop-on-stdin-eof",
            "everstep cluster replace 3 4 --no-wait --address 127.0.0.1:1",
            "everstep cluster transfer 2 any",
            "everstep cluster drain 2 --undo",
            "everstep chaos --schedule kill-leaders --seconds 30 --seed 7 --json",
            "everstep cluster status --json --address 127.0.0.1:1,127.0.0.1:2 --address 127.0.0.1:3",
        ];
        for line in lines {
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                panic!("{line}: {error}");
            }
        }
        for line in
            ["everstep server", "everstep dev --nodes 0", "everstep dev --search-attribute A=B", "everstep nothing"]
        {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }

    #[test]
    fn versions() {
        assert!(version("temporal-v1.8.2").starts_with("temporal version 1.8.2 (Server 1.31.2"));
        assert!(version("everstep").starts_with("everstep version "));
    }
}
