//! (c, l) One completion per activity: of all answers to all attempts at most one is accepted, that one is what the
//! history says, and every scheduled activity ends once. Each attempt ends once, too, and only the last one in a result.

use std::collections::BTreeMap;

use crate::history::{History, Op, Run};
use crate::verdict::{Checked, Violation};

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("steps");
    let mut accepted: BTreeMap<(&str, &str), Vec<&Op>> = BTreeMap::new();
    for op in history.of("steps").filter(|op| op.f == "complete" && op.ok()) {
        accepted.entry((op.text("run"), op.text("activity"))).or_default().push(op);
    }
    for ((_, activity), ops) in &accepted {
        checked.compared += 1;
        if ops.len() > 1 {
            checked.violations.push(Violation {
                example: ops.iter().map(|op| op.line()).collect(),
                ..Violation::new("steps", &ops[0].key, format!("{activity}: {} completions were accepted", ops.len()))
            });
        }
    }
    for run in history.runs_of("steps") {
        one_run(&mut checked, run, &accepted);
    }
    attempts(&mut checked, history);
    checked
}

/// An attempt that was acknowledged as failed was not completed, nor failed a second time.
fn attempts(checked: &mut Checked, history: &History) {
    let mut answered: BTreeMap<(&str, &str, i64), Vec<&Op>> = BTreeMap::new();
    for op in history.of("steps").filter(|op| matches!(op.f.as_str(), "complete" | "fail") && op.ok()) {
        answered.entry((op.text("run"), op.text("activity"), op.number("attempt"))).or_default().push(op);
    }
    for ((_, activity, attempt), ops) in answered {
        checked.compared += 1;
        if ops.len() > 1 && ops.iter().any(|op| op.f == "fail") {
            checked.violations.push(Violation {
                example: ops.iter().map(|op| op.line()).collect(),
                ..Violation::new(
                    "steps",
                    &ops[0].key,
                    format!("attempt {attempt} of {activity}: {} answers", ops.len()),
                )
            });
        }
    }
}

fn one_run(checked: &mut Checked, run: &Run, accepted: &BTreeMap<(&str, &str), Vec<&Op>>) {
    let mut ends: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    let started = run.events.iter().filter(|event| event.kind == "ActivityTaskStarted");
    let attempts: BTreeMap<i64, i64> =
        started.map(|event| (event.number("scheduled"), event.number("attempt"))).collect();
    for event in &run.events {
        if matches!(event.kind.as_str(), "ActivityTaskCompleted" | "ActivityTaskFailed" | "ActivityTaskTimedOut") {
            ends.entry(event.number("scheduled")).or_default().push(event.text("result"));
        }
    }
    for event in run.events.iter().filter(|event| event.kind == "ActivityTaskScheduled") {
        checked.compared += 1;
        let activity = event.text("activity");
        let results = ends.get(&event.id).cloned().unwrap_or_default();
        if results.len() != 1 {
            checked.violation(&run.key, format!("{activity} ended {} times", results.len()));
        }
        let told = accepted.get(&(run.run_id.as_str(), activity)).and_then(|ops| ops.first());
        let attempt = attempts.get(&event.id).copied();
        if let Some(told) = told.filter(|told| attempt != Some(told.number("attempt"))) {
            checked.violation(
                &run.key,
                format!("{activity}: attempt {} was accepted, the history has {attempt:?}", told.number("attempt")),
            );
        }
        if let Some(told) = told.filter(|told| results.first() != Some(&told.text("result"))) {
            checked.violation(
                &run.key,
                format!("{activity}: {} was accepted, the history has {results:?}", told.text("result")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::{done, history, run};

    fn complete(result: &str) -> Op {
        let input = json!({ "run": "r", "activity": "step-0", "attempt": 1, "result": result });
        done("steps", "complete", 1, input, Value::Null)
    }

    fn ran(results: &[&str]) -> Run {
        let mut events = vec![
            ("ActivityTaskScheduled", json!({ "activity": "step-0" })),
            ("ActivityTaskStarted", json!({ "scheduled": 1, "attempt": 1 })),
        ];
        events.extend(
            results.iter().map(|result| ("ActivityTaskCompleted", json!({ "scheduled": 1, "result": result }))),
        );
        run("steps", "Completed", &events)
    }

    #[test]
    fn good() {
        let checked = check(&history(vec![complete("a")], vec![ran(&["a"])]));
        assert_eq!((checked.violations.len(), checked.compared), (0, 3));
    }

    #[test]
    fn two_completions_and_wrong_results_are_found() {
        let cases = [
            (vec![complete("a"), complete("b")], ran(&["a"])),
            (vec![complete("a")], ran(&["b"])),
            (Vec::new(), ran(&["a", "b"])),
            (Vec::new(), ran(&[])),
        ];
        for (ops, ran) in cases {
            let checked = check(&history(ops, vec![ran]));
            assert_eq!(checked.violations.len(), 1, "{checked:?}");
        }
    }

    #[test]
    fn answers_to_another_attempt_and_after_a_failure_are_found() {
        let attempt = |f: &str, attempt: i64| {
            let input = json!({ "run": "r", "activity": "step-0", "attempt": attempt, "result": "a" });
            done("steps", f, 1, input, Value::Null)
        };
        let violations = |ops| check(&history(ops, vec![ran(&["a"])])).violations.len();
        assert_eq!(violations(vec![attempt("complete", 1)]), 0);
        assert_eq!(violations(vec![attempt("complete", 2)]), 1, "the history has the first");
        assert_eq!(violations(vec![attempt("fail", 2), attempt("complete", 1)]), 0, "of different attempts");
        assert_eq!(violations(vec![attempt("fail", 1), attempt("complete", 1)]), 1);
        assert_eq!(violations(vec![attempt("fail", 1), attempt("fail", 1)]), 1);
    }
}
