//! (e) Timers fire once, never early by the shard's own time, and not late once nothing is broken any more.

use std::collections::BTreeMap;

use super::Outages;
use crate::history::{Event, History, Run};
use crate::verdict::Checked;

/// What a timer may be late while nothing is broken, on a machine that is busy with the test itself.
const LATE: i64 = 6_000_000_000;
/// How long after the cluster was whole again a fault still counts as an excuse: leaders move back, and queues drain.
const AFTERMATH: i64 = 3_000_000_000;

pub fn check(history: &History, outages: &Outages) -> Checked {
    let mut checked = Checked::new("timers");
    for run in &history.runs {
        one_run(&mut checked, run, outages);
    }
    checked
}

fn one_run(checked: &mut Checked, run: &Run, outages: &Outages) {
    let mut fired: BTreeMap<i64, Vec<&Event>> = BTreeMap::new();
    for event in run.events.iter().filter(|event| event.kind == "TimerFired") {
        fired.entry(event.number("started")).or_default().push(event);
    }
    for timer in run.events.iter().filter(|event| event.kind == "TimerStarted") {
        checked.compared += 1;
        let due = timer.time + timer.number("millis") * 1_000_000;
        let fired = fired.remove(&timer.id).unwrap_or_default();
        let name = timer.text("timer");
        match fired[..] {
            [] if run.status == "Running" => checked.violation(&run.key, format!("{name} never fired")),
            [] => {}
            [one] if one.time < due => {
                checked.violation(&run.key, format!("{name} fired {} ns early", due - one.time));
            }
            [one] => {
                let late = calm_between(due, one.time, outages);
                if late > LATE {
                    checked.violation(
                        &run.key,
                        format!("{name} fired {:.1} s late with nothing broken", late as f64 / 1e9),
                    );
                }
            }
            [..] => checked.violation(&run.key, format!("{name} fired {} times", fired.len())),
        }
    }
    for started in fired.keys() {
        checked.violation(&run.key, format!("a timer fired that event {started} did not start"));
    }
}

/// Nanoseconds between two moments in which there was no fault, nor one just before.
fn calm_between(from: i64, to: i64, outages: &Outages) -> i64 {
    let mut broken: Vec<(i64, i64)> = outages
        .iter()
        .map(|&(begin, end)| (begin.max(from), (end + AFTERMATH).min(to)))
        .filter(|(b, e)| b < e)
        .collect();
    broken.sort_unstable();
    let (mut covered, mut until) = (0, from);
    for (begin, end) in broken {
        covered += (end - begin.max(until)).max(0);
        until = until.max(end);
    }
    to - from - covered
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::{history, run};

    const SECOND: i64 = 1_000_000_000;

    /// A timer of a second that fires at these seconds.
    fn timer(at: &[i64]) -> Run {
        let mut events = vec![("TimerStarted", json!({ "timer": "t", "millis": 1000 }))];
        events.extend(at.iter().map(|_| ("TimerFired", json!({ "started": 1 }))));
        let mut run = run("timers", "Running", &events);
        for (event, at) in run.events[1..].iter_mut().zip(at) {
            event.time = at * SECOND;
        }
        run
    }

    fn violations(run: Run, outages: &Outages) -> usize {
        check(&history(Vec::new(), vec![run]), outages).violations.len()
    }

    #[test]
    fn good() {
        assert_eq!(violations(timer(&[1]), &vec![]), 0);
        assert_eq!(violations(timer(&[2]), &vec![]), 0);
        assert_eq!(violations(timer(&[60]), &vec![(0, 55 * SECOND)]), 0, "late because of a fault");
    }

    #[test]
    fn early_late_doubled_and_lost_timers_are_found() {
        assert_eq!(violations(timer(&[0]), &vec![]), 1, "early");
        assert_eq!(violations(timer(&[9]), &vec![]), 1, "late");
        assert_eq!(violations(timer(&[60]), &vec![(0, 5 * SECOND)]), 1, "late long after the fault");
        let often = (0..6).map(|fault| (fault * 10 * SECOND, (fault * 10 + 5) * SECOND)).collect();
        assert_eq!(violations(timer(&[60]), &often), 1, "late over all the calms between faults");
        assert_eq!(violations(timer(&[1, 2]), &vec![]), 1, "twice");
        assert_eq!(violations(timer(&[]), &vec![]), 1, "never");
    }
}
