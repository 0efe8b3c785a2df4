//! (f) An update is accepted once and completed once; everybody who asked got the outcome of that update.

use std::collections::BTreeMap;

use crate::history::{History, Op, Outcome, Run};
use crate::verdict::Checked;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("updates");
    let runs: BTreeMap<&str, &Run> = history.runs_of("updates").map(|run| (run.key.as_str(), run)).collect();
    for run in runs.values() {
        for kind in ["WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"] {
            once(&mut checked, run, kind);
        }
    }
    for op in history.of("updates").filter(|op| op.f == "update") {
        match op.outcome {
            Outcome::Ok => acknowledged(&mut checked, op, runs.get(op.key.as_str())),
            Outcome::Fail => {
                checked.violation(&op.key, format!("an update of an open workflow was refused: {}", op.error))
            }
            Outcome::Info => {}
        }
    }
    checked
}

fn once(checked: &mut Checked, run: &Run, kind: &str) {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for event in run.events.iter().filter(|event| event.kind == kind) {
        checked.compared += 1;
        *times.entry(event.text("update")).or_default() += 1;
    }
    for (update, times) in times.into_iter().filter(|(_, times)| *times > 1) {
        checked.violation(&run.key, format!("{update}: {kind} {times} times"));
    }
}

fn acknowledged(checked: &mut Checked, op: &Op, run: Option<&&Run>) {
    checked.compared += 1;
    let update = op.input["update"].as_str().unwrap_or_default();
    if op.output["result"]["update"] != update {
        checked.violation(&op.key, format!("{update} was answered with another's outcome: {}", op.output));
    }
    let completed = |run: &&&Run| {
        run.events
            .iter()
            .any(|event| event.kind == "WorkflowExecutionUpdateCompleted" && event.text("update") == update)
    };
    if run.filter(completed).is_none() {
        checked.violation(&op.key, format!("{update}, acknowledged, is not completed in the history"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::{done, history, run};

    fn update(id: &str, answer: &str) -> Op {
        done("updates", "update", 1, json!({ "update": id }), json!({ "result": { "update": answer } }))
    }

    fn ran(ids: &[&str]) -> Run {
        let events = ids.iter().flat_map(|id| {
            let facts = json!({ "update": id });
            [("WorkflowExecutionUpdateAccepted", facts.clone()), ("WorkflowExecutionUpdateCompleted", facts)]
        });
        run("updates", "Completed", &events.collect::<Vec<_>>())
    }

    #[test]
    fn good() {
        assert_eq!(check(&history(vec![update("a", "a")], vec![ran(&["a", "b"])])).violations, []);
    }

    #[test]
    fn lost_doubled_and_swapped_updates_are_found() {
        assert_eq!(check(&history(vec![update("a", "a")], vec![ran(&[])])).violations.len(), 1);
        assert_eq!(check(&history(vec![update("a", "b")], vec![ran(&["a"])])).violations.len(), 1);
        assert_eq!(check(&history(vec![], vec![ran(&["a", "a"])])).violations.len(), 2);
        let refused = Op { outcome: Outcome::Fail, ..update("a", "") };
        assert_eq!(check(&history(vec![refused], vec![ran(&[])])).violations.len(), 1);
    }
}
