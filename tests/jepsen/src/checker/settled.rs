//! What the histories tell of unknown operations on registers: whether they took effect, and on which run. Every start
//! leaves its request in its run's first event and every termination in the last one, so that few stay unknown, and the
//! search for an order stays short.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use crate::history::{History, Nanos, Op, Outcome};

/// Requests, and the runs that they started or ended, oldest first.
type Effects<'a> = BTreeMap<&'a str, Vec<(i64, &'a str)>>;

/// The register's operations in order of invocation. Left out are those that did nothing and told nothing.
pub fn operations(history: &History) -> Vec<Op> {
    let complete = every_run_was_read(history);
    let mut started = effects(history, "WorkflowExecutionStarted");
    let ended = effects(history, "WorkflowExecutionTerminated");
    let told: BTreeMap<&str, &str> = history
        .of("register")
        .filter(|op| op.f == "start" && op.ok())
        .map(|op| (op.text("request"), op.text("run")))
        .collect();
    let mut first_try: BTreeMap<&str, Nanos> = BTreeMap::new();
    let mut found = Vec::new();
    for op in history.of("register") {
        let request = op.text("request");
        match (op.f.as_str(), op.outcome) {
            ("describe", Outcome::Info) => {}
            ("terminate", Outcome::Info) => match ended.get(request) {
                Some(runs) => found.push(of_run(op, runs[0].1)),
                None if complete && !request.is_empty() => {}
                None => found.push(op.clone()),
            },
            ("start", Outcome::Info) => {
                let runs = started.get_mut(request);
                let other = runs.and_then(|runs| {
                    let at = runs.iter().position(|(_, run)| told.get(request) != Some(run))?;
                    Some(runs.remove(at).1)
                });
                match (other, told.contains_key(request)) {
                    (Some(run), _) => found.push(of_run(op, run)),
                    // The run that a later try was told: either made it.
                    (None, true) => {
                        first_try.entry(request).or_insert(op.invoke);
                    }
                    (None, false) if complete => {}
                    (None, false) => found.push(op.clone()),
                }
            }
            _ => found.push(op.clone()),
        }
    }
    for op in found.iter_mut().filter(|op| op.f == "start" && op.ok()) {
        let first = first_try.get(op.input["request"].as_str().unwrap_or_default());
        op.invoke = first.map_or(op.invoke, |first| op.invoke.min(*first));
    }
    found.sort_by_key(|op| op.invoke);
    found
}

fn of_run(op: &Op, run: &str) -> Op {
    Op { output: json!({ "run": run }), ..op.clone() }
}

/// One call takes effect on one run.
pub fn doubled(history: &History) -> Vec<(&str, usize)> {
    let ended = effects(history, "WorkflowExecutionTerminated");
    ended.into_iter().filter(|(_, runs)| runs.len() > 1).map(|(request, runs)| (request, runs.len())).collect()
}

fn effects<'a>(history: &'a History, kind: &str) -> Effects<'a> {
    let mut effects = Effects::new();
    for run in history.runs_of("register") {
        for event in run.events.iter().filter(|event| event.kind == kind && !event.text("request").is_empty()) {
            effects.entry(event.text("request")).or_default().push((event.time, &run.run_id));
        }
    }
    effects.values_mut().for_each(|runs| runs.sort_unstable());
    effects
}

/// Only then does a request that is in no history stand for a call that did nothing.
fn every_run_was_read(history: &History) -> bool {
    let read: BTreeSet<&str> = history.runs.iter().map(|run| run.run_id.as_str()).collect();
    let Some(nodes) = history.finals.get("lists").and_then(Value::as_object) else { return false };
    let runs = nodes.values().flat_map(|listed| listed["runs"].as_array().into_iter().flatten());
    !nodes.is_empty() && runs.filter_map(|run| run[0].as_str()).all(|run| read.contains(run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::{done, history, run};
    use crate::history::Run;

    fn op(f: &str, at: u64, outcome: Outcome, request: &str, run: &str) -> Op {
        let output = if run.is_empty() { Value::Null } else { json!({ "run": run }) };
        Op { outcome, ..done("register", f, at, json!({ "request": request }), output) }
    }

    fn made(run_id: &str, by: &str, ended_by: &str) -> Run {
        let events = [
            ("WorkflowExecutionStarted", json!({ "request": by })),
            ("WorkflowExecutionTerminated", json!({ "request": ended_by })),
        ];
        Run { run_id: run_id.into(), ..run("register", "Terminated", &events) }
    }

    /// Invocations and runs of what is left.
    fn left(ops: Vec<Op>, runs: Vec<Run>, listed: &[&str]) -> Vec<(Nanos, String)> {
        let mut history = history(ops, runs);
        let listed: Vec<Value> = listed.iter().map(|run| json!([run, "", ""])).collect();
        history.finals.insert("lists".into(), json!({ "1": { "runs": listed } }));
        operations(&history).iter().map(|op| (op.invoke, op.text("run").to_owned())).collect()
    }

    use Outcome::{Info, Ok};

    #[test]
    fn what_did_nothing_is_left_out_if_all_runs_were_read() {
        let ops =
            vec![op("start", 1, Info, "a", ""), op("terminate", 2, Info, "t", ""), op("describe", 3, Info, "", "")];
        assert_eq!(left(ops.clone(), Vec::new(), &[]), []);
        assert_eq!(left(ops, Vec::new(), &["unread"]), [(1, String::new()), (2, String::new())]);
    }

    #[test]
    fn what_took_effect_gets_its_run() {
        let ops = vec![op("start", 1, Info, "a", ""), op("terminate", 2, Info, "t", "")];
        assert_eq!(left(ops, vec![made("1", "a", "t")], &["1"]), [(1, "1".into()), (2, "1".into())]);
    }

    #[test]
    fn tries_that_made_one_run_are_one_start() {
        let tries = vec![op("start", 1, Info, "a", ""), op("start", 5, Ok, "a", "1")];
        assert_eq!(left(tries.clone(), vec![made("1", "a", "")], &["1"]), [(1, "1".into())]);
        // A request that started a run, another one after that had ended, and was told the second.
        let two = vec![made("0", "a", "t"), made("1", "a", "")];
        assert_eq!(left(tries, two, &["0", "1"]), [(1, "0".into()), (5, "1".into())]);
    }

    #[test]
    fn a_call_that_ended_two_runs_is_found() {
        let two = history(Vec::new(), vec![made("1", "a", "t"), made("2", "b", "t"), made("3", "c", "u")]);
        assert_eq!(doubled(&two), [("t", 2)]);
    }
}
