//! (k, n) What accounts gave is what accounts got: every transfer that an account has taken goes to the other account
//! once, in the order in which it came, and nothing comes from nowhere.

use std::collections::BTreeMap;

use crate::history::{Event, History, Run};
use crate::verdict::Checked;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("accounts");
    // Transfer id → times given, times sent, times got.
    let mut transfers: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
    let mut order: BTreeMap<(&str, &str), [Vec<&str>; 2]> = BTreeMap::new();
    let givers = givers(history);
    for run in history.runs_of("accounts") {
        for event in &run.events {
            let id = event.facts["value"]["id"].as_str().unwrap_or_default();
            let count = match (event.kind.as_str(), event.text("name")) {
                ("WorkflowExecutionSignaled", "transfer") => 0,
                ("SignalExternalWorkflowExecutionInitiated", _) => {
                    order.entry((run.key.as_str(), event.text("to"))).or_default()[0].push(id);
                    1
                }
                ("WorkflowExecutionSignaled", "credit") => {
                    let from = givers.get(id).copied().unwrap_or_default();
                    order.entry((from, run.key.as_str())).or_default()[1].push(id);
                    2
                }
                _ => continue,
            };
            checked.compared += 1;
            transfers.entry(id).or_default()[count] += 1;
        }
        every_signal_is_answered(&mut checked, run);
    }
    for op in history.of("accounts").filter(|op| op.f == "transfer" && op.ok()) {
        if transfers.get(op.text("id")).is_none_or(|counts| counts[0] == 0) {
            checked.violation(&op.key, format!("transfer {}, acknowledged, was never taken", op.text("id")));
        }
    }
    for (id, [taken, sent, got]) in &transfers {
        if (*taken, *sent, *got) != (1, 1, 1) {
            checked.violation(id, format!("taken {taken}, sent {sent} and arrived {got} times"));
        }
    }
    for ((from, to), [sent, got]) in &order {
        if sent != got && same_ids(sent, got) {
            checked.violation(from, format!("signals to {to} were sent as {sent:?} and arrived as {got:?}"));
        }
    }
    checked
}

fn same_ids(a: &[&str], b: &[&str]) -> bool {
    let sorted = |ids: &[&str]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        ids.sort();
        ids
    };
    sorted(a) == sorted(b)
}

/// The account that each transfer was given to.
fn givers(history: &History) -> BTreeMap<&str, &str> {
    let gives = |event: &&Event| event.text("name") == "transfer";
    let mut givers = BTreeMap::new();
    for run in history.runs_of("accounts") {
        for event in run.events.iter().filter(gives) {
            givers.insert(event.facts["value"]["id"].as_str().unwrap_or_default(), run.key.as_str());
        }
    }
    givers
}

/// A signal to another workflow is answered once: it was delivered, or it could not be.
fn every_signal_is_answered(checked: &mut Checked, run: &Run) {
    let mut answers: BTreeMap<i64, u32> = BTreeMap::new();
    for event in &run.events {
        let answered = matches!(
            event.kind.as_str(),
            "ExternalWorkflowExecutionSignaled" | "SignalExternalWorkflowExecutionFailed"
        );
        if answered {
            *answers.entry(event.number("initiated")).or_default() += 1;
        }
        if event.kind == "SignalExternalWorkflowExecutionFailed" {
            checked.violation(&run.key, format!("a signal to an open account failed: {}", event.facts));
        }
    }
    for sent in run.events.iter().filter(|event| event.kind == "SignalExternalWorkflowExecutionInitiated") {
        let times = answers.get(&sent.id).copied().unwrap_or_default();
        // An account may complete before the answer of its last signal.
        if times > 1 || (times == 0 && run.status == "Running") {
            checked.violation(&run.key, format!("the signal of event {} was answered {times} times", sent.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::{done, history, run};

    fn transfer(id: &str) -> (&'static str, serde_json::Value) {
        ("WorkflowExecutionSignaled", json!({ "name": "transfer", "value": { "id": id } }))
    }

    fn sent(id: &str) -> (&'static str, serde_json::Value) {
        ("SignalExternalWorkflowExecutionInitiated", json!({ "to": "b", "value": { "id": id } }))
    }

    fn credit(id: &str) -> (&'static str, serde_json::Value) {
        ("WorkflowExecutionSignaled", json!({ "name": "credit", "value": { "id": id } }))
    }

    fn violations(a: &[(&str, serde_json::Value)], b: &[(&str, serde_json::Value)]) -> usize {
        let account = |key: &str, events| Run { key: key.into(), ..run("accounts", "Completed", events) };
        let taken = done("accounts", "transfer", 1, json!({ "id": "1" }), serde_json::Value::Null);
        check(&history(vec![taken], vec![account("a", a), account("b", b)])).violations.len()
    }

    #[test]
    fn good() {
        let given = [transfer("1"), sent("1"), transfer("2"), sent("2")];
        assert_eq!(violations(&given, &[credit("1"), credit("2")]), 0);
    }

    #[test]
    fn lost_doubled_reordered_and_invented_money_is_found() {
        assert_eq!(violations(&[transfer("1"), sent("1")], &[]), 1);
        assert_eq!(violations(&[transfer("1"), sent("1")], &[credit("1"), credit("1")]), 1);
        assert_eq!(violations(&[transfer("1"), sent("1"), sent("1")], &[credit("1")]), 1);
        assert_eq!(violations(&[transfer("1"), sent("1")], &[credit("1"), credit("9")]), 1);
        let given = [transfer("1"), sent("1"), transfer("2"), sent("2")];
        assert_eq!(violations(&given, &[credit("2"), credit("1")]), 1);
        assert_eq!(violations(&[], &[]), 1, "an acknowledged transfer was never taken");
    }
}
