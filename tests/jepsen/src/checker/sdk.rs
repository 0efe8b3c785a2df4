//! (p) Workflows of a real SDK end with the right result, and no worker finds a history that its workflow cannot have made.

use serde_json::Value;

use crate::history::History;
use crate::verdict::Checked;
use crate::workload::sdk::Language;

pub fn check(history: &History, language: Language) -> Checked {
    let mut checked = Checked::new(language.checker());
    let Some(told) = history.finals.get(language.checker()) else { return checked };
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

    fn violations(language: Language, workflows: &Value, refused: &Value) -> (u64, usize) {
        let mut history = History::default();
        history.finals.insert(language.checker().into(), json!({ "workflows": workflows, "refused": refused }));
        let checked = check(&history, language);
        assert!(checked.violations.iter().all(|violation| violation.checker == language.checker()));
        (checked.compared, checked.violations.len())
    }

    #[test]
    fn wrong_and_missing_results_and_replays_that_differ_are_found() {
        let line = |rest: Value| json!([rest]);
        let right = line(json!({ "id": "a", "expected": 6, "result": 6 }));
        let wrong = line(json!({ "id": "a", "expected": 6, "result": 8 }));
        let failed = line(json!({ "id": "a", "expected": 6, "error": "failed" }));
        let missing = line(json!({ "id": "a" }));
        let (none, refused) = (json!([]), json!(["[TMPRL1100] …"]));
        for language in [Language::Python, Language::Go] {
            assert_eq!(violations(language, &right, &none), (1, 0));
            assert_eq!(violations(language, &wrong, &none), (1, 1));
            assert_eq!(violations(language, &failed, &none), (1, 1));
            assert_eq!(violations(language, &missing, &none), (1, 1));
            assert_eq!(violations(language, &none, &refused), (0, 1));
            assert_eq!(violations(language, &right, &refused), (1, 1));
            assert_eq!(check(&History::default(), language).compared, 0);
        }
    }

    #[test]
    fn one_language_is_not_the_other() {
        let mut history = History::default();
        let wrong = json!([{ "id": "a", "expected": 6, "result": 8 }]);
        history.finals.insert(Language::Go.checker().into(), json!({ "workflows": wrong, "refused": [] }));
        assert_eq!(check(&history, Language::Python).compared, 0);
        assert_eq!(check(&history, Language::Go).violations.len(), 1);
    }
}
