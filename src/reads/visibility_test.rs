//! Lists and counts over several shards in memory.

use proto::temporal::api::common::v1::{SearchAttributes, WorkflowExecution, WorkflowType};
use proto::temporal::api::filter::v1::{StatusFilter, WorkflowExecutionFilter, WorkflowTypeFilter};
use statemachine::reject::Stop;
use statemachine::time::{timestamp, timestamp_if_set, SECOND};
use statemachine::{MemoryKv, Txn};

use super::*;

const NAMESPACE: [u8; 16] = [7; 16];

fn namespace() -> state::Namespace {
    state::Namespace {
        id: statemachine::tables::id_text(&NAMESPACE),
        search_attributes: [("Color".to_owned(), IndexedValueType::Keyword as i32)].into(),
        ..Default::default()
    }
}

fn payload(json: &str) -> Payload {
    Payload { data: json.as_bytes().to_vec().into(), ..Default::default() }
}

/// Run number `n` of `namespace`: closed at `close` seconds, open if that is 0.
fn put(kv: &mut MemoryKv, namespace: [u8; 16], n: u8, start: i64, close: i64) {
    let status = if close == 0 { Status::Running } else { Status::Completed };
    let attributes = [("Color", "\"red\""), ("Removed", "1"), ("BuildIds", "[]")];
    let info = WorkflowExecutionInfo {
        execution: Some(WorkflowExecution {
            workflow_id: format!("w{n}"),
            run_id: statemachine::tables::id_text(&[n; 16]),
        }),
        r#type: Some(WorkflowType { name: ["Even", "Odd"][usize::from(n % 2)].into() }),
        start_time: Some(timestamp(start * SECOND)),
        execution_time: Some(timestamp(start * SECOND)),
        close_time: timestamp_if_set(close * SECOND),
        status: status as i32,
        history_length: 9,
        search_attributes: Some(SearchAttributes {
            indexed_fields: attributes.map(|(name, json)| (name.to_owned(), payload(json))).into(),
        }),
        ..Default::default()
    };
    let time = if close == 0 { start } else { close } * SECOND;
    let key = VisibleKey { namespace, closed: close != 0, time, run: RunKey { slot: n.into(), run: [n; 16] } };
    let empty = MemoryKv::default();
    let mut txn = Txn::new(&empty);
    key.put(&mut txn, &state::Visible { info: Some(info) });
    kv.write(txn.into_writes());
}

/// Runs 0..n spread over the shards; every third is closed, the later it started the earlier.
fn shards(count: usize, n: u8) -> Vec<MemoryKv> {
    let mut shards = vec![MemoryKv::default(); count];
    for at in 0..n {
        let close = if at % 3 == 0 { 1000 - i64::from(at) } else { 0 };
        put(&mut shards[usize::from(at) * 7 % count], NAMESPACE, at, 100 + i64::from(at / 2), close);
    }
    put(&mut shards[0], [8; 16], 200, 100, 0);
    shards
}

fn snapshots(shards: &[MemoryKv]) -> Vec<&dyn Kv> {
    shards.iter().map(|shard| shard as &dyn Kv).collect()
}

fn ids(executions: &[WorkflowExecutionInfo]) -> Vec<String> {
    executions
        .iter()
        .filter_map(|info| info.execution.as_ref())
        .map(|execution| execution.workflow_id.clone())
        .collect()
}

fn all_pages(shards: &[MemoryKv], query: &str, size: i32) -> Vec<Vec<String>> {
    let (mut token, mut pages) = (Vec::new(), Vec::new());
    loop {
        let page = list(&snapshots(shards), &namespace(), query, size, &token).expect("a page");
        pages.push(ids(&page.executions));
        token = page.next;
        if token.is_empty() {
            return pages;
        }
    }
}

#[test]
fn open_runs_first_newest_first() {
    let shards = shards(3, 7);
    let expected = ["w4", "w5", "w2", "w1", "w0", "w3", "w6"];
    // Runs that started at the same time are in the order of their slots.
    let listed = all_pages(&shards, "", 0).concat();
    assert_eq!(listed, expected);
}

#[test]
fn pages_of_any_size_follow_one_another() {
    for count in [1, 2, 3, 5] {
        let shards = shards(count, 60);
        for query in
            ["", "ExecutionStatus = 'Running'", "CloseTime IS NOT NULL", "WorkflowType = 'Even'", "Color != 'red'"]
        {
            let whole = all_pages(&shards, query, 1000);
            assert_eq!(whole.len(), 1, "{query}");
            for size in [1, 2, 7, 20, 59, 60, 61] {
                let pages = all_pages(&shards, query, size);
                assert_eq!(pages.concat(), whole[0], "{query}, pages of {size}, {count} shards");
                let (last, full) = pages.split_last().expect("at least one page");
                assert!(full.iter().all(|page| page.len() == size as usize));
                assert!(!last.is_empty() || pages.len() == 1);
            }
        }
    }
}

#[test]
fn the_order_does_not_depend_on_the_number_of_shards() {
    let whole = all_pages(&shards(1, 60), "", 9);
    for count in [2, 3, 4] {
        assert_eq!(all_pages(&shards(count, 60), "", 9), whole);
    }
}

#[test]
fn a_list_that_visits_too_much_goes_on_where_it_stopped() {
    let shards = shards(3, 60);
    let namespace = namespace();
    let query = Query::for_list("WorkflowType = 'Even'", &namespace.search_attributes).expect("a query");
    let whole = all_pages(&shards, "WorkflowType = 'Even'", 1000).concat();
    for rows_per_shard in [1, 3, 10] {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let merge = Merge { namespace: &namespace, query: &query, after, entries: 4, rows_per_shard };
            let page = merge.page(&snapshots(&shards)).expect("a page");
            found.extend(ids(&page.executions));
            if page.next.is_empty() {
                break;
            }
            after = Some(page.next);
        }
        assert_eq!(found, whole, "{rows_per_shard} rows a shard");
    }
}

#[test]
fn entries_show_what_the_namespace_has() {
    let page = list(&snapshots(&shards(2, 4)), &namespace(), "", 0, &[]).expect("a page");
    for info in &page.executions {
        let fields = &info.search_attributes.as_ref().expect("attributes").indexed_fields;
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["Color"]);
        assert_eq!(fields["Color"].metadata["type"].as_ref(), b"Keyword");
        assert!(info.memo.is_some());
        assert_eq!(info.history_length, if info.close_time.is_some() { 9 } else { 0 });
    }
}

#[test]
fn counts_and_groups() {
    let shards = shards(3, 10);
    let counted = |query: &str| count(&snapshots(&shards), &namespace(), query).expect("a count");
    assert_eq!(counted("").count, 10);
    assert_eq!(counted("ExecutionStatus = 'Running'").count, 6);
    assert_eq!(counted("CloseTime IS NOT NULL").count, 4);
    assert_eq!(counted("WorkflowId = 'nobody'"), CountWorkflowExecutionsResponse::default());
    assert_eq!(counted("WorkflowId = 'nobody' GROUP BY ExecutionStatus"), CountWorkflowExecutionsResponse::default());
    let grouped = counted("GROUP BY ExecutionStatus");
    let groups: Vec<_> =
        grouped.groups.iter().map(|group| (group.group_values[0].data.as_ref(), group.count)).collect();
    assert_eq!(groups, [(&b"\"Running\""[..], 6), (&b"\"Completed\""[..], 4)]);
    assert_eq!(grouped.groups[0].group_values[0].metadata["type"].as_ref(), b"Keyword");
}

fn refusal<T: std::fmt::Debug>(answer: Decided<T>) -> String {
    match answer {
        Err(Stop::Reject(reject)) => reject.message().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn foreign_and_broken_tokens_are_refused() {
    let shards = shards(1, 3);
    let run = RunKey { slot: 1, run: [1; 16] };
    let foreign = VisibleKey { namespace: [8; 16], closed: false, time: 5, run }.encode();
    let own = VisibleKey { namespace: NAMESPACE, closed: false, time: 5, run }.encode();
    for token in [foreign, vec![1, 2, 3], own[..own.len() - 1].to_vec(), [own.clone(), vec![0]].concat()] {
        let answer = list(&snapshots(&shards), &namespace(), "", 0, &token);
        assert_eq!(refusal(answer), "Invalid NextPageToken.");
    }
    assert!(list(&snapshots(&shards), &namespace(), "", 0, &own).is_ok());
    let answer = list(&snapshots(&shards), &namespace(), "Nope = 1", 0, &[]);
    assert!(refusal(answer).starts_with("invalid query: invalid expression: column name 'Nope'"));
}

#[test]
fn the_old_lists() {
    let shards = shards(2, 6);
    let open = |request: ListOpenWorkflowExecutionsRequest| {
        list_open(&snapshots(&shards), &namespace(), &request, &[]).map(|page| ids(&page.executions))
    };
    let closed = |request: ListClosedWorkflowExecutionsRequest| {
        list_closed(&snapshots(&shards), &namespace(), &request, &[]).map(|page| ids(&page.executions))
    };
    let times = |earliest: i64, latest: i64| {
        Some(StartTimeFilter {
            earliest_time: Some(timestamp(earliest * SECOND)),
            latest_time: Some(timestamp(latest * SECOND)),
        })
    };
    let of_type = |name: &str| WorkflowTypeFilter { name: name.into() };
    let of_id = |id: &str| WorkflowExecutionFilter { workflow_id: id.into(), run_id: String::new() };
    assert_eq!(open(Default::default()).expect("all"), ["w4", "w5", "w2", "w1"]);
    let request = ListOpenWorkflowExecutionsRequest {
        filters: Some(OpenFilters::TypeFilter(of_type("Odd"))),
        ..Default::default()
    };
    assert_eq!(open(request).expect("by type"), ["w5", "w1"]);
    let request = ListOpenWorkflowExecutionsRequest {
        filters: Some(OpenFilters::ExecutionFilter(of_id("w0"))),
        ..Default::default()
    };
    assert!(open(request).expect("a closed id").is_empty());
    let request = ListOpenWorkflowExecutionsRequest { start_time_filter: times(101, 101), ..Default::default() };
    assert_eq!(open(request).expect("by time"), ["w2"]);
    let request = ListOpenWorkflowExecutionsRequest { start_time_filter: times(2, 1), ..Default::default() };
    assert!(refusal(open(request)).starts_with("EarliestTime in StartTimeFilter"));
    assert_eq!(closed(Default::default()).expect("all"), ["w0", "w3"]);
    let request = ListClosedWorkflowExecutionsRequest { start_time_filter: times(0, 999), ..Default::default() };
    assert_eq!(closed(request).expect("by close time"), ["w3"]);
    let status = |status: Status| ListClosedWorkflowExecutionsRequest {
        filters: Some(ClosedFilters::StatusFilter(StatusFilter { status: status as i32 })),
        ..Default::default()
    };
    assert_eq!(closed(status(Status::Completed)).expect("by status"), ["w0", "w3"]);
    assert!(closed(status(Status::Failed)).expect("by status").is_empty());
    for bad in [Status::Running, Status::Unspecified] {
        assert_eq!(refusal(closed(status(bad))), "StatusFilter must be specified and must be not Running.");
    }
}
