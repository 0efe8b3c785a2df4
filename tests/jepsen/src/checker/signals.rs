//! (b) An acknowledged signal is in the history once, no signal is there twice or from nowhere, and what one client sent
//! one after the other stands in that order.

use std::collections::BTreeMap;

use crate::history::{Event, History, Nanos, Op, Outcome, Run};
use crate::verdict::Checked;

/// One number as its writer knows it, over all tries.
#[derive(Default)]
struct Sent {
    first_invoke: Option<Nanos>,
    acknowledged: Option<Nanos>,
}

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("signals");
    let mut sent: BTreeMap<&str, BTreeMap<i64, Sent>> = BTreeMap::new();
    for op in history.of("signals").filter(|op| op.f == "number") {
        let number = sent.entry(&op.key).or_default().entry(op.number("n")).or_default();
        number.first_invoke.get_or_insert(op.invoke);
        match op.outcome {
            Outcome::Ok => {
                number.acknowledged.get_or_insert(op.complete);
            }
            Outcome::Fail => refused(&mut checked, op),
            Outcome::Info => {}
        }
    }
    for run in history.runs_of("signals") {
        if let Some(sent) = sent.get(run.key.as_str()) {
            compare(&mut checked, run, sent);
        }
    }
    checked
}

/// These workflows are open while they are signalled.
fn refused(checked: &mut Checked, op: &Op) {
    checked.violation(&op.key, format!("a signal to an open workflow was refused: {}", op.error));
}

fn compare(checked: &mut Checked, run: &Run, sent: &BTreeMap<i64, Sent>) {
    let is_number = |event: &&Event| event.kind == "WorkflowExecutionSignaled" && event.text("name") == "number";
    let mut places: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (at, event) in run.events.iter().filter(is_number).enumerate() {
        let number = event.facts["value"]["n"].as_i64().unwrap_or_default();
        places.entry(number).or_default().push(at);
        checked.compared += 1;
    }
    for (number, at) in &places {
        if at.len() > 1 {
            checked.violation(&run.key, format!("signal {number} is in the history {} times", at.len()));
        }
        if !sent.contains_key(number) {
            checked.violation(&run.key, format!("signal {number} was never sent"));
        }
    }
    let mut before: Option<(i64, usize, Nanos)> = None;
    for (number, sent) in sent {
        let Some(acknowledged) = sent.acknowledged else { continue };
        let Some(&at) = places.get(number).and_then(|at| at.first()) else {
            let when = acknowledged as f64 / 1e9;
            checked.violation(&run.key, format!("signal {number}, acknowledged at {when:.3} s, is not in the history"));
            continue;
        };
        if let Some((earlier, place, acknowledged_then)) = before {
            if place > at && Some(acknowledged_then) < sent.first_invoke {
                checked.violation(&run.key, format!("signal {earlier} stands after {number}, which was sent later"));
            }
        }
        before = Some((*number, at, acknowledged));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::{done, history, op, run};

    fn sent(number: i64) -> Op {
        done("signals", "number", number as u64 * 10, json!({ "n": number }), Value::Null)
    }

    fn there(numbers: &[i64]) -> Run {
        let signal = |n: &i64| ("WorkflowExecutionSignaled", json!({ "name": "number", "value": { "n": n } }));
        run("signals", "Running", &numbers.iter().map(signal).collect::<Vec<_>>())
    }

    #[test]
    fn good() {
        let unknown = Op {
            workload: "signals".into(),
            f: "number".into(),
            input: json!({ "n": 3 }),
            ..op(30, 40, Outcome::Info)
        };
        for numbers in [&[1, 2][..], &[1, 3, 2], &[1, 2, 3]] {
            let checked = check(&history(vec![sent(1), sent(2), unknown.clone()], vec![there(numbers)]));
            assert_eq!(checked.violations, []);
            assert!(checked.compared >= 2);
        }
    }

    #[test]
    fn lost_doubled_reordered_and_invented_signals_are_found() {
        for (numbers, told) in [
            (&[1][..], "signal 2, acknow"),
            (&[1, 2, 2], "2 times"),
            (&[2, 1], "stands after"),
            (&[1, 2, 9], "never sent"),
        ] {
            let checked = check(&history(vec![sent(1), sent(2)], vec![there(numbers)]));
            assert_eq!(checked.violations.len(), 1, "{numbers:?}: {:?}", checked.violations);
            assert!(checked.violations[0].what.contains(told), "{:?}", checked.violations);
        }
    }
}
