//! What a run amounts to: counts, pauses, failovers (`stats`), and one self-contained page (`html`).

mod chart;
mod html;
pub mod others;
pub mod stats;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::history::{Nanos, Op};
use crate::nemesis::Fault;
use crate::verdict::{Checked, Verdict};
use others::Others;
use stats::{Counts, Failover, Pause};

/// Who led each shard at a moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leaders {
    pub at: Nanos,
    pub shards: BTreeMap<u32, u64>,
}

/// `summary.json`; the page shows the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    pub verdict: Verdict,
    /// How to run it again.
    pub command: String,
    pub net: String,
    pub seed: u64,
    pub seconds: f64,
    pub operations: Counts,
    pub faults: Vec<Struck>,
    pub pauses: Vec<Pause>,
    pub failovers: BTreeMap<String, Failover>,
    pub others: Option<Others>,
    /// What SDK workers did, by checker; null without them.
    #[serde(default)]
    pub sdk: serde_json::Value,
    pub checked: Vec<Checked>,
    /// Error lines of the nodes' logs: worth a look, no verdict.
    pub log_lines: Vec<String>,
}

/// A fault and what clients had of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Struck {
    pub fault: Fault,
    pub operations: Counts,
    /// For a fault that took leaders away: each of their shards until its next acknowledged write, in milliseconds.
    pub next_write_ms: BTreeMap<u32, f64>,
}

pub fn write(folder: &Path, summary: &Summary, ops: &[Op], leaders: &[Leaders]) -> anyhow::Result<()> {
    fs_err::write(folder.join("summary.json"), serde_json::to_string_pretty(summary)?)?;
    fs_err::write(folder.join("report.html"), html::page(summary, ops, leaders))?;
    Ok(())
}
