//! One page with everything on it; no scripts, nothing fetched.

use std::fmt::Write;

use super::report::{number, unit, Level, Report, METRICS};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const MARGIN: f64 = 50.0;
const COLOURS: [&str; 6] = ["#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#475569"];

const STYLE: &str =
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#1e293b}\
    table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.25em .7em;text-align:right;\
    border-bottom:1px solid #e2e8f0}th:first-child,td:first-child{text-align:left}svg{display:block;margin:1em 0}\
    .scroll{overflow-x:auto}";

/// A named row of points.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

pub(super) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>everstep bench</title><style>{STYLE}</style><h1>everstep bench</h1><p>{}</p>",
        escape(&report.title)
    );
    table(&mut page, report);
    page.push_str("<h2>Workflows a second, each second of the first run</h2>");
    page.push_str(&plot(&report.levels.iter().filter_map(timeline).collect::<Vec<_>>()));
    page.push_str("<h2>End to end, ms, from the lightest load to the heaviest</h2>");
    let names = ["end to end p50", "end to end p95", "end to end p99"];
    page.push_str(&plot(&names.map(|name| across(report, name))));
    page.push_str("<h2>Workflows a second, from the lightest load to the heaviest</h2>");
    page.push_str(&plot(&[across(report, "workflows")]));
    page.push_str("</html>\n");
    page
}

fn table(page: &mut String, report: &Report) {
    page.push_str("<div class=scroll><table><tr><th>median");
    for level in &report.levels {
        let _ = write!(page, "<th>{}", escape(&level.load.to_string()));
    }
    for metric in METRICS.iter().filter(|metric| report.levels.iter().any(|level| level.median(metric).is_some())) {
        let _ = write!(page, "<tr><td>{}", metric.name);
        for level in &report.levels {
            let shown = level.median(metric).map(|value| number(value) + &unit(metric)).unwrap_or_default();
            let _ = write!(page, "<td>{shown}");
        }
    }
    page.push_str("</table></div>");
}

fn timeline(level: &Level) -> Option<Line> {
    let counts = &level.windows.first()?.counts;
    // The last second is not a whole one.
    let whole = counts.timeline.len().min(counts.seconds as usize);
    let points = counts.timeline[..whole].iter().enumerate().map(|(second, &count)| (second as f64, count as f64));
    Some(Line { name: level.load.to_string(), points: points.collect() })
}

fn across(report: &Report, name: &str) -> Line {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    let value = |level: &Level| metric.and_then(|metric| level.median(metric)).unwrap_or_default();
    let points = report.levels.iter().enumerate().map(|(at, level)| (at as f64, value(level)));
    Line { name: name.to_owned(), points: points.collect() }
}

fn plot(lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(1e-9, f64::max) * 1.05;
    let x = |value: f64| MARGIN + value / right * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - 20.0 - value / top * (HEIGHT - 40.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=img>");
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let _ = write!(
            svg,
            "<line x1={MARGIN} x2={} y1={at:.1} y2={at:.1} stroke=#e2e8f0 /><text x={} y={:.1} font-size=11 \
             text-anchor=end>{}</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            y(value) + 4.0,
            number(value),
            at = y(value),
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let path: Vec<String> = line.points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b))).collect();
        let _ = write!(svg, "<polyline fill=none stroke=\"{colour}\" stroke-width=2 points=\"{}\"/>", path.join(" "));
        for point in &path {
            if let Some((a, b)) = point.split_once(',') {
                let _ = write!(svg, "<circle cx={a} cy={b} r=2.5 fill=\"{colour}\" />");
            }
        }
        let left = MARGIN + 130.0 * at as f64;
        let _ = write!(svg, "<text x={left} y=12 font-size=12 fill=\"{colour}\">{}</text>", escape(&line.name));
    }
    svg.push_str("</svg>");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_without_points_is_still_a_picture() {
        let svg = plot(&[Line { name: "<a>".into(), points: Vec::new() }]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && svg.contains("&lt;a&gt;"));
    }
}
