//! (a) Start, describe and terminate of one workflow id are a linearizable register: at most one open run, the same
//! request gives the same run, a start finds the open run, everybody sees the newest one.

use std::collections::{BTreeMap, BTreeSet};

use super::settled;
use super::wgl::{self, Answer, Model};
use crate::history::{History, Op, Outcome};
use crate::verdict::{Checked, Violation};

/// The newest run of a workflow id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Newest {
    run: String,
    /// The request that started it.
    request: String,
    open: bool,
}

struct Register;

impl Model for Register {
    type State = Newest;

    fn initial(&self) -> Newest {
        Newest::default()
    }

    fn step(&self, state: &Newest, op: &Op) -> Option<Newest> {
        match (op.f.as_str(), op.outcome) {
            ("start", Outcome::Fail) => (state.open && state.run == op.text("run")).then(|| state.clone()),
            ("start", _) => start(state, op),
            ("describe", Outcome::Ok) => {
                let same = state.run == op.text("run") && state.open == (op.output["open"] == true);
                same.then(|| state.clone())
            }
            ("describe", Outcome::Fail) => state.run.is_empty().then(|| state.clone()),
            ("terminate", Outcome::Ok | Outcome::Info) => {
                let its = op.text("run").is_empty() || op.text("run") == state.run;
                (state.open && its).then(|| Newest { open: false, ..state.clone() })
            }
            ("terminate", Outcome::Fail) => (!state.open).then(|| state.clone()),
            _ => None,
        }
    }
}

fn start(state: &Newest, op: &Op) -> Option<Newest> {
    let request = op.input["request"].as_str().unwrap_or_default();
    let run = match op.text("run") {
        // A run that nobody saw has a name of its own.
        "" => format!("started by {request}"),
        run => run.to_owned(),
    };
    // As in Temporal a request is known by the newest run only: after another run the same request starts anew.
    if state.request == request {
        return (state.run == run).then(|| state.clone());
    }
    (!state.open).then(|| Newest { run, request: request.into(), open: true })
}

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("register");
    let ops = settled::operations(history);
    let mut keys: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in &ops {
        keys.entry(&op.key).or_default().push(op);
    }
    for (key, ops) in keys {
        checked.compared += ops.len() as u64;
        match wgl::check(&Register, &ops) {
            Answer::Linearizable => {}
            Answer::GaveUp => checked.compared -= ops.len() as u64,
            Answer::Not { example } => checked.violations.push(Violation {
                example,
                ..Violation::new("register", key, "start, describe and terminate have no order that explains them")
            }),
        }
    }
    for (request, runs) in settled::doubled(history) {
        checked.violation(request, format!("one terminate call ended {runs} runs"));
    }
    open_runs(history, &mut checked);
    checked
}

/// In the end at most one run of an id is open.
fn open_runs(history: &History, checked: &mut Checked) {
    let mut open: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for run in history.runs_of("register").filter(|run| run.status == "Running") {
        open.entry(&run.key).or_default().insert(&run.run_id);
    }
    for (key, runs) in open.into_iter().filter(|(_, runs)| runs.len() > 1) {
        checked.violation(key, format!("{} runs are open at once: {runs:?}", runs.len()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::{done, history, run};

    fn start(at: u64, request: &str, run: &str) -> Op {
        done("register", "start", at, json!({ "request": request }), json!({ "run": run }))
    }

    fn describe(at: u64, run: &str, open: bool) -> Op {
        done("register", "describe", at, Value::Null, json!({ "run": run, "open": open }))
    }

    fn terminate(at: u64) -> Op {
        done("register", "terminate", at, Value::Null, Value::Null)
    }

    fn with(outcome: Outcome, op: Op) -> Op {
        Op { outcome, ..op }
    }

    fn violations(ops: Vec<Op>) -> usize {
        check(&history(ops, Vec::new())).violations.len()
    }

    #[test]
    fn good() {
        let found = with(Outcome::Fail, start(20, "b", "1"));
        let ops = vec![start(10, "a", "1"), found, describe(30, "1", true), terminate(40), describe(50, "1", false)];
        assert_eq!(violations(ops), 0);
        // Unknown, then seen; and the same request again.
        let unknown = with(Outcome::Info, Op { output: Value::Null, ..start(10, "a", "") });
        let mut started = run("register", "Running", &[("WorkflowExecutionStarted", json!({ "request": "a" }))]);
        started.run_id = "1".into();
        let ops = vec![unknown.clone(), start(20, "a", "1"), describe(30, "1", true)];
        assert_eq!(check(&history(ops, vec![started])).violations, []);
        // Unknown, done, replaced by another run, and sent again: it starts anew, as in Temporal.
        let again = vec![unknown.clone(), terminate(20), start(30, "b", "2"), terminate(40), start(50, "a", "3")];
        let mut first = run("register", "Terminated", &[("WorkflowExecutionStarted", json!({ "request": "a" }))]);
        first.run_id = "1".into();
        assert_eq!(check(&history(again, vec![first])).violations, []);
        // Unknown, seen by somebody else, and told to the one who asked again.
        let seen = vec![unknown.clone(), describe(15, "1", true), start(20, "a", "1")];
        assert_eq!(violations(seen), 0);
        // Unknown, and never done.
        assert_eq!(violations(vec![unknown, with(Outcome::Fail, describe(30, "", false))]), 0);
    }

    #[test]
    fn two_open_runs_stale_reads_and_doubled_requests_are_found() {
        assert_eq!(violations(vec![start(10, "a", "1"), start(20, "b", "2")]), 1, "two open runs");
        assert_eq!(violations(vec![start(10, "a", "1"), start(20, "a", "2")]), 1, "one request, two runs");
        assert_eq!(violations(vec![start(10, "a", "1"), terminate(20), describe(30, "1", true)]), 1, "a stale read");
        let missing = with(Outcome::Fail, Op { output: Value::Null, ..describe(20, "", false) });
        assert_eq!(violations(vec![start(10, "a", "1"), missing]), 1, "an acknowledged start is not there");
        let open = |id: &str| crate::history::Run {
            run_id: id.into(),
            ..run("register", "Running", &[("WorkflowExecutionStarted", json!({ "request": id }))])
        };
        assert_eq!(check(&history(Vec::new(), vec![open("1"), open("2")])).violations.len(), 1);
    }
}
