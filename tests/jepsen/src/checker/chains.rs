//! (i) A chain of runs has no fork and no end before its end: each run but the last leads to one next run.

use std::collections::BTreeMap;

use crate::history::{History, Run};
use crate::verdict::Checked;
use crate::workload::CONTINUED;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("chains");
    let mut chains: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in history.runs_of("chains") {
        chains.entry(&run.key).or_default().push(run);
    }
    for (key, runs) in chains {
        checked.compared += 1;
        let first = runs.first().and_then(|run| run.events.first()).map(|event| event.text("first_run"));
        if runs.iter().any(|run| run.events.first().map(|event| event.text("first_run")) != first) {
            checked.violation(key, "its runs name different first runs");
        }
        let ends = |status: &str| runs.iter().filter(|run| run.status == status).count();
        let (continued, completed) = (ends("ContinuedAsNew"), ends("Completed"));
        if (continued, completed, runs.len()) != (CONTINUED as usize, 1, CONTINUED as usize + 1) {
            checked.violation(
                key,
                format!("{} runs, of which {continued} continued and {completed} completed", runs.len()),
            );
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::{history, run};

    fn violations(statuses: &[&str]) -> usize {
        let one = |status: &&str| run("chains", status, &[("WorkflowExecutionStarted", json!({ "first_run": "1" }))]);
        check(&history(Vec::new(), statuses.iter().map(one).collect())).violations.len()
    }

    #[test]
    fn a_chain_has_one_end_and_no_fork() {
        let next = "ContinuedAsNew";
        assert_eq!(violations(&[next, next, next, "Completed"]), 0);
        assert_eq!(violations(&[next, next, next]), 1);
        assert_eq!(violations(&[next, next, next, "Completed", "Completed"]), 1);
        assert_eq!(violations(&[next, next, "Running"]), 1);
    }
}
