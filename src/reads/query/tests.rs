//! Queries against records. Many are those of the golden scenarios (family `list`).

use std::collections::BTreeMap;

use proto::temporal::api::common::v1::{Payload, SearchAttributes, WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::{IndexedValueType as Kind, WorkflowExecutionStatus as Status};
use proto::temporal::api::workflow::v1::WorkflowExecutionInfo;
use statemachine::time::{timestamp, SECOND};

use super::*;

pub(super) fn custom() -> BTreeMap<String, i32> {
    [
        ("CustomKeywordField", Kind::Keyword),
        ("CustomKeywordListField", Kind::KeywordList),
        ("CustomTextField", Kind::Text),
        ("CustomIntField", Kind::Int),
        ("CustomDoubleField", Kind::Double),
        ("CustomBoolField", Kind::Bool),
        ("CustomDatetimeField", Kind::Datetime),
        ("any name", Kind::Keyword),
        ("TaskQueueKind", Kind::Keyword),
    ]
    .map(|(name, kind)| (name.to_owned(), kind as i32))
    .into()
}

fn run(id: &str, kind: &str, start: i64, status: Status, attributes: &[(&str, &str)]) -> WorkflowExecutionInfo {
    let fields = attributes.iter().map(|(name, json)| {
        let data = json.as_bytes().to_vec().into();
        ((*name).to_owned(), Payload { data, ..Default::default() })
    });
    let execution = WorkflowExecution { workflow_id: id.to_owned(), run_id: format!("run-{id}") };
    WorkflowExecutionInfo {
        execution: Some(execution),
        r#type: Some(WorkflowType { name: kind.to_owned() }),
        start_time: Some(timestamp(start * SECOND)),
        execution_time: Some(timestamp(start * SECOND)),
        status: status as i32,
        task_queue: format!("q-{id}"),
        search_attributes: Some(SearchAttributes { indexed_fields: fields.collect() }),
        ..Default::default()
    }
}

/// `apple` and `apricot` are open, `banana` closed after two seconds, `child` is a child of `apple`, `hidden` belongs to a
/// division.
fn records() -> Vec<WorkflowExecutionInfo> {
    let apple = run(
        "apple",
        "Fruit",
        100,
        Status::Running,
        &[
            ("CustomKeywordField", "\"key\""),
            ("CustomKeywordListField", "[\"red\",\"green\"]"),
            ("CustomTextField", "\"The quick brown fox\""),
            ("CustomIntField", "5"),
            ("CustomDoubleField", "2.5"),
            ("CustomBoolField", "true"),
            ("CustomDatetimeField", "\"2024-02-29T12:00:00Z\""),
            ("any name", "\"odd\""),
        ],
    );
    let apricot = run(
        "apricot",
        "Fruit",
        200,
        Status::Paused,
        &[
            ("CustomKeywordListField", "[\"green\"]"),
            ("CustomTextField", "\"lazy dog, quick-footed\""),
            ("CustomIntField", "-7"),
            ("TemporalChangeVersion", "[\"fix-1\",\"fix-2\"]"),
            ("CustomBoolField", "false"),
        ],
    );
    let mut banana =
        run("banana", "Fruit", 300, Status::Completed, &[("CustomKeywordField", "\"say \\\"hi\\\" \\\\ it's\"")]);
    banana.close_time = Some(timestamp(302 * SECOND));
    banana.history_length = 11;
    banana.history_size_bytes = 900;
    banana.state_transition_count = 4;
    let mut child = run("child", "Nut", 400, Status::Failed, &[("CustomIntField", "\"not a number\"")]);
    child.parent_execution = apple.execution.clone();
    child.root_execution = apple.execution.clone();
    child.close_time = Some(timestamp(500 * SECOND));
    child.history_length = 3;
    let hidden = run("hidden", "Fruit", 50, Status::Running, &[("TemporalNamespaceDivision", "\"TemporalScheduler\"")]);
    vec![apple, apricot, banana, child, hidden]
}

fn found(query: &str) -> String {
    let query = Query::for_list(query, &custom()).unwrap_or_else(|error| panic!("{query}: {error}"));
    let records = records();
    let ids = records.iter().filter(|info| query.matches(&Record(info)));
    ids.filter_map(|info| info.execution.as_ref())
        .map(|execution| execution.workflow_id.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

fn check(cases: &[(&str, &str)]) {
    for (query, ids) in cases {
        assert_eq!(found(query), *ids, "{query}");
    }
}

const ALL: &str = "apple apricot banana child";

#[test]
fn keywords() {
    check(&[
        ("", ALL),
        ("   ", ALL),
        ("WorkflowId = 'apple'", "apple"),
        ("WorkflowId != 'apple'", "apricot banana child"),
        ("WorkflowId <> 'apple'", "apricot banana child"),
        ("WorkflowId = 'APPLE'", ""),
        ("WorkflowId IN ('apple', 'banana', 'nobody')", "apple banana"),
        ("WorkflowId NOT IN ('apple', 'banana')", "apricot child"),
        ("WorkflowId STARTS_WITH 'ap'", "apple apricot"),
        ("WorkflowId STARTS_WITH 'AP'", ""),
        ("WorkflowId starts_with ''", ALL),
        ("WorkflowId NOT STARTS_WITH 'ap'", "banana child"),
        ("WorkflowId BETWEEN 'apple' AND 'apricot'", "apple apricot"),
        ("WorkflowId NOT BETWEEN 'apple' AND 'apricot'", "banana child"),
        ("WorkflowId > 'apple'", "apricot banana child"),
        ("WorkflowId <= 'apple'", "apple"),
        ("RunId = 'run-banana'", "banana"),
        ("TaskQueue = 'q-banana'", "banana"),
        ("WorkflowType = 'Nut'", "child"),
        ("`WorkflowType` = \"Nut\"", "child"),
        ("ScheduleId = 'apple'", "apple"),
        ("TemporalWorkflowId = 'apple'", "apple"),
        ("`any name` = 'odd'", "apple"),
    ]);
}

#[test]
fn quoting() {
    check(&[
        ("CustomKeywordField = \"key\"", "apple"),
        ("CustomKeywordField = 'say \"hi\" \\\\ it''s'", "banana"),
        ("CustomKeywordField = 'say \"hi\" \\\\ it\\'s'", "banana"),
        ("CustomKeywordField = \"say \\\"hi\\\" \\\\ it's\"", "banana"),
        ("CustomKeywordField = 'key' /* really */ -- yes", "apple"),
    ]);
    assert!(Query::for_list("CustomKeywordField = 'k' 'ey'", &custom()).is_err());
}

#[test]
fn statuses() {
    check(&[
        ("ExecutionStatus = 'Running'", "apple"),
        ("ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING'", "apple"),
        ("ExecutionStatus = 1", "apple"),
        ("ExecutionStatus = 'Paused'", "apricot"),
        ("ExecutionStatus = 8", "apricot"),
        ("ExecutionStatus = 99", ""),
        ("ExecutionStatus != 'Running'", "apricot banana child"),
        ("ExecutionStatus IN ('Failed', 'TimedOut', 2)", "banana child"),
        ("ExecutionStatus NOT IN ('Failed', 'Running', 'Paused')", "banana"),
        ("ExecutionStatus IS NULL", ""),
        ("ExecutionStatus BETWEEN 2 AND 3", "banana child"),
    ]);
}

#[test]
fn times_and_durations() {
    check(&[
        ("StartTime = '1970-01-01T00:01:40Z'", "apple"),
        ("StartTime = 100000000000", "apple"),
        ("StartTime >= '1970-01-01T00:05:00Z'", "banana child"),
        ("StartTime < '1970-01-01T01:03:20+01:00'", "apple"),
        ("StartTime IN ('1970-01-01T00:01:40Z', 200000000000)", "apple apricot"),
        ("StartTime BETWEEN 100000000000 AND '1970-01-01T00:03:20Z'", "apple apricot"),
        ("StartTime > '2100-01-01T00:00:00Z'", ""),
        ("StartTime NOT BETWEEN '2020-01-01T00:00:00Z' AND '2020-01-02T00:00:00Z'", ALL),
        ("CloseTime IS NULL", "apple apricot"),
        ("CloseTime IS NOT NULL", "banana child"),
        ("CloseTime < '2100-01-01T00:00:00Z'", "banana child"),
        ("CloseTime > '1970-01-01T00:00:00Z'", "banana child"),
        ("ExecutionTime > 250000000000", "banana child"),
        ("ExecutionDuration = '2s'", "banana"),
        ("ExecutionDuration = 2000000000", "banana"),
        ("ExecutionDuration > '1m'", "child"),
        ("ExecutionDuration BETWEEN '1900ms' AND '1h'", "banana child"),
        ("ExecutionDuration < '00:00:03'", "banana"),
        ("ExecutionDuration < '1d'", "banana child"),
        ("ExecutionDuration != '5s'", "banana child"),
        ("ExecutionDuration > '-1s'", "banana child"),
        ("ExecutionDuration IN (1, 2)", ""),
        ("ExecutionDuration IS NULL", "apple apricot"),
        ("HistoryLength = 11", "banana"),
        ("HistoryLength BETWEEN 1 AND 4", "child"),
        ("HistoryLength NOT BETWEEN 1 AND 4", "banana"),
        ("HistoryLength IS NULL", "apple apricot"),
        ("HistoryLength < 0", ""),
        ("HistoryLength = -1", ""),
        ("HistorySizeBytes > 100 AND StateTransitionCount = 4", "banana"),
    ]);
}

#[test]
fn custom_attributes_of_every_type() {
    check(&[
        ("CustomIntField = 5", "apple"),
        ("CustomIntField = 5.0", "apple"),
        ("CustomIntField > -8", "apple apricot"),
        ("CustomIntField IN (1, -7)", "apricot"),
        ("CustomIntField BETWEEN 5 AND 6", "apple"),
        ("CustomDoubleField = 2.5", "apple"),
        ("CustomDoubleField >= 2", "apple"),
        ("CustomDoubleField > -2.5e0", "apple"),
        ("CustomDoubleField BETWEEN 2.4 AND 2.6", "apple"),
        ("CustomBoolField = true", "apple"),
        ("CustomBoolField != false", "apple"),
        ("CustomBoolField = FALSE", "apricot"),
        ("CustomDatetimeField = '2024-02-29T12:00:00Z'", "apple"),
        ("CustomDatetimeField < '2024-02-29T14:00:01+02:00'", "apple"),
        ("CustomDatetimeField > '2024-02-29T12:00:01Z'", ""),
        ("TemporalChangeVersion = 'fix-1'", "apricot"),
        ("ChangeVersion IN ('fix-2', 'fix-3')", "apricot"),
        ("TemporalChangeVersion = 'fix'", ""),
    ]);
}

#[test]
fn literals_of_another_type_find_nothing() {
    check(&[
        ("CustomIntField = 'five'", ""),
        ("CustomIntField != 'five'", ""),
        ("NOT CustomIntField = 'five'", ""),
        ("CustomBoolField = 1", ""),
        ("CustomKeywordField = 5", ""),
        ("CustomKeywordField IN (5, 'key')", "apple"),
        ("CustomDoubleField > 'x'", ""),
        ("CustomIntField STARTS_WITH '5'", ""),
    ]);
}

#[test]
fn lists_and_texts() {
    check(&[
        ("CustomKeywordListField = 'red'", "apple"),
        ("CustomKeywordListField = 'green'", "apple apricot"),
        ("CustomKeywordListField = 'gre'", ""),
        ("CustomKeywordListField != 'red'", "apricot banana child"),
        ("CustomKeywordListField IN ('red', 'blue')", "apple"),
        ("CustomKeywordListField NOT IN ('red')", "apricot banana child"),
        ("CustomKeywordListField IS NULL", "banana child"),
        ("CustomKeywordListField IS NOT NULL", "apple apricot"),
        ("CustomTextField = 'fox'", "apple"),
        ("CustomTextField = 'FOX'", "apple"),
        ("CustomTextField = 'qui'", ""),
        ("CustomTextField = 'quick'", "apple apricot"),
        ("CustomTextField = 'cat dog'", "apricot"),
        ("CustomTextField = 'footed'", "apricot"),
        ("CustomTextField != 'fox'", "apricot banana child"),
        ("CustomTextField IS NULL", "banana child"),
    ]);
}

#[test]
fn missing_values_are_neither_equal_nor_different() {
    check(&[
        ("CustomKeywordField != 'key'", "banana"),
        ("NOT CustomKeywordField = 'key'", "banana"),
        ("CustomKeywordField NOT IN ('key')", "banana"),
        ("CustomKeywordField NOT STARTS_WITH 'k'", "banana"),
        ("CustomIntField != 5", "apricot"),
        ("CustomIntField = 5 OR NOT CustomIntField = 5", "apple apricot"),
        ("CustomIntField IS NULL", "banana child"),
        ("NOT CustomIntField IS NULL", "apple apricot"),
        ("CustomIntField = 5 OR WorkflowId = 'banana'", "apple banana"),
        ("NOT (CustomIntField = 5 AND WorkflowId = 'banana')", "apple apricot child"),
    ]);
}

#[test]
fn logic() {
    check(&[
        ("CustomIntField = 5 OR CustomIntField = -7 AND CustomBoolField = true", "apple"),
        ("(CustomIntField = 5 OR CustomIntField = -7) AND CustomBoolField = false", "apricot"),
        ("NOT WorkflowId = 'apple' AND WorkflowType = 'Fruit'", "apricot banana"),
        ("NOT (WorkflowId = 'apple' AND WorkflowType = 'Fruit')", "apricot banana child"),
        ("((WorkflowId >= 'b')) and ((WorkflowId < 'c'))", "banana"),
        ("WorkflowType = 'Fruit' and not WorkflowId in ('apple')", "apricot banana"),
        ("WorkflowId = 'apple' || WorkflowId = 'child' && WorkflowType = 'Nut'", "apple child"),
    ]);
}

#[test]
fn parents_roots_and_divisions() {
    check(&[
        ("ParentWorkflowId = 'apple'", "child"),
        ("ParentWorkflowId IS NULL", "apple apricot banana"),
        ("ParentRunId IS NOT NULL", "child"),
        ("ParentWorkflowId != 'apple'", ""),
        ("RootWorkflowId = 'apple'", "apple child"),
        ("RootRunId = 'run-apple' AND ParentRunId = 'run-apple'", "child"),
        ("TemporalNamespaceDivision = 'TemporalScheduler'", "hidden"),
        ("NamespaceDivision IS NOT NULL", "hidden"),
        ("TemporalNamespaceDivision IS NULL OR WorkflowId = 'hidden'", "apple apricot banana child hidden"),
    ]);
}

#[test]
fn a_namespace_hides_no_names_of_temporals_own() {
    // The namespace's own attribute comes first; without one, prefixes are tried.
    let mut custom = custom();
    custom.insert("ScheduleId".into(), Kind::Keyword as i32);
    let query = Query::for_list("ScheduleId = 'apple'", &custom).expect("its own attribute");
    assert!(records().iter().all(|info| !query.matches(&Record(info))));
}

#[test]
fn the_part_to_scan() {
    for (query, part) in [
        ("", Part::Both),
        ("ExecutionStatus = 'Running'", Part::Open),
        ("ExecutionStatus = 'Paused' OR ExecutionStatus = 1", Part::Open),
        ("ExecutionStatus = 'Completed' AND WorkflowId = 'x'", Part::Closed),
        ("ExecutionStatus IN ('Failed', 'TimedOut')", Part::Closed),
        ("ExecutionStatus IN ('Failed', 'Running')", Part::Both),
        ("ExecutionStatus = 'Failed' AND ExecutionStatus = 'Running'", Part::Neither),
        ("ExecutionStatus = 99", Part::Neither),
        ("ExecutionStatus != 'Running'", Part::Both),
        ("NOT ExecutionStatus = 'Running'", Part::Both),
        ("CloseTime > 5", Part::Closed),
        ("CloseTime IS NULL AND WorkflowType = 'x'", Part::Open),
        ("CloseTime IS NOT NULL", Part::Closed),
        ("WorkflowId = 'x' OR CloseTime > 5", Part::Both),
    ] {
        assert_eq!(Query::for_list(query, &custom()).expect(query).part(), part, "{query}");
    }
}

/// Random texts out of the language's own pieces: nothing panics, the part never hides a match, and what is accepted
/// means the same in parentheses.
#[test]
fn random_queries_never_panic() {
    const PIECES: &[&str] = &[
        "WorkflowId",
        "CustomIntField",
        "CloseTime",
        "ExecutionStatus",
        "CustomTextField",
        "CustomKeywordListField",
        "`a b`",
        "=",
        "!=",
        "<",
        ">=",
        "<=>",
        "IN",
        "NOT",
        "BETWEEN",
        "AND",
        "OR",
        "IS",
        "NULL",
        "STARTS_WITH",
        "LIKE",
        "(",
        ")",
        ",",
        "'apple'",
        "'Running'",
        "\"x\"",
        "'",
        "\\",
        "5",
        "-5",
        "2.5",
        "1e9",
        "0x1",
        "true",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "--",
        "/*",
        "ü",
        "§",
        ".",
        ";",
        "'2020-01-01T00:00:00Z'",
        "f(",
        "+",
        "\0",
    ];
    const CONDITIONS: &[&str] = &[
        "WorkflowId = 'apple'",
        "ExecutionStatus = 'Running'",
        "CloseTime > 5",
        "CustomIntField IN (5, 6)",
        "CustomTextField != 'fox'",
        "CloseTime IS NULL",
        "ExecutionStatus IN ('Failed', 1)",
        "HistoryLength < 7",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    let custom = custom();
    let records = records();
    let mut accepted = 0;
    for round in 0..20_000 {
        let mut text = String::new();
        if round % 2 == 0 {
            for _ in 0..random(14) {
                text += PIECES[random(PIECES.len())];
                text += if random(5) == 0 { "" } else { " " };
            }
        } else {
            for n in 0..=random(4) {
                text += if n > 0 { [" AND ", " OR "][random(2)] } else { "" };
                text += ["", "NOT "][random(2)];
                text += CONDITIONS[random(CONDITIONS.len())];
            }
        }
        let Ok(query) = Query::for_list(&text, &custom) else { continue };
        accepted += 1;
        let wrapped = Query::for_list(&format!("({text}\n)"), &custom);
        for info in &records {
            let matches = query.matches(&Record(info));
            let in_part = if info.close_time.is_some() { query.part().has_closed() } else { query.part().has_open() };
            assert!(in_part || !matches, "{text}");
            if let Ok(wrapped) = &wrapped {
                assert_eq!(wrapped.matches(&Record(info)), matches, "{text}");
            }
        }
    }
    assert!(accepted > 9_000, "only {accepted} accepted");
}
