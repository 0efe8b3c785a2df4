//! What happened, as clients saw it: one record for each operation, kept in memory for the checkers and as JSON lines
//! in the folder of the run.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Nanoseconds since the run began.
pub type Nanos = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Acknowledged: it was done, once, between `invoke` and `complete`.
    Ok,
    /// Refused: it was not done and never will be.
    Fail,
    /// Unknown: it may have been done, may be done later, or never.
    Info,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    pub id: u64,
    pub workload: String,
    /// Who asked. A process has one operation at a time.
    pub process: u32,
    /// The node that was asked.
    pub node: u64,
    /// The operation's name: `signal`, `start`, `describe`.
    pub f: String,
    /// The workflow id.
    pub key: String,
    pub input: Value,
    pub invoke: Nanos,
    pub complete: Nanos,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl Op {
    pub fn ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    pub fn text(&self, field: &str) -> &str {
        self.output.get(field).or_else(|| self.input.get(field)).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn number(&self, field: &str) -> i64 {
        self.output.get(field).or_else(|| self.input.get(field)).and_then(Value::as_i64).unwrap_or_default()
    }

    /// One line for a counter-example.
    pub fn line(&self) -> String {
        format!(
            "{:>9.3}–{:>9.3} s  process {:<3} node {}  {} {} {} → {:?} {} {}",
            self.invoke as f64 / 1e9,
            self.complete as f64 / 1e9,
            self.process,
            self.node,
            self.f,
            self.key,
            self.input,
            self.outcome,
            if self.output.is_null() { String::new() } else { self.output.to_string() },
            self.error,
        )
    }
}

/// An event of a workflow's history, reduced to what checkers ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: i64,
    /// Nanoseconds since the epoch, as the server stamped it.
    pub time: i64,
    /// `WorkflowExecutionSignaled`.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub facts: Value,
}

impl Event {
    pub fn text(&self, field: &str) -> &str {
        self.facts.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn number(&self, field: &str) -> i64 {
        self.facts.get(field).and_then(Value::as_i64).unwrap_or_default()
    }
}

/// A run as read after the end, when everything had healed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub workload: String,
    pub key: String,
    pub run_id: String,
    /// `Running`, `Completed`, …, as Describe says; empty if there is no such workflow.
    pub status: String,
    pub events: Vec<Event>,
    /// Nodes whose answer was different, and how.
    pub differences: Vec<String>,
}

/// Everything that checkers get to see.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub ops: Vec<Op>,
    pub runs: Vec<Run>,
    /// Other facts by name: lists after the end, digests of shards.
    pub finals: std::collections::BTreeMap<String, Value>,
}

impl History {
    pub fn of<'a>(&'a self, workload: &'a str) -> impl Iterator<Item = &'a Op> {
        self.ops.iter().filter(move |op| op.workload == workload)
    }

    pub fn runs_of<'a>(&'a self, workload: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.workload == workload)
    }

    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let finals = fs_err::read_to_string(folder.join("finals.json")).unwrap_or_else(|_| "{}".into());
        Ok(Self {
            ops: read_lines(&folder.join("operations.jsonl"))?,
            runs: read_lines(&folder.join("runs.jsonl"))?,
            finals: serde_json::from_str(&finals).context("finals.json")?,
        })
    }
}

pub fn read_lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = fs_err::read_to_string(path)?;
    let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()));
    text.lines().map(parse).collect()
}

pub fn write_lines<T: Serialize>(path: &Path, rows: &[T]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(fs_err::File::create(path)?);
    for row in rows {
        serde_json::to_writer(&mut file, row)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Takes down operations while the run goes on.
pub struct Recorder {
    began: Instant,
    next: AtomicU64,
    kept: Mutex<Kept>,
}

struct Kept {
    ops: Vec<Op>,
    file: BufWriter<fs_err::File>,
}

impl Recorder {
    pub fn create(folder: &Path) -> anyhow::Result<Arc<Self>> {
        let file = BufWriter::new(fs_err::File::create(folder.join("operations.jsonl"))?);
        let kept = Mutex::new(Kept { ops: Vec::new(), file });
        Ok(Arc::new(Self { began: Instant::now(), next: AtomicU64::new(1), kept }))
    }

    pub fn now(&self) -> Nanos {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// An id for an operation, unique in the run.
    pub fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn push(&self, op: Op) {
        let mut kept = self.kept.lock().expect("no panic while held");
        // The lines are for people and for `jep check`; the run itself works from memory.
        let written = serde_json::to_writer(&mut kept.file, &op).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|()| kept.file.write_all(b"\n")) {
            eprintln!("operations.jsonl: {error}");
        }
        kept.ops.push(op);
    }

    /// Everything so far, in order of invocation.
    pub fn take(&self) -> anyhow::Result<Vec<Op>> {
        let mut kept = self.kept.lock().expect("no panic while held");
        kept.file.flush()?;
        let mut ops = std::mem::take(&mut kept.ops);
        ops.sort_by_key(|op| (op.invoke, op.id));
        Ok(ops)
    }
}
