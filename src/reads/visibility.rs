//! Lists and counts of executions, merged over the shards.
//!
//! Every shard keeps its records in list order under keys that compare across shards (`VisibleKey`): open runs first by
//! start time, then closed ones by close time, newest first. A page token is the last key looked at, so one key says
//! where every shard goes on. A call visits a bounded number of rows; a list that runs out of them gives what it found
//! and a token.

use std::collections::BTreeMap;

use prost::Message;
use proto::temporal::api::common::v1::{Memo, Payload};
use proto::temporal::api::enums::v1::{IndexedValueType, ResourceExhaustedCause, WorkflowExecutionStatus as Status};
use proto::temporal::api::filter::v1::StartTimeFilter;
use proto::temporal::api::workflow::v1::WorkflowExecutionInfo;
use proto::temporal::api::workflowservice::v1::count_workflow_executions_response::AggregationGroup;
use proto::temporal::api::workflowservice::v1::list_closed_workflow_executions_request::Filters as ClosedFilters;
use proto::temporal::api::workflowservice::v1::list_open_workflow_executions_request::Filters as OpenFilters;
use proto::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsResponse, ListClosedWorkflowExecutionsRequest, ListOpenWorkflowExecutionsRequest,
};
use statemachine::reject::Decided;
use statemachine::tables::{id_bytes, RunKey, VisibleKey};
use statemachine::time::nanos_of_timestamp;
use statemachine::{state, Fault, Kv, Reject};

use super::query::literal::status_name;
use super::query::{Comparison, Field, Filter, Part, Query, Record, System};
use super::search_attributes::{custom_kind, decode, predefined_kind, type_name, Value};

/// Entries of one page, and the default.
pub const PAGE_ENTRIES_MAX: usize = 1000;
/// Rows one list may visit over all shards before it gives what it has.
const LIST_ROWS_MAX: usize = 100_000;
/// Rows one count may visit; counting more is refused.
const COUNT_ROWS_MAX: usize = 5_000_000;

/// A page of a list. `next` is empty on the last one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    pub executions: Vec<WorkflowExecutionInfo>,
    pub next: Vec<u8>,
}

/// The executions of a namespace that a query finds. `shards` are snapshots of all data shards.
pub fn list(
    shards: &[&dyn Kv],
    namespace: &state::Namespace,
    query: &str,
    page_size: i32,
    token: &[u8],
) -> Decided<Page> {
    let query = Query::for_list(query, &namespace.search_attributes).map_err(Reject::from)?;
    pages(shards, namespace, &query, page_size, token)
}

/// The old list of open executions. The request's own token is ignored for `token`.
pub fn list_open(
    shards: &[&dyn Kv],
    namespace: &state::Namespace,
    request: &ListOpenWorkflowExecutionsRequest,
    token: &[u8],
) -> Decided<Page> {
    let mut conditions = vec![equal(System::ExecutionStatus, Value::Integer(Status::Running as i64))];
    conditions.extend(within(System::StartTime, request.start_time_filter.as_ref())?);
    match &request.filters {
        Some(OpenFilters::ExecutionFilter(filter)) => conditions.push(named(System::WorkflowId, &filter.workflow_id)),
        Some(OpenFilters::TypeFilter(filter)) => conditions.push(named(System::WorkflowType, &filter.name)),
        None => {}
    }
    pages(shards, namespace, &Query::of(conditions), request.maximum_page_size, token)
}

/// The old list of closed executions. Its time filter is about close times (Temporal: ListClosedWorkflowExecutions).
pub fn list_closed(
    shards: &[&dyn Kv],
    namespace: &state::Namespace,
    request: &ListClosedWorkflowExecutionsRequest,
    token: &[u8],
) -> Decided<Page> {
    let mut conditions = vec![Filter::Not(Box::new(Filter::IsNull(Field::System(System::CloseTime))))];
    conditions.extend(within(System::CloseTime, request.start_time_filter.as_ref())?);
    match &request.filters {
        Some(ClosedFilters::ExecutionFilter(filter)) => conditions.push(named(System::WorkflowId, &filter.workflow_id)),
        Some(ClosedFilters::TypeFilter(filter)) => conditions.push(named(System::WorkflowType, &filter.name)),
        Some(ClosedFilters::StatusFilter(filter)) => {
            if matches!(filter.status(), Status::Unspecified | Status::Running) {
                let why = "StatusFilter must be specified and must be not Running.";
                return Err(Reject::invalid_argument(why).into());
            }
            conditions.push(equal(System::ExecutionStatus, Value::Integer(filter.status.into())));
        }
        None => {}
    }
    pages(shards, namespace, &Query::of(conditions), request.maximum_page_size, token)
}

fn equal(system: System, value: Value<'static>) -> Filter {
    Filter::Compare(Field::System(system), Comparison::Equal, value)
}

fn named(system: System, name: &str) -> Filter {
    equal(system, Value::Text(name.to_owned().into()))
}

/// The conditions of a time filter.
fn within(system: System, filter: Option<&StartTimeFilter>) -> Result<Vec<Filter>, Reject> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    let earliest = filter.earliest_time.as_ref().map(nanos_of_timestamp);
    let latest = filter.latest_time.as_ref().map(nanos_of_timestamp);
    if earliest.zip(latest).is_some_and(|(earliest, latest)| earliest > latest) {
        let why = "EarliestTime in StartTimeFilter should not be larger than LatestTime.";
        return Err(Reject::invalid_argument(why));
    }
    let bound = |comparison, time| Filter::Compare(Field::System(system), comparison, Value::Time(time));
    let from = earliest.map(|time| bound(Comparison::GreaterEqual, time));
    let to = latest.map(|time| bound(Comparison::LessEqual, time));
    Ok(from.into_iter().chain(to).collect())
}

fn pages(
    shards: &[&dyn Kv],
    namespace: &state::Namespace,
    query: &Query,
    page_size: i32,
    token: &[u8],
) -> Decided<Page> {
    let entries = usize::try_from(page_size).ok().filter(|n| (1..=PAGE_ENTRIES_MAX).contains(n));
    let merge = Merge {
        namespace,
        query,
        after: start_after(namespace, query.part(), token)?,
        entries: entries.unwrap_or(PAGE_ENTRIES_MAX),
        rows_per_shard: LIST_ROWS_MAX / shards.len().max(1),
    };
    Ok(merge.page(shards)?)
}

/// The key after which rows may match, from the token or the query.
fn start_after(namespace: &state::Namespace, part: Part, token: &[u8]) -> Result<Option<Vec<u8>>, Reject> {
    let id = id_bytes(&namespace.id).unwrap_or_default();
    if !token.is_empty() {
        let key = VisibleKey::decode(token).ok().filter(|key| key.namespace == id && key.encode() == token);
        return match key {
            Some(_) => Ok(Some(token.to_vec())),
            None => Err(Reject::invalid_argument("Invalid NextPageToken.")),
        };
    }
    if part.has_open() {
        return Ok(None);
    }
    // Before every closed row: no run closes at the end of time.
    let least = RunKey { slot: 0, run: [0; 16] };
    Ok(Some(VisibleKey { namespace: id, closed: true, time: i64::MAX, run: least }.encode()))
}

/// Makes one page of the records of several shards.
struct Merge<'a> {
    namespace: &'a state::Namespace,
    query: &'a Query,
    after: Option<Vec<u8>>,
    entries: usize,
    rows_per_shard: usize,
}

impl Merge<'_> {
    fn page(&self, shards: &[&dyn Kv]) -> Result<Page, Fault> {
        // The least keys found so far: one more than the page holds, to know whether there is a next page.
        let mut found = BTreeMap::new();
        let mut frontier: Option<Vec<u8>> = None;
        for shard in shards {
            if let Some(reached) = self.collect(*shard, &mut found)? {
                frontier = Some(frontier.map_or(reached.clone(), |frontier| frontier.min(reached)));
            }
        }
        if let Some(frontier) = &frontier {
            // Beyond it a shard has rows not looked at, which may come first.
            found.retain(|key, _| key <= frontier);
        }
        let mut page = Page::default();
        if found.len() > self.entries {
            found.pop_last();
            page.next = found.last_key_value().map(|(key, _)| key.clone()).unwrap_or_default();
        } else if let Some(frontier) = frontier {
            page.next = frontier;
        }
        page.executions = found.into_values().map(|info| self.shown(info)).collect();
        Ok(page)
    }

    /// Adds a shard's records to `found` as long as they belong to the page. Gives the key reached if the rows to visit
    /// ran out before that was clear.
    fn collect(
        &self,
        shard: &dyn Kv,
        found: &mut BTreeMap<Vec<u8>, WorkflowExecutionInfo>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut visited = 0;
        let mut reached = None;
        let mut step = |key: &[u8], value: &[u8]| -> Result<bool, Fault> {
            let is_past_page =
                found.len() > self.entries && found.last_key_value().is_some_and(|(last, _)| key > last.as_slice());
            if is_past_page || is_past_part(self.query.part(), key)? {
                return Ok(false);
            }
            visited += 1;
            let info = info(value)?;
            if self.query.matches(&Record(&info)) {
                found.insert(key.to_vec(), info);
                if found.len() > self.entries + 1 {
                    found.pop_last();
                }
            }
            if visited == self.rows_per_shard {
                reached = Some(key.to_vec());
            }
            Ok(visited < self.rows_per_shard)
        };
        scan(shard, &self.namespace.id, self.after.as_deref(), &mut step)?;
        Ok(reached)
    }

    /// The record as a list shows it: without attributes that the namespace no longer has, totals once it is closed.
    fn shown(&self, mut info: WorkflowExecutionInfo) -> WorkflowExecutionInfo {
        info.memo.get_or_insert_with(Memo::default);
        info.root_execution = info.root_execution.or_else(|| info.execution.clone());
        let attributes = info.search_attributes.get_or_insert_with(Default::default);
        attributes.indexed_fields.retain(|name, payload| {
            let custom = || custom_kind(&self.namespace.search_attributes, name);
            let Some(kind) = predefined_kind(name).or_else(custom) else { return false };
            payload.metadata.insert("type".to_owned(), type_name(kind).as_bytes().to_vec().into());
            matches!(decode(payload, kind), Ok(Some(_)))
        });
        if info.close_time.is_none() {
            info.history_length = 0;
            info.history_size_bytes = 0;
            info.state_transition_count = 0;
            info.execution_duration = None;
        }
        info
    }
}

/// Whether no row from this key on can match, because all of them are closed.
fn is_past_part(part: Part, key: &[u8]) -> Result<bool, Fault> {
    Ok(!part.has_closed() && VisibleKey::decode(key)?.closed)
}

fn info(value: &[u8]) -> Result<WorkflowExecutionInfo, Fault> {
    let row = state::Visible::decode(value).map_err(|error| Fault::corrupt("visibility row", error))?;
    Ok(row.info.unwrap_or_default())
}

/// Called for each row, key then value; `false` ends the scan.
type Step<'s> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Fault> + 's;

/// Visits a namespace's rows with a visitor that may fail.
fn scan(shard: &dyn Kv, namespace_id: &str, after: Option<&[u8]>, step: &mut Step<'_>) -> Result<(), Fault> {
    let mut failed = None;
    VisibleKey::scan(shard, namespace_id, after, &mut |key, value| {
        step(key, value).unwrap_or_else(|fault| {
            failed = Some(fault);
            false
        })
    })?;
    failed.map_or(Ok(()), Err)
}

/// How many executions a query finds, grouped by status if it says so.
pub fn count(
    shards: &[&dyn Kv],
    namespace: &state::Namespace,
    query: &str,
) -> Decided<CountWorkflowExecutionsResponse> {
    let query = Query::for_count(query, &namespace.search_attributes).map_err(Reject::from)?;
    let after = start_after(namespace, query.part(), &[])?;
    let mut by_status = BTreeMap::<i32, i64>::new();
    let mut rows_left = COUNT_ROWS_MAX;
    for shard in shards {
        let mut step = |key: &[u8], value: &[u8]| -> Result<bool, Fault> {
            if rows_left == 0 || is_past_part(query.part(), key)? {
                return Ok(false);
            }
            rows_left -= 1;
            let info = info(value)?;
            if query.matches(&Record(&info)) {
                *by_status.entry(info.status).or_default() += 1;
            }
            Ok(true)
        };
        scan(*shard, &namespace.id, after.as_deref(), &mut step)?;
    }
    if rows_left == 0 {
        let why = format!("counting visits more than {COUNT_ROWS_MAX} executions");
        return Err(Reject::resource_exhausted(ResourceExhaustedCause::SystemOverloaded, why).into());
    }
    let count = by_status.values().sum();
    let groups = if query.is_grouped_by_status() { by_status.into_iter().map(group).collect() } else { Vec::new() };
    Ok(CountWorkflowExecutionsResponse { count, groups })
}

fn group((status, count): (i32, i64)) -> AggregationGroup {
    let name = status_name(Status::try_from(status).unwrap_or_default());
    let metadata = [("encoding", "json/plain"), ("type", type_name(IndexedValueType::Keyword))]
        .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec().into()));
    let value = Payload { metadata: metadata.into(), data: format!("\"{name}\"").into(), ..Default::default() };
    AggregationGroup { group_values: vec![value], count }
}

#[cfg(test)]
#[path = "visibility_test.rs"]
mod tests;
