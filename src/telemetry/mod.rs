//! What a node says about itself: structured logs on standard error and Prometheus metrics. Every metric is in
//! [`catalog`]; nothing here decides anything.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

pub mod catalog;
pub mod exporter;
mod process;
pub mod requests;
pub mod tasks;

/// Once for a process, before anything is logged.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = filter(&log.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    installed.map_err(|error| anyhow!("logging is already set up: {error}"))
}

pub(crate) fn check_level(level: &str) -> anyhow::Result<()> {
    filter(level).map(|_| ())
}

/// Takes Temporal's words as well: `never`, and `fatal` for the worst.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    // What libraries say at these levels drowns what we say; openraft's errors are ordinary while a node is down, and
    // `everstep::raft` logs elections and stops itself.
    let directives = match level.to_ascii_lowercase().as_str() {
        "never" => "off".into(),
        "fatal" => "error,openraft=off".into(),
        plain @ ("error" | "warn" | "info") => format!("{plain},openraft=off"),
        plain @ ("debug" | "trace") => format!("info,openraft=warn,everstep={plain},statemachine={plain}"),
        word if word.chars().all(|c| c.is_ascii_alphabetic()) => {
            return Err(anyhow!("`{level}` is not one of error, warn, info, debug, trace, never"));
        }
        _ => level.into(),
    };
    EnvFilter::try_new(&directives).map_err(|error| anyhow!("`{level}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::check_level;

    #[test]
    fn levels() {
        for level in ["error", "WARN", "info", "debug", "never", "fatal", "info,everstep::raft=debug"] {
            check_level(level).expect(level);
        }
        for level in ["loud", "info,everstep=loud"] {
            check_level(level).expect_err(level);
        }
    }
}
