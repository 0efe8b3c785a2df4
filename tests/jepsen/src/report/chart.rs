//! The timeline as SVG: operations in bins, faults as bars, the leader of each shard as a band.

use std::fmt::Write;

use super::{Leaders, Summary};
use crate::history::{Op, Outcome};

const WIDTH: f64 = 1160.0;
const LEFT: f64 = 90.0;
const BINS: usize = 290;
const BARS: f64 = 120.0;
const ROW: f64 = 16.0;
const NODES: [&str; 7] = ["#4878a8", "#e08a3c", "#5a9e6f", "#a3609a", "#8c6d4f", "#c9a227", "#6b7a8f"];

pub fn color(node: u64) -> &'static str {
    NODES[usize::try_from(node.saturating_sub(1)).unwrap_or_default() % NODES.len()]
}

pub fn timeline(summary: &Summary, ops: &[Op], leaders: &[Leaders]) -> String {
    let shards: Vec<u32> = leaders.last().map(|last| last.shards.keys().copied().collect()).unwrap_or_default();
    let faults_at = BARS + 24.0;
    let shards_at = faults_at + ROW * 3.0;
    let height = shards_at + ROW * shards.len() as f64 + 30.0;
    let x = |nanos: u64| LEFT + (nanos as f64 / 1e9) / summary.seconds.max(0.001) * WIDTH;
    let mut svg = format!("<svg viewBox=\"0 0 {} {height}\" width=\"100%\">", LEFT + WIDTH + 10.0);
    bars(&mut svg, summary.seconds, ops);
    let _ = write!(svg, "<text x=\"4\" y=\"{}\">faults</text>", faults_at + 12.0);
    for (at, struck) in summary.faults.iter().enumerate() {
        let (from, to) = (x(struck.fault.begin), x(struck.fault.end));
        let _ = write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" class=\"fault\"><title>{:.1} s: {}</title></rect>",
            faults_at + ROW * (at % 3) as f64,
            (to - from).max(1.5),
            ROW - 3.0,
            struck.fault.begin as f64 / 1e9,
            super::html::escape(&struck.fault.what),
        );
    }
    for (row, shard) in shards.iter().enumerate() {
        let y = shards_at + ROW * row as f64;
        let name = if *shard == 0 { "system".into() } else { format!("shard {shard}") };
        let _ = write!(svg, "<text x=\"4\" y=\"{}\">{name}</text>", y + 12.0);
        for two in leaders.windows(2) {
            let Some(&leader) = two[0].shards.get(shard) else { continue };
            let (from, to) = (x(two[0].at), x(two[1].at));
            let _ = write!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.2}\" height=\"{}\" fill=\"{}\"/>",
                to - from + 0.2,
                ROW - 3.0,
                color(leader)
            );
        }
    }
    axis(&mut svg, summary.seconds, height);
    svg.push_str("</svg>");
    svg
}

/// Operations by the moment of their end, stacked: acknowledged, refused, unknown.
fn bars(svg: &mut String, seconds: f64, ops: &[Op]) {
    let mut bins = vec![[0_u32; 3]; BINS];
    for op in ops {
        let bin = (op.complete as f64 / 1e9 / seconds.max(0.001) * BINS as f64) as usize;
        let outcome = match op.outcome {
            Outcome::Ok => 0,
            Outcome::Fail => 1,
            Outcome::Info => 2,
        };
        bins[bin.min(BINS - 1)][outcome] += 1;
    }
    let most = bins.iter().map(|bin| bin.iter().sum::<u32>()).max().unwrap_or(1).max(1);
    let width = WIDTH / BINS as f64;
    for (at, bin) in bins.iter().enumerate() {
        let mut top = BARS + 10.0;
        for (count, class) in bin.iter().zip(["ok", "failed", "unknown"]) {
            let height = f64::from(*count) / f64::from(most) * BARS;
            top -= height;
            if *count > 0 {
                let left = LEFT + at as f64 * width;
                let _ = write!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" class=\"{class}\"/>",
                    width - 0.4
                );
            }
        }
    }
    let each = seconds / BINS as f64;
    let _ = write!(svg, "<text x=\"4\" y=\"20\">{:.0} op/s</text>", f64::from(most) / each.max(0.001));
}

fn axis(svg: &mut String, seconds: f64, height: f64) {
    for tenth in 0..=10 {
        let left = LEFT + WIDTH * f64::from(tenth) / 10.0;
        let at = seconds * f64::from(tenth) / 10.0;
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{at:.0} s</text>", left - 10.0, height - 6.0);
    }
}
