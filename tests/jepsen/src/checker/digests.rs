//! (m) Replicas that have applied the same entries hold the same rows, and with everything whole and at rest all voters
//! have applied the same entries. Digests and voters are of `observe::digests`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::history::History;
use crate::verdict::Checked;

pub fn check(history: &History) -> Checked {
    let mut checked = Checked::new("digests");
    let Some(shards) = history.finals.get("digests").and_then(Value::as_object) else { return checked };
    for (shard, replicas) in shards {
        let mut at: BTreeMap<u64, (u64, &str)> = BTreeMap::new();
        for replica in replicas.as_array().into_iter().flatten() {
            let (node, index) = (replica[0].as_u64().unwrap_or_default(), replica[1].as_u64().unwrap_or_default());
            let digest = replica[2].as_str().unwrap_or_default();
            let Some((other, expected)) = at.get(&index) else {
                at.insert(index, (node, digest));
                continue;
            };
            checked.compared += 1;
            if *expected != digest {
                checked.violation(
                    &format!("shard {shard}"),
                    format!("at index {index} nodes {other} and {node} hold different rows: {expected}, {digest}"),
                );
            }
        }
        let last = at.last_key_value().map_or(0, |(&index, _)| index);
        let voters = history.finals.get("voters").map_or(&Value::Null, |voters| &voters[shard]);
        for voter in voters.as_array().into_iter().flatten().filter_map(Value::as_u64) {
            let replica = replicas.as_array().into_iter().flatten().find(|replica| replica[0] == voter);
            let applied = replica.and_then(|replica| replica[1].as_u64());
            if applied != Some(last) {
                checked.violation(
                    &format!("shard {shard}"),
                    format!("long after the end node {voter} has applied {applied:?}, another one {last}"),
                );
            }
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replica_that_stays_behind_is_found() {
        let with = |replicas: Value| {
            let mut history = History::default();
            history.finals.insert("digests".into(), json!({ "1": replicas }));
            history.finals.insert("voters".into(), json!({ "1": [1, 2] }));
            check(&history).violations.len()
        };
        assert_eq!(with(json!([[1, 7, "aa"], [2, 7, "aa"]])), 0);
        assert_eq!(with(json!([[1, 7, "aa"], [2, 6, "cc"]])), 1);
        assert_eq!(with(json!([[1, 7, "aa"]])), 1);
        assert_eq!(with(json!([[1, 7, "aa"], [2, 7, "aa"], [3, 5, "dd"]])), 0, "3 is leaving");
    }

    #[test]
    fn different_rows_at_one_index_are_found() {
        let with = |second: Value| {
            let mut history = History::default();
            history.finals.insert("digests".into(), json!({ "1": [[1, 7, "aa"], second] }));
            check(&history)
        };
        assert_eq!((with(json!([2, 7, "aa"])).violations.len(), with(json!([2, 7, "aa"])).compared), (0, 1));
        assert_eq!(with(json!([2, 7, "bb"])).violations.len(), 1);
        assert_eq!((with(json!([2, 8, "bb"])).violations.len(), with(json!([2, 8, "bb"])).compared), (0, 0));
    }
}
