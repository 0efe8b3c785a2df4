//! Queries that are refused, and Temporal's words for it. Most are those of the golden scenarios (family `list`).

use super::tests::custom;
use super::*;

fn refusal(query: &str) -> String {
    match Query::for_list(query, &custom()) {
        Err(error) => Reject::from(error).message().to_owned(),
        Ok(_) => panic!("accepted: {query}"),
    }
}

fn refused(prefix: &str, cases: &[(&str, &str)]) {
    for (query, message) in cases {
        assert_eq!(refusal(query), format!("invalid query: {prefix}{message}"), "{query}");
    }
}

#[test]
fn unsupported_expressions_are_refused() {
    let column = "column name on the right side of comparison expression (did you forget to quote";
    refused(
        "operation is not supported: ",
        &[
            ("WorkflowId = x", &format!("{column} 'x'?)")),
            ("WorkflowId = RunId", &format!("{column} 'RunId'?)")),
            ("true", "expression of type sqlparser.BoolVal"),
            ("'a'", "expression of type *sqlparser.SQLVal"),
            ("StartTime < now()", "nested func"),
            ("now()", "function expression"),
            ("GROUP BY ExecutionStatus", "'GROUP BY' clause"),
            ("WorkflowId = 'a' ORDER BY StartTime", "'ORDER BY' clause"),
            ("ORDER BY StartTime DESC", "'ORDER BY' clause"),
            ("WorkflowId = 'a' LIMIT 1", "'LIMIT' clause"),
            ("GROUP BY ExecutionStatus HAVING StartTime > 1", "'HAVING' clause"),
        ],
    );
}

#[test]
fn wrong_expressions_are_refused() {
    refused(
        "invalid expression: ",
        &[
            ("WorkflowId", "incomplete expression"),
            ("'a' = WorkflowId", "must be a column name but was *sqlparser.SQLVal"),
            ("1 = 1", "must be a column name but was *sqlparser.SQLVal"),
            ("now() = 1", "must be a column name but was *sqlparser.FuncExpr"),
            ("WorkflowId + 1 = 2", "must be a column name but was *sqlparser.BinaryExpr"),
            ("(WorkflowId) = 'a'", "must be a column name but was *sqlparser.ParenExpr"),
            ("WorkflowId LIKE 'a%'", "invalid operator 'like' in `WorkflowId like 'a%'`"),
            ("WorkflowId REGEXP 'a'", "invalid operator 'regexp' in `WorkflowId regexp 'a'`"),
            ("WorkflowId <=> 'a'", "invalid operator '<=>' in `WorkflowId <=> 'a'`"),
            ("WorkflowId = null", "unexpected value type *sqlparser.NullVal"),
            ("WorkflowId = ('a', 'b')", "unexpected value type sqlparser.ValTuple"),
            ("WorkflowId IN ('a', NULL)", "unexpected value type *sqlparser.NullVal"),
            ("CustomIntField = 1 + 1", "unexpected value type *sqlparser.BinaryExpr"),
            ("CustomIntField = 0x1F", "unable to parse 0x1F"),
            ("RunId IS TRUE", "'IS' operator can only be used with 'NULL' or 'NOT NULL'"),
            ("WorkflowId STARTS_WITH 5", "right-hand side of 'starts_with' must be a literal string (got: 5)"),
            ("CustomTextField = ' '", "unexpected value for Text type search attribute (no tokens found in ' ')"),
            ("CustomTextField = 5", "unexpected value type (expected string, got 5)"),
            ("CustomKeywordListField = 5", "unexpected value type (expected string, got 5)"),
            ("CustomKeywordListField IN ('a', 5)", "unexpected value type in tuple (expected string, got 5)"),
        ],
    );
}

#[test]
fn operators_must_fit_the_type() {
    let range = "cannot do range condition on search attribute";
    refused(
        "invalid expression: ",
        &[
            (
                "CustomTextField < 'a'",
                "operator '<' not supported for Text type search attribute in `CustomTextField < 'a'`",
            ),
            (
                "CustomTextField NOT IN ('a')",
                "operator 'not in' not supported for Text type search attribute in `CustomTextField not in ('a')`",
            ),
            (
                "CustomKeywordListField STARTS_WITH 'a'",
                "operator 'starts_with' not supported for KeywordList type search attribute in \
                 `CustomKeywordListField starts_with 'a'`",
            ),
            (
                "StartTime STARTS_WITH '2020-01-01T00:00:00Z'",
                "operator 'starts_with' not supported for Datetime type search attribute in \
                 `StartTime starts_with '2020-01-01T00:00:00Z'`",
            ),
            ("CustomTextField BETWEEN 'a' AND 'b'", &format!("{range} 'CustomTextField' of type Text")),
            (
                "CustomKeywordListField BETWEEN 'a' AND 'b'",
                &format!("{range} 'CustomKeywordListField' of type KeywordList"),
            ),
            ("CustomBoolField BETWEEN true AND false", &format!("{range} 'CustomBoolField' of type Bool")),
        ],
    );
}

#[test]
fn names_must_exist() {
    for (query, name) in [
        ("Nope = 'x'", "Nope"),
        ("`Nope` = 'x'", "Nope"),
        ("workflowid = 'x'", "workflowid"),
        ("NamespaceId = 'x'", "NamespaceId"),
        ("Memo = 'x'", "Memo"),
        ("Nope IS NULL", "Nope"),
        ("NOT Nope = 1", "Nope"),
        ("WorkflowId = 'a' OR Nope IN (1, 2)", "Nope"),
        ("Nope BETWEEN 1 AND 2", "Nope"),
        ("t.WorkflowId = 'a'", "t.WorkflowId"),
    ] {
        let message =
            format!("invalid query: invalid expression: column name '{name}' is not a valid search attribute");
        assert_eq!(refusal(query), message, "{query}");
    }
}

#[test]
fn values_must_be_of_their_type() {
    refused(
        "invalid expression: ",
        &[
            ("StartTime = 'yesterday'", "unable to parse datetime 'yesterday'"),
            ("StartTime = '1577836800000000000'", "unable to parse datetime '1577836800000000000'"),
            ("StartTime = 1.5", "unexpected value type float64 for search attribute StartTime"),
            ("CloseTime BETWEEN 'a' AND 'b'", "unable to parse datetime 'a'"),
            ("StartTime STARTS_WITH '2020'", "unable to parse datetime '2020'"),
            ("ExecutionStatus = 'running'", "invalid ExecutionStatus value 'running'"),
            ("ExecutionStatus = '1'", "invalid ExecutionStatus value '1'"),
            ("ExecutionStatus STARTS_WITH 'Run'", "invalid ExecutionStatus value 'Run'"),
            ("ExecutionStatus IN ('Running', 'Other')", "invalid ExecutionStatus value 'Other'"),
        ],
    );
    refused(
        "invalid value for search attribute ExecutionDuration: ",
        &[
            ("ExecutionDuration = 'abc'", "abc (invalid duration)"),
            ("ExecutionDuration > '1 hour'", "1 hour (invalid duration)"),
            ("ExecutionDuration > ''", " (invalid duration)"),
        ],
    );
}

#[test]
fn only_counts_group_and_only_by_status() {
    let grouped = |query: &str| Query::for_count(query, &custom());
    assert!(grouped("GROUP BY ExecutionStatus").expect("grouped").is_grouped_by_status());
    assert!(!grouped("WorkflowId = 'a'").expect("plain").is_grouped_by_status());
    for (query, message) in [
        (
            "GROUP BY WorkflowType",
            "operation is not supported: 'GROUP BY' clause is only supported for ExecutionStatus",
        ),
        (
            "GROUP BY ExecutionStatus, WorkflowType",
            "operation is not supported: 'GROUP BY' clause supports only a single field",
        ),
        ("GROUP BY Nope", "invalid expression: column name 'Nope' is not a valid search attribute"),
        ("WorkflowId = 'x' LIMIT 3", "operation is not supported: 'LIMIT' clause"),
    ] {
        assert_eq!(grouped(query).expect_err(query).to_string(), message, "{query}");
    }
}
