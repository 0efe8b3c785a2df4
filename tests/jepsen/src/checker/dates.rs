//! A shard's time is the real one, whatever the clocks of single nodes show: an acknowledged signal is dated between its
//! sending and its acknowledgement, and no event is dated later than it was read.

use std::collections::BTreeMap;

use crate::history::{Event, History, Nanos, Run};
use crate::verdict::Checked;

/// A clock that jumps by up to a second is followed.
const AHEAD: i64 = 2_000_000_000;
/// Under a leader whose clock is behind, a shard's time goes a little slower until the clocks were compared.
const BEHIND: i64 = 5_000_000_000;

/// From the first try of each number to its acknowledgement.
type Sent<'a> = BTreeMap<(&'a str, i64), (Nanos, Nanos)>;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("dates");
    let moment = |name: &str| history.finals.get(name).and_then(serde_json::Value::as_i64);
    let (Some(epoch), Some(read)) = (moment("epoch"), moment("read")) else { return checked };
    let sent = acknowledged(history);
    for run in &history.runs {
        for event in &run.events {
            checked.compared += 1;
            let (earliest, latest) = window(run, event, &sent).map_or((0, read), |(from, to)| {
                (epoch.saturating_add_unsigned(from), epoch.saturating_add_unsigned(to))
            });
            let seconds = |nanos: i64| nanos as f64 / 1e9;
            let (ahead, behind) = (event.time - latest, earliest - event.time);
            if ahead > AHEAD {
                let what = format!("event {} ({}) is dated {:.1} s too late", event.id, event.kind, seconds(ahead));
                checked.violation(&run.key, what);
            }
            if behind > BEHIND {
                let what = format!("event {} ({}) is dated {:.1} s too early", event.id, event.kind, seconds(behind));
                checked.violation(&run.key, what);
            }
        }
    }
    checked
}

fn acknowledged(history: &History) -> Sent<'_> {
    let mut first: BTreeMap<(&str, i64), Nanos> = BTreeMap::new();
    let mut sent = Sent::new();
    for op in history.of("signals").filter(|op| op.f == "number") {
        let key = (op.key.as_str(), op.number("n"));
        let first = *first.entry(key).or_insert(op.invoke);
        if op.ok() {
            sent.entry(key).or_insert((first, op.complete));
        }
    }
    sent
}

fn window(run: &Run, event: &Event, sent: &Sent) -> Option<(Nanos, Nanos)> {
    let is_number = event.kind == "WorkflowExecutionSignaled" && event.text("name") == "number";
    let number = is_number.then(|| event.facts["value"]["n"].as_i64())??;
    sent.get(&(run.key.as_str(), number)).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::{done, history, run};

    const SECOND: i64 = 1_000_000_000;

    /// What is told of a number sent and acknowledged in the first second after 1000, dated at `time`; read at 1060.
    fn told(time: i64) -> Vec<String> {
        let op = done("signals", "number", 0, json!({ "n": 1 }), Value::Null);
        let mut run = run(
            "signals",
            "Running",
            &[
                ("WorkflowExecutionStarted", Value::Null),
                ("WorkflowExecutionSignaled", json!({ "name": "number", "value": { "n": 1 } })),
            ],
        );
        run.events[1].time = time * SECOND;
        let mut history = history(vec![op], vec![run]);
        history.finals.insert("epoch".into(), json!(1000 * SECOND));
        history.finals.insert("read".into(), json!(1060 * SECOND));
        let checked = check(&history);
        assert_eq!(checked.compared, 2);
        checked.violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn good() {
        assert_eq!((told(1000), told(1002), told(995)), (vec![], vec![], vec![]));
    }

    #[test]
    fn dates_from_a_clock_that_is_ahead_or_behind_are_found() {
        assert!(told(1003)[0].ends_with("too late"));
        assert!(told(994)[0].ends_with("too early"));
        assert!(told(4600)[0].contains("3600.0 s too late"));
    }

    #[test]
    fn what_no_client_sent_is_dated_before_it_was_read() {
        let mut history = history(Vec::new(), vec![run("timers", "Running", &[("TimerFired", Value::Null)])]);
        history.finals.insert("epoch".into(), json!(0));
        history.finals.insert("read".into(), json!(0));
        assert_eq!(check(&history).violations.len(), 0);
        history.runs[0].events[0].time = 3 * SECOND;
        assert_eq!(check(&history).violations.len(), 1);
    }
}
