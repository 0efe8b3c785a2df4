//! (d, j) A history is contiguous and only ever grows: what any node showed at any time is a prefix of what is there in
//! the end, a later read shows no less than an earlier one, and a read shows what was acknowledged before it began.

use std::collections::BTreeMap;

use crate::history::{Event, History, Nanos, Op, Run};
use crate::verdict::Checked;

/// Start and first workflow task stand before the first signal of a workflow that nobody works on.
const BEFORE_SIGNALS: i64 = 2;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("reads");
    for run in &history.runs {
        contiguous(&mut checked, run);
    }
    let mut keys: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in history.of("signals").filter(|op| op.ok()) {
        keys.entry(&op.key).or_default().push(op);
    }
    for run in history.runs_of("signals") {
        if let Some(ops) = keys.get(run.key.as_str()) {
            let (mut seen, mut acknowledged) = (Floor::default(), Floor::default());
            // Reads in order of invocation, against everything that completed before.
            let mut ends: Vec<&Op> = ops.clone();
            ends.sort_by_key(|op| op.complete);
            let mut ended = ends.into_iter().peekable();
            for op in ops.iter().filter(|op| op.f == "history" || op.f == "describe") {
                // The first page of a long history says nothing of its length.
                if op.f == "history" && op.output["whole"] != true {
                    continue;
                }
                while let Some(earlier) = ended.next_if(|earlier| earlier.complete < op.invoke) {
                    match earlier.f.as_str() {
                        "history" if earlier.output["whole"] != true => {}
                        "history" | "describe" => seen.raise(earlier.number("events"), earlier.complete),
                        "number" if run.key.contains("silent") => {
                            acknowledged.raise(earlier.number("n") + BEFORE_SIGNALS, earlier.complete);
                        }
                        _ => {}
                    }
                }
                one_read(&mut checked, run, op, &seen, &acknowledged);
            }
        }
    }
    checked
}

/// The least number of events that a read must show, and since when.
#[derive(Default)]
struct Floor {
    events: i64,
    since: Nanos,
}

impl Floor {
    fn raise(&mut self, events: i64, since: Nanos) {
        if events > self.events {
            *self = Self { events, since };
        }
    }
}

fn one_read(checked: &mut Checked, run: &Run, op: &Op, seen: &Floor, acknowledged: &Floor) {
    checked.compared += 1;
    let events = op.number("events");
    for (floor, what) in [(seen, "an earlier read had shown"), (acknowledged, "acknowledged signals need")] {
        // A signal that was never acknowledged may be missing, so the floor is what was acknowledged, not its number.
        if events < floor.events && (what.starts_with("an") || all_acknowledged(run, floor.events)) {
            let since = floor.since as f64 / 1e9;
            checked.violation(
                &run.key,
                format!("stale read: {what} {} events since {since:.3} s: {}", floor.events, op.line()),
            );
        }
    }
    if op.f != "history" {
        return;
    }
    let last = usize::try_from(events).ok().and_then(|events| events.checked_sub(1));
    let print = last.and_then(|last| run.events.get(last)).map(|event| event.text("print"));
    if print != Some(op.text("print")) {
        checked.violation(&run.key, format!("events were read that are not there in the end: {}", op.line()));
    }
}

/// Whether the first so many events are there without a gap in the numbers sent, so that a number tells a place.
fn all_acknowledged(run: &Run, events: i64) -> bool {
    let Ok(events) = usize::try_from(events) else { return false };
    let last = events.checked_sub(1).and_then(|last| run.events.get(last));
    last.is_some_and(|event| {
        event.facts["value"]["n"].as_i64() == i64::try_from(events).ok().map(|n| n - BEFORE_SIGNALS)
    })
}

fn contiguous(checked: &mut Checked, run: &Run) {
    checked.compared += 1;
    for difference in &run.differences {
        checked.violation(&run.key, format!("run {}: {difference}", run.run_id));
    }
    if run.events.is_empty() {
        checked.violation(&run.key, format!("run {} was acknowledged and is not there", run.run_id));
    }
    for (expected, event) in (1..).zip(&run.events) {
        if event.id != expected {
            checked.violation(&run.key, format!("run {}: event {} where {expected} belongs", run.run_id, event.id));
            break;
        }
    }
    let stamped: Vec<&Event> = run.events.iter().filter(|event| !may_have_waited(event)).collect();
    if let Some(two) = stamped.windows(2).find(|two| two[0].time > two[1].time) {
        checked.violation(&run.key, format!("run {}: event {} is older than one before", run.run_id, two[1].id));
    }
}

/// What arrives while a workflow task runs keeps the time of its arrival and gets its place after the task.
fn may_have_waited(event: &Event) -> bool {
    let kind = event.kind.as_str();
    !kind.starts_with("WorkflowTask") && kind != "WorkflowExecutionStarted" && kind != "TimerStarted"
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::{done, history, run};

    fn silent(mut events: u64) -> Run {
        let mut list = vec![("WorkflowExecutionStarted", Value::Null), ("WorkflowTaskScheduled", Value::Null)];
        while events > 0 {
            let n = list.len() - 1;
            list.push(("WorkflowExecutionSignaled", json!({ "name": "number", "value": { "n": n } })));
            events -= 1;
        }
        Run { key: "signals-silent-1".into(), ..run("signals", "Running", &list) }
    }

    fn ops(rows: Vec<Op>) -> Vec<Op> {
        rows.into_iter().map(|op| Op { key: "signals-silent-1".into(), ..op }).collect()
    }

    fn read(at: u64, events: u64, print: &str) -> Op {
        done("signals", "history", at, Value::Null, json!({ "events": events, "print": print, "whole": true }))
    }

    fn signal(at: u64, n: u64) -> Op {
        done("signals", "number", at, json!({ "n": n }), Value::Null)
    }

    #[test]
    fn good() {
        let mut page = read(50, 2, "1");
        page.output["whole"] = false.into();
        let ops = ops(vec![signal(10, 1), read(20, 3, "2"), signal(30, 2), read(40, 4, "3"), page]);
        assert_eq!(check(&history(ops, vec![silent(2)])).violations, []);
    }

    #[test]
    fn stale_shrinking_and_rewritten_reads_are_found() {
        let cases = [
            (vec![signal(10, 1), read(20, 2, "1")], "stale read: acknowledged"),
            (vec![read(20, 4, "3"), read(30, 3, "2")], "stale read: an earlier"),
            (vec![read(20, 3, "other")], "not there in the end"),
        ];
        for (rows, told) in cases {
            let checked = check(&history(ops(rows), vec![silent(2)]));
            assert!(checked.violations.len() == 1 && checked.violations[0].what.contains(told), "{told}: {checked:?}");
        }
    }

    #[test]
    fn holes_missing_runs_and_nodes_that_differ_are_found() {
        let mut hole = silent(2);
        hole.events.remove(1);
        let mut backwards = silent(2);
        backwards.events[1].time = -1;
        let gone = Run { events: Vec::new(), ..silent(0) };
        let differs = Run { differences: vec!["node 2 has 1 event".into()], ..silent(2) };
        for bad in [hole, backwards, gone, differs] {
            assert_eq!(check(&history(Vec::new(), vec![bad])).violations.len(), 1);
        }
    }
}
