//! (p) Workflows of a real SDK end with the right result, and no worker finds a history that its workflow cannot have made.

use serde_json::Value;

use crate::history::History;
use crate::verdict::Checked;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("sdk");
    let Some(told) = history.finals.get("sdk") else { return checked };
    let list = |name: &str| told[name].as_array().map(Vec::as_slice).unwrap_or_default();
    for workflow in list("workflows") {
        checked.compared += 1;
        let key = workflow["id"].as_str().unwrap_or_default();
        if let Some(error) = workflow["error"].as_str() {
            checked.violation(key, error);
        } else if workflow["result"] != workflow["expected"] || workflow["expected"].is_null() {
            checked.violation(key, format!("its result is {}, not {}", workflow["result"], workflow["expected"]));
        }
    }
    for line in list("refused").iter().filter_map(Value::as_str) {
        checked.violation("worker", line);
    }
    checked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn violations(workflows: Value, refused: Value) -> (u64, usize) {
        let mut history = History::default();
        history.finals.insert("sdk".into(), json!({ "workflows": workflows, "refused": refused }));
        let checked = check(&history);
        (checked.compared, checked.violations.len())
    }

    #[test]
    fn wrong_and_missing_results_and_replays_that_differ_are_found() {
        assert_eq!(violations(json!([{ "id": "a", "expected": 6, "result": 6 }]), json!([])), (1, 0));
        assert_eq!(violations(json!([{ "id": "a", "expected": 6, "result": 8 }]), json!([])), (1, 1));
        assert_eq!(violations(json!([{ "id": "a", "expected": 6, "error": "failed" }]), json!([])), (1, 1));
        assert_eq!(violations(json!([{ "id": "a" }]), json!([])), (1, 1));
        assert_eq!(violations(json!([]), json!(["[TMPRL1100] …"])), (0, 1));
        assert_eq!(check(&History::default()).compared, 0);
    }
}
