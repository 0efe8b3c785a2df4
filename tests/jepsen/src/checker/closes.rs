//! (h, i) A run closes once and with its last event, what workers had to finish is finished, and no workflow task failed.

use crate::history::{History, Run};
use crate::verdict::Checked;

const CLOSES: [&str; 6] = ["Completed", "Failed", "TimedOut", "Terminated", "Canceled", "ContinuedAsNew"];

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("closes");
    for run in &history.runs {
        checked.compared += 1;
        let closes: Vec<usize> = (0..run.events.len()).filter(|&at| is_close(&run.events[at].kind)).collect();
        let expected: &[usize] = match run.status.as_str() {
            "Running" => &[],
            _ => &[run.events.len().saturating_sub(1)],
        };
        if closes != expected && !run.events.is_empty() {
            checked.violation(
                &run.key,
                format!("run {} is {} and closes at events {closes:?} of {}", run.run_id, run.status, run.events.len()),
            );
        }
        if run.status == "Running" && must_end(run) {
            let last = run.events.last().map_or("nothing", |event| event.kind.as_str());
            checked.violation(&run.key, format!("run {} never ends; its last event is {last}", run.run_id));
        }
        for failed in run.events.iter().filter(|event| event.kind == "WorkflowTaskFailed") {
            // A completion that had not seen a signal is refused like this, and the task comes again.
            if failed.text("cause") != "WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND" {
                checked.violation(&run.key, format!("a workflow task failed: {}", failed.text("cause")));
            }
        }
    }
    checked
}

fn is_close(kind: &str) -> bool {
    kind.strip_prefix("WorkflowExecution").is_some_and(|how| CLOSES.contains(&how))
}

/// Whether the run ends by itself, or was told to and that was acknowledged.
fn must_end(run: &Run) -> bool {
    let told = run.events.iter().any(|event| event.kind == "WorkflowExecutionSignaled" && event.text("name") == "done");
    match run.workload.as_str() {
        "steps" | "timers" | "children" | "chains" => true,
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::checker::testing::{history, run};

    fn violations(status: &str, events: &[(&str, Value)]) -> usize {
        check(&history(Vec::new(), vec![run("steps", status, events)])).violations.len()
    }

    #[test]
    fn one_close_and_nothing_after_it() {
        let started = ("WorkflowExecutionStarted", Value::Null);
        let completed = ("WorkflowExecutionCompleted", Value::Null);
        let terminated = ("WorkflowExecutionTerminated", Value::Null);
        assert_eq!(violations("Completed", &[started.clone(), completed.clone()]), 0);
        assert_eq!(violations("Completed", &[started.clone(), completed.clone(), terminated]), 1);
        assert_eq!(violations("Completed", &[completed, started.clone()]), 1);
        assert_eq!(violations("Completed", std::slice::from_ref(&started)), 1);
        assert_eq!(violations("Running", &[started]), 1, "a task was lost");
        let failed = ("WorkflowTaskFailed", json!({ "cause": "NON_DETERMINISTIC" }));
        assert_eq!(violations("Completed", &[failed, ("WorkflowExecutionCompleted", Value::Null)]), 1);
    }
}
