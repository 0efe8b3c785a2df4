//! `everstep config`: looks at configuration files without running anything.

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::{document, Config};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a file as `everstep server` would, and say what is wrong with it.
    Check {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the page that documents every key, in Markdown.
    Docs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Check { file } => {
            Config::load(file)?;
            println!("{}: fine", file.display());
        }
        Command::Docs => print!("{}", document::page()),
    }
    Ok(())
}
