//! The page of a run: one file that needs no other.

use std::fmt::Write;

use super::chart::{color, timeline};
use super::{Leaders, Summary};
use crate::history::Op;
use crate::verdict::Verdict;

const STYLE: &str =
    "body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1280px;padding:0 16px;color:#222}\
table{border-collapse:collapse;margin:8px 0}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}\
td.n,th.n{text-align:right}h2{margin:24px 0 6px;font-size:17px}pre{background:#f4f4f2;padding:10px;overflow-x:auto}\
svg text{font-size:11px;fill:#555}.ok{fill:#8db8a0}.failed{fill:#b9b9c9}.unknown{fill:#d26a5c}.fault{fill:#444}\
.pass{color:#2c7a4b}.bad{color:#b3261e}.dot{display:inline-block;width:10px;height:10px;margin:0 4px 0 12px}";

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub fn page(summary: &Summary, ops: &[Op], leaders: &[Leaders]) -> String {
    let class = if summary.verdict == Verdict::Pass { "pass" } else { "bad" };
    let mut page = format!(
        "<!doctype html><meta charset=utf-8><title>jepsen: {word}</title><style>{STYLE}</style>\
         <h1>Everstep under faults: <span class={class}>{word}</span></h1>\
         <p><code>{command}</code><br>{seconds:.0} s, seed {seed}, network: {net}. {all} operations: \
         {ok} acknowledged, {failed} refused, {unknown} unknown. {faults} faults.</p>",
        word = summary.verdict.word(),
        command = escape(&summary.command),
        seconds = summary.seconds,
        seed = summary.seed,
        net = summary.net,
        all = summary.operations.all(),
        ok = summary.operations.ok,
        failed = summary.operations.failed,
        unknown = summary.operations.unknown,
        faults = summary.faults.len(),
    );
    if let Verdict::HarnessFailure(reasons) = &summary.verdict {
        let _ = write!(page, "<ul>");
        for reason in reasons {
            let _ = write!(page, "<li>{}", escape(reason));
        }
        let _ = write!(page, "</ul>");
    }
    violations(&mut page, summary);
    page.push_str(
        "<h2>Timeline</h2><p>Operations by the moment of their end: \
        acknowledged green, refused grey, unknown red. Leaders: ",
    );
    let nodes = leaders.iter().flat_map(|leaders| leaders.shards.values()).copied().max().unwrap_or(0);
    for node in 1..=nodes {
        let _ = write!(page, "<span class=dot style=\"background:{}\"></span>node {node}", color(node));
    }
    let _ = write!(page, "</p>{}", timeline(summary, ops, leaders));
    failovers(&mut page, summary);
    faults(&mut page, summary);
    checkers(&mut page, summary);
    if !summary.log_lines.is_empty() {
        let _ = write!(page, "<h2>Errors in the nodes' logs</h2><pre>{}</pre>", escape(&summary.log_lines.join("\n")));
    }
    page
}

fn violations(page: &mut String, summary: &Summary) {
    const SHOWN: usize = 20;
    let all: Vec<_> = summary.checked.iter().flat_map(|checked| &checked.violations).collect();
    if all.is_empty() {
        return;
    }
    let _ = write!(page, "<h2 class=bad>{} violations</h2>", all.len());
    for violation in all.iter().take(SHOWN) {
        let _ = write!(
            page,
            "<p><b>{}</b>, {}: {}</p>",
            escape(&violation.checker),
            escape(&violation.key),
            escape(&violation.what)
        );
        if !violation.example.is_empty() {
            let _ = write!(page, "<pre>{}</pre>", escape(&violation.example.join("\n")));
        }
    }
}

fn failovers(page: &mut String, summary: &Summary) {
    page.push_str(
        "<h2>Failover: from the fault to the next acknowledged write of each shard that lost its leader</h2>\
        <table><tr><th>fault<th class=n>faults<th class=n>shards<th class=n>median<th class=n>p99<th class=n>worst",
    );
    for (kind, one) in &summary.failovers {
        let _ = write!(
            page,
            "<tr><td>{kind}<td class=n>{}<td class=n>{}<td class=n>{:.0} ms<td class=n>{:.0} ms<td class=n>{:.0} ms",
            one.faults, one.shards, one.median_ms, one.p99_ms, one.worst_ms
        );
    }
    page.push_str("</table>");
    if let Some(others) = &summary.others {
        let _ = write!(
            page,
            "<p>Shards that kept their leader: p99 {:.1} ms of {} writes in the two seconds after it; quiet times {:.1} ms of {}.",
            others.p99_ms, others.writes, others.quiet_p99_ms, others.quiet_writes
        );
    }
    page.push_str("<h2>Longest time without an acknowledged write</h2><table>");
    for pause in &summary.pauses {
        let from = pause.from as f64 / 1e9;
        let _ = write!(page, "<tr><td>shard {}<td class=n>{:.2} s<td>from {from:.1} s", pause.shard, pause.seconds);
    }
    page.push_str("</table>");
}

fn faults(page: &mut String, summary: &Summary) {
    page.push_str(
        "<h2>Faults, and the operations under way during each</h2><table><tr><th class=n>at<th class=n>for\
        <th>what<th>leaders lost<th class=n>ok<th class=n>refused<th class=n>unknown<th>next write",
    );
    for struck in &summary.faults {
        let fault = &struck.fault;
        let led: Vec<String> = fault.led.iter().map(u32::to_string).collect();
        let next = struck.next_write_ms.iter().map(|(shard, ms)| format!("{shard}: {ms:.0} ms"));
        let _ = write!(
            page,
            "<tr><td class=n>{:.1} s<td class=n>{:.1} s<td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{}",
            fault.begin as f64 / 1e9,
            (fault.end - fault.begin) as f64 / 1e9,
            escape(&fault.what),
            led.join(", "),
            struck.operations.ok,
            struck.operations.failed,
            struck.operations.unknown,
            next.collect::<Vec<_>>().join(", ")
        );
    }
    page.push_str("</table>");
}

fn checkers(page: &mut String, summary: &Summary) {
    page.push_str("<h2>Checkers</h2><table><tr><th>checker<th class=n>compared<th class=n>violations");
    for checked in &summary.checked {
        let _ = write!(
            page,
            "<tr><td>{}<td class=n>{}<td class=n>{}",
            checked.checker,
            checked.compared,
            checked.violations.len()
        );
    }
    page.push_str("</table>");
}
