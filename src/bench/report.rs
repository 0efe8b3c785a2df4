//! Results as lines, JSON and a page.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{json, Value};

use super::load::Load;
use super::options::Options;
use super::process::Usage;
use super::recorder::{Counts, Recorder};

/// One measurement.
pub(super) struct Window {
    pub(super) counts: Counts,
    pub(super) usage: Usage,
}

/// All measurements of one load.
pub(super) struct Level {
    pub(super) load: Load,
    pub(super) windows: Vec<Window>,
}

pub(super) struct Report {
    pub(super) title: String,
    pub(super) levels: Vec<Level>,
}

/// A number of a window: its name, its unit, and how to get it. `None` if it was not measured.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    of: fn(&Window) -> Option<f64>,
}

pub(super) const METRICS: &[Metric] = &[
    Metric { name: "workflows", unit: "/s", of: |window| Some(window.counts.per_second()) },
    Metric {
        name: "transitions",
        unit: "/s",
        of: |window| Some(window.counts.transitions as f64 / window.counts.seconds),
    },
    Metric { name: "start p50", unit: "ms", of: |window| Some(window.counts.start.percentile(0.50)) },
    Metric { name: "start p99", unit: "ms", of: |window| Some(window.counts.start.percentile(0.99)) },
    Metric { name: "to start p50", unit: "ms", of: |window| Some(window.counts.schedule_to_start.percentile(0.50)) },
    Metric { name: "to start p99", unit: "ms", of: |window| Some(window.counts.schedule_to_start.percentile(0.99)) },
    Metric { name: "end to end p50", unit: "ms", of: |window| Some(window.counts.end_to_end.percentile(0.50)) },
    Metric { name: "end to end p95", unit: "ms", of: |window| Some(window.counts.end_to_end.percentile(0.95)) },
    Metric { name: "end to end p99", unit: "ms", of: |window| Some(window.counts.end_to_end.percentile(0.99)) },
    Metric { name: "end to end max", unit: "ms", of: |window| Some(window.counts.end_to_end.max()) },
    Metric { name: "longest gap", unit: "ms", of: |window| Some(window.counts.longest_gap.as_secs_f64() * 1e3) },
    Metric { name: "errors", unit: "", of: |window| Some(window.counts.errors_total() as f64) },
    Metric {
        name: "CPU a workflow",
        unit: "ms",
        of: |window| a_workflow(window, window.usage.cpu.as_secs_f64() * 1e3).filter(|_| window.usage.is_known()),
    },
    Metric {
        name: "memory",
        unit: "MB",
        of: |window| window.usage.is_known().then_some(window.usage.memory_bytes as f64 / 1e6),
    },
    Metric {
        name: "written a workflow",
        unit: "KB",
        of: |window| a_workflow(window, window.usage.written_bytes as f64 / 1e3).filter(|_| window.usage.is_known()),
    },
    Metric {
        name: "fsyncs a workflow",
        unit: "",
        of: |window| a_workflow(window, window.usage.fsyncs as f64).filter(|_| window.usage.fsyncs_are_known()),
    },
    Metric {
        name: "disk a workflow",
        unit: "KB",
        of: |window| a_workflow(window, window.usage.disk_bytes as f64 / 1e3).filter(|_| window.usage.disk_is_known()),
    },
];

/// What a line on the terminal shows.
const SHOWN: &[&str] =
    &["workflows", "transitions", "start p50", "to start p50", "end to end p50", "end to end p99", "longest gap"];
const SHOWN_IF_KNOWN: &[&str] =
    &["CPU a workflow", "memory", "written a workflow", "fsyncs a workflow", "disk a workflow"];

fn a_workflow(window: &Window, total: f64) -> Option<f64> {
    (window.counts.completed > 0).then(|| total / window.counts.completed as f64)
}

impl Level {
    /// Of all windows.
    pub(super) fn median(&self, metric: &Metric) -> Option<f64> {
        let mut values: Vec<f64> = self.windows.iter().filter_map(metric.of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    pub(super) fn values(&self, metric: &Metric) -> Vec<Option<f64>> {
        self.windows.iter().map(metric.of).collect()
    }

    fn errors(&self) -> u64 {
        self.windows.iter().map(|window| window.counts.errors_total()).sum()
    }
}

impl Report {
    pub(super) fn new(options: &Options) -> Self {
        let label = if options.label.is_empty() { options.address.join(", ") } else { options.label.clone() };
        let scenario = format!("{:?}", options.scenario).to_lowercase();
        let title = format!(
            "{label}: {} {scenario} of {} bytes, {} + {} pollers, {} x {} s",
            options.steps,
            options.payload,
            options.workflow_pollers,
            options.activity_pollers,
            options.runs,
            options.duration.as_secs_f64(),
        );
        println!("{title}");
        Self { title, levels: Vec::new() }
    }

    pub(super) fn line(&self, level: &Level) -> String {
        let mut line = format!("{:>14}", level.load.to_string());
        for metric in METRICS {
            let value = level.median(metric);
            let shown = SHOWN.contains(&metric.name) || (SHOWN_IF_KNOWN.contains(&metric.name) && value.is_some());
            if let Some(value) = value.filter(|_| shown) {
                line.push_str(&format!(" | {} {}{}", metric.name, number(value), unit(metric)));
            }
        }
        if level.errors() > 0 {
            line.push_str(&format!(" | {} ERRORS", level.errors()));
        }
        line
    }

    pub(super) fn finish(&self, options: &Options) -> anyhow::Result<()> {
        for level in &self.levels {
            for (name, count) in level.windows.iter().flat_map(|window| &window.counts.errors) {
                eprintln!("  {}: {count} x {name}", level.load);
            }
        }
        if let Some(path) = &options.json {
            let text = format!("{:#}\n", self.to_json(options));
            fs_err::write(path, text).context("--json")?;
        }
        if let Some(path) = &options.html {
            fs_err::write(path, super::html::page(self)).context("--html")?;
        }
        Ok(())
    }

    fn to_json(&self, options: &Options) -> Value {
        let level = |level: &Level| {
            let metrics: serde_json::Map<String, Value> = METRICS
                .iter()
                .map(|metric| {
                    let value =
                        json!({"unit": metric.unit, "median": level.median(metric), "runs": level.values(metric)});
                    (metric.name.to_owned(), value)
                })
                .collect();
            let timelines: Vec<&Vec<u64>> = level.windows.iter().map(|window| &window.counts.timeline).collect();
            let errors: Vec<_> = level.windows.iter().map(|window| &window.counts.errors).collect();
            json!({"load": level.load.to_string(), "metrics": metrics, "timelines": timelines, "errors": errors})
        };
        json!({
            "title": self.title,
            "label": options.label,
            "addresses": options.address,
            "scenario": format!("{:?}", options.scenario).to_lowercase(),
            "steps": options.steps,
            "payload": options.payload,
            "seconds": options.duration.as_secs_f64(),
            "levels": self.levels.iter().map(level).collect::<Vec<_>>(),
        })
    }
}

pub(super) fn unit(metric: &Metric) -> String {
    match metric.unit {
        unit @ ("/s" | "") => unit.to_owned(),
        unit => format!(" {unit}"),
    }
}

pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Waits, and shows every second on a terminal how it goes.
pub(super) async fn progress(recorder: &Recorder, what: &str, load: Load, duration: Duration) {
    let terminal = std::io::stderr().is_terminal();
    let until = Instant::now() + duration;
    let mut before = recorder.peek().0;
    while Instant::now() < until {
        let second = Duration::from_secs(1).min(until - Instant::now());
        tokio::time::sleep(second).await;
        let (completed, errors) = recorder.peek();
        if terminal {
            let left = until.saturating_duration_since(Instant::now()).as_secs();
            eprint!("\r\x1b[K{load}, {what}: {}/s, {errors} errors, {left} s left", completed.saturating_sub(before));
            std::io::stderr().flush().ok();
        }
        before = completed;
    }
    if terminal {
        eprint!("\r\x1b[K");
    }
}
