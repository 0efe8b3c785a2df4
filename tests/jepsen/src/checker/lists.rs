//! (g) Every run that is there is in every node's list, once and with its status, and no run that nobody asked for; the
//! count is the list's length.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::history::History;
use crate::verdict::Checked;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("lists");
    let Some(nodes) = history.finals.get("lists").and_then(Value::as_object) else { return checked };
    for (node, listed) in nodes {
        let mut found: BTreeMap<&str, (&str, u32)> = BTreeMap::new();
        for run in listed["runs"].as_array().into_iter().flatten() {
            let (run, status) = (run[0].as_str().unwrap_or_default(), run[1].as_str().unwrap_or_default());
            found.entry(run).or_insert((status, 0)).1 += 1;
        }
        let length: u32 = found.values().map(|(_, times)| times).sum();
        if listed["count"].as_i64() != Some(i64::from(length)) {
            checked.violation(node, format!("node {node} lists {length} runs and counts {}", listed["count"]));
        }
        for run in history.runs.iter().filter(|run| !run.events.is_empty()) {
            checked.compared += 1;
            match found.get(run.run_id.as_str()) {
                None => checked.violation(&run.key, format!("run {} is not in the list of node {node}", run.run_id)),
                Some((_, 2..)) => {
                    checked.violation(&run.key, format!("run {} is in the list of node {node} twice", run.run_id));
                }
                Some((status, _)) if !is(status, &run.status) => {
                    checked
                        .violation(&run.key, format!("the list of node {node} says {status}, Describe {}", run.status));
                }
                Some(_) => {}
            }
        }
        from_nowhere(&mut checked, history, node, listed);
    }
    checked
}

/// Listed runs that were not read, though no start is left of which nobody knows what became of it.
fn from_nowhere(checked: &mut Checked, history: &History, node: &str, listed: &Value) {
    let read: BTreeSet<&str> = history.runs.iter().map(|run| run.run_id.as_str()).collect();
    let of_starts = |ok: bool| {
        let starts = history.ops.iter().filter(move |op| op.f == "start" && op.ok() == ok);
        starts.map(|op| op.key.as_str()).collect::<BTreeSet<_>>()
    };
    let chains = history.runs.iter().filter(|run| run.status == "ContinuedAsNew");
    let continued: BTreeSet<&str> = chains.map(|run| run.key.as_str()).collect();
    let (answered, unanswered) = (of_starts(true), of_starts(false));
    for run in listed["runs"].as_array().into_iter().flatten() {
        let (run, key) = (run[0].as_str().unwrap_or_default(), run[2].as_str().unwrap_or_default());
        // Children and the runs of a chain are led to by the run that was started.
        let asked = key.split(".child-").next().unwrap_or_default();
        // A try that comes once its chain has ended starts the chain again: it is compared with the newest run only.
        let again = continued.contains(asked) || !answered.contains(asked);
        let unknown = unanswered.contains(asked) && again;
        if !read.contains(run) && !unknown {
            checked.violation(key, format!("run {run} is in the list of node {node}, and nobody asked for it"));
        }
    }
}

/// `WORKFLOW_EXECUTION_STATUS_TIMED_OUT` is `TimedOut`.
fn is(listed: &str, status: &str) -> bool {
    listed.trim_start_matches("WORKFLOW_EXECUTION_STATUS_").replace('_', "").eq_ignore_ascii_case(status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::{history, op, run};
    use crate::history::{Op, Outcome};

    fn violations(listed: Value) -> usize {
        let mut history = history(Vec::new(), vec![run("w", "TimedOut", &[("WorkflowExecutionStarted", Value::Null)])]);
        history.finals.insert("lists".into(), json!({ "1": listed }));
        check(&history).violations.len()
    }

    #[test]
    fn a_list_has_every_run_once_with_its_status() {
        let timed_out = json!(["r", "WORKFLOW_EXECUTION_STATUS_TIMED_OUT", "k"]);
        assert_eq!(violations(json!({ "count": 1, "runs": [timed_out] })), 0);
        assert_eq!(violations(json!({ "count": 2, "runs": [timed_out] })), 1);
        assert_eq!(violations(json!({ "count": 0, "runs": [] })), 1);
        assert_eq!(violations(json!({ "count": 2, "runs": [timed_out, timed_out] })), 1);
        assert_eq!(violations(json!({ "count": 1, "runs": [["r", "WORKFLOW_EXECUTION_STATUS_RUNNING", "k"]] })), 1);
    }

    #[test]
    fn a_run_that_nobody_asked_for_is_found() {
        let ended = "WORKFLOW_EXECUTION_STATUS_COMPLETED";
        let violations = |starts: &[Outcome], key: &str| {
            let start = |&outcome: &Outcome| Op { f: "start".into(), ..op(1, 2, outcome) };
            let mut history = history(starts.iter().map(start).collect(), Vec::new());
            history.finals.insert("lists".into(), json!({ "1": { "count": 1, "runs": [["r2", ended, key]] } }));
            check(&history).violations.len()
        };
        assert_eq!(violations(&[], "k"), 1);
        assert_eq!(violations(&[Outcome::Ok], "k"), 1, "the one that was asked for was read");
        assert_eq!(violations(&[Outcome::Info], "k"), 0, "perhaps it was started");
        assert_eq!(violations(&[Outcome::Info], "k.child-0"), 0);
        assert_eq!(violations(&[Outcome::Info, Outcome::Ok], "k.child-0"), 1);
    }

    #[test]
    fn a_late_try_may_start_a_chain_again() {
        let listed = |runs: &[&str]| {
            let runs: Vec<Value> = runs.iter().map(|run| json!([run, "CONTINUED_AS_NEW", "k"])).collect();
            json!({ "1": { "count": runs.len(), "runs": runs } })
        };
        let violations = |tries: &[Outcome]| {
            let start = |&outcome: &Outcome| Op { f: "start".into(), ..op(1, 2, outcome) };
            let read = run("chains", "ContinuedAsNew", &[("WorkflowExecutionStarted", Value::Null)]);
            let mut history = history(tries.iter().map(start).collect(), vec![read]);
            history.finals.insert("lists".into(), listed(&["r", "r2"]));
            check(&history).violations.len()
        };
        assert_eq!(violations(&[Outcome::Info, Outcome::Ok]), 0);
        assert_eq!(violations(&[Outcome::Ok]), 1, "no try is left for it");
    }
}
