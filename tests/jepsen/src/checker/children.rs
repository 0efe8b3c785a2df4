//! (k) Every child that was asked for started once or could not be, ended once, and exists exactly if its parent says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, Run};
use crate::verdict::Checked;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("children");
    let runs: BTreeSet<(&str, &str)> =
        history.runs_of("children").map(|run| (run.key.as_str(), run.run_id.as_str())).collect();
    for run in history.runs_of("children") {
        let mut outcomes: BTreeMap<i64, [u32; 2]> = BTreeMap::new();
        for event in &run.events {
            let which = match event.kind.as_str() {
                "ChildWorkflowExecutionStarted" => 0,
                "ChildWorkflowExecutionCompleted" => 1,
                "StartChildWorkflowExecutionFailed" => {
                    checked.violation(&run.key, format!("a child with a new id could not start: {}", event.facts));
                    continue;
                }
                _ => continue,
            };
            outcomes.entry(event.number("initiated")).or_default()[which] += 1;
        }
        for asked in run.events.iter().filter(|event| event.kind == "StartChildWorkflowExecutionInitiated") {
            checked.compared += 1;
            one_child(&mut checked, run, asked.id, asked.text("child"), &outcomes, &runs);
        }
    }
    checked
}

fn one_child(
    checked: &mut Checked,
    run: &Run,
    initiated: i64,
    child: &str,
    outcomes: &BTreeMap<i64, [u32; 2]>,
    runs: &BTreeSet<(&str, &str)>,
) {
    let [started, completed] = outcomes.get(&initiated).copied().unwrap_or_default();
    if (started, completed) != (1, 1) {
        checked.violation(&run.key, format!("{child} started {started} times and completed {completed} times"));
    }
    let told = run
        .events
        .iter()
        .find(|event| event.kind == "ChildWorkflowExecutionStarted" && event.number("initiated") == initiated);
    if let Some(told) = told.filter(|told| !runs.contains(&(child, told.text("run")))) {
        checked.violation(&run.key, format!("{child} started as run {}, which is not there", told.text("run")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::{history, run};

    fn violations(outcomes: &[&str], exists: bool) -> usize {
        let mut events = vec![("StartChildWorkflowExecutionInitiated", json!({ "child": "c" }))];
        events.extend(outcomes.iter().map(|kind| (*kind, json!({ "initiated": 1, "run": "x" }))));
        let mut runs = vec![run("children", "Completed", &events)];
        if exists {
            runs.push(Run { key: "c".into(), run_id: "x".into(), ..run("children", "Completed", &[]) });
        }
        check(&history(Vec::new(), runs)).violations.len()
    }

    #[test]
    fn a_child_starts_once_ends_once_and_is_there() {
        let (started, completed) = ("ChildWorkflowExecutionStarted", "ChildWorkflowExecutionCompleted");
        assert_eq!(violations(&[started, completed], true), 0);
        assert_eq!(violations(&[started], true), 1);
        assert_eq!(violations(&[started, completed, completed], true), 1);
        assert_eq!(violations(&[started, completed], false), 1);
        assert_eq!(violations(&[], false), 1);
    }
}
