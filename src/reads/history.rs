//! Pages of a run's history (SEMANTICS B26, §F), forwards, backwards, and for workers.
//!
//! A page is whole batches, as many as fit its bounds. A transient workflow task has no events in the tables: readers are
//! shown the ones it would have (B4), after the last stored event.

use prost::Message;
use proto::temporal::api::common::v1::DataBlob;
use proto::temporal::api::enums::v1::EncodingType;
use proto::temporal::api::history::v1::{History, HistoryEvent};
use statemachine::reject::Decided;
use statemachine::tables::{batch_at_or_before, read_batches, RunKey};
use statemachine::workflow::task;
use statemachine::{state, Fault, Kv, Reject};

use super::describe::resolve;

/// Batches of one page, and the default (Temporal: frontend.historyMaxPageSize).
pub const PAGE_BATCHES_MAX: usize = 256;
/// A page ends with the batch that reaches this; clients take answers of 4 MB.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Batches read from the store at once, each at most a few MB.
const READ_BATCHES: usize = 16;

/// Where the next page of a run's history starts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Token {
    #[prost(string, tag = "1")]
    pub run_id: String,
    /// Forwards: the first event of the next page. Backwards: the event after the first one of the next page.
    #[prost(int64, tag = "2")]
    pub event_id: i64,
}

/// What a reader asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    pub workflow_id: String,
    /// Empty: the current run, or the token's.
    pub run_id: String,
    pub page_size: i32,
    /// Only the event that closed the run.
    pub close_event_only: bool,
    /// At the end of an open run's history, wait for more.
    pub wait: bool,
    /// Show the events of a transient workflow task; false for the CLI and the UI.
    pub transient: bool,
    /// Batches as they are stored, each by itself, rather than one history.
    pub raw: bool,
    pub token: Option<Token>,
}

/// What to do next for a reader.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Page {
        history: History,
        /// In place of the history, if that was asked for.
        raw: Vec<DataBlob>,
        next: Option<Token>,
    },
    /// Nothing new on an open run: read again with the token once the run has changed; out of patience, answer an empty
    /// history and the token.
    Wait { run: RunKey, run_id: String, next_event_id: i64, token: Token },
}

/// One step of reading a history forwards.
pub fn read(kv: &dyn Kv, namespace_id: &str, request: &Request) -> Decided<Step> {
    let (key, run) = find(kv, namespace_id, request)?;
    let open = run.close_time == 0;
    let token = |event_id| Token { run_id: run.run_id.clone(), event_id };
    let wait = |event_id| Step::Wait {
        run: key,
        run_id: run.run_id.clone(),
        next_event_id: run.next_event_id,
        token: token(event_id),
    };
    if request.close_event_only {
        return Ok(match (open, request.wait) {
            (true, true) => wait(run.next_event_id),
            (true, false) => Step::Page { history: History::default(), raw: Vec::new(), next: None },
            (false, _) if request.raw => {
                Step::Page { history: History::default(), raw: vec![close_batch(kv, key, &run)?], next: None }
            }
            (false, _) => Step::Page { history: close_event(kv, key, &run)?, raw: Vec::new(), next: None },
        });
    }
    let first = request.token.as_ref().map_or(1, |token| token.event_id.max(1));
    if first >= run.next_event_id && open && request.wait {
        return Ok(wait(first));
    }
    let mut page = page(kv, key, &run, first, request.page_size)?;
    let is_last = page.next_event_id >= run.next_event_id;
    let goes_on = open && request.wait;
    let transient = if is_last && !goes_on && request.transient { transient_events(&run) } else { Vec::new() };
    let next = (!is_last || goes_on).then(|| token(page.next_event_id));
    if request.raw {
        if !transient.is_empty() {
            page.batches.push(History::from(transient).encode_to_vec());
        }
        let raw = page.batches.into_iter().map(blob).collect();
        return Ok(Step::Page { history: History::default(), raw, next });
    }
    let history = History { events: transient, ..page.into_history() };
    Ok(Step::Page { history, raw: Vec::new(), next })
}

/// A page of a run's history, newest event first.
pub fn read_reverse(kv: &dyn Kv, namespace_id: &str, request: &Request) -> Decided<(History, Option<Token>)> {
    let (key, run) = find(kv, namespace_id, request)?;
    let mut end = request.token.as_ref().map_or(run.next_event_id, |token| token.event_id.min(run.next_event_id));
    let batches_max = page_batches(request.page_size);
    let (mut events, mut batches, mut bytes) = (Vec::new(), 0, 0);
    while end > 1 && batches < batches_max && bytes < PAGE_BYTES_MAX {
        let batch = batch_at_or_before(kv, key, end - 1)?.ok_or_else(|| Fault::corrupt("history", "it has a gap"))?;
        let in_page = batch.events()?.into_iter().filter(|event| event.event_id < end);
        events.extend(in_page.collect::<Vec<_>>().into_iter().rev());
        end = batch.first_event_id;
        batches += 1;
        bytes += batch.bytes.len();
    }
    let next = (end > 1).then(|| Token { run_id: run.run_id.clone(), event_id: end });
    Ok((events.into(), next))
}

/// The history a worker gets with a workflow task, from an event on: the first page, with the events of a transient task
/// if it is also the last.
pub fn task_history(
    kv: &dyn Kv,
    key: RunKey,
    run: &state::Run,
    first_event_id: i64,
) -> Decided<(History, Option<Token>)> {
    let (mut history, next) = query_history(kv, key, run, first_event_id)?;
    if next.is_none() {
        history.events.extend(transient_events(run));
    }
    Ok((history, next))
}

/// The history a worker gets with a query: the first page of what is stored.
pub fn query_history(
    kv: &dyn Kv,
    key: RunKey,
    run: &state::Run,
    first_event_id: i64,
) -> Decided<(History, Option<Token>)> {
    let page = page(kv, key, run, first_event_id, 0)?;
    let more = page.next_event_id < run.next_event_id;
    let next = more.then(|| Token { run_id: run.run_id.clone(), event_id: page.next_event_id });
    Ok((page.into_history(), next))
}

/// The events that the run's transient or speculative workflow task would have: Scheduled, and Started if a worker has it.
/// None if there is no such task, or if an event written since has taken its place.
pub fn transient_events(run: &state::Run) -> Vec<HistoryEvent> {
    match &run.task {
        Some(task) if task.scheduled_event_id == run.next_event_id => task::unwritten_events(run, task),
        _ => Vec::new(),
    }
}

/// The run that a request or its token names.
fn find(kv: &dyn Kv, namespace_id: &str, request: &Request) -> Decided<(RunKey, state::Run)> {
    let run_id = match &request.token {
        Some(token) if !request.run_id.is_empty() && request.run_id != token.run_id => {
            let why = "RunId in the request does not match the NextPageToken.";
            return Err(Reject::invalid_argument(why).into());
        }
        Some(token) => &token.run_id,
        None => &request.run_id,
    };
    resolve(kv, namespace_id, &request.workflow_id, run_id)
}

fn page_batches(page_size: i32) -> usize {
    usize::try_from(page_size).ok().filter(|size| (1..=PAGE_BATCHES_MAX).contains(size)).unwrap_or(PAGE_BATCHES_MAX)
}

struct Page {
    /// Each an encoded History.
    batches: Vec<Vec<u8>>,
    /// The event after the page.
    next_event_id: i64,
}

impl Page {
    fn into_history(self) -> History {
        let mut history = History::default();
        self.batches.into_iter().for_each(|batch| history.append(batch));
        history
    }
}

/// A batch as Temporal gives it out.
fn blob(batch: Vec<u8>) -> DataBlob {
    DataBlob { encoding_type: EncodingType::Proto3 as i32, data: batch.into() }
}

/// Stored events from `first` on, encoded as they are stored.
fn page(kv: &dyn Kv, key: RunKey, run: &state::Run, first: i64, page_size: i32) -> Result<Page, Fault> {
    let mut page = Page { batches: Vec::new(), next_event_id: first };
    let mut batches_left = page_batches(page_size);
    let mut bytes = 0;
    // An event in the middle of a batch: workers' pages start there after a sticky task.
    let before = if first > 1 { batch_at_or_before(kv, key, first)? } else { None };
    if let Some(batch) = before.filter(|batch| batch.first_event_id < first) {
        bytes += batch.bytes.len();
        page.next_event_id = batch.end_event_id()?;
        let events: Vec<HistoryEvent> = batch.events()?.into_iter().filter(|event| event.event_id >= first).collect();
        page.batches.push(History::from(events).encode_to_vec());
    }
    while page.next_event_id < run.next_event_id && batches_left > 0 && bytes < PAGE_BYTES_MAX {
        let from = page.next_event_id;
        let batches = read_batches(kv, key, from, run.next_event_id, batches_left.min(READ_BATCHES))?;
        if batches.is_empty() {
            return Err(Fault::corrupt("history", format!("no event {from}")));
        }
        for batch in batches {
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
            if batch.first_event_id != page.next_event_id {
                return Err(Fault::corrupt("history", format!("no event {}", page.next_event_id)));
            }
            bytes += batch.bytes.len();
            page.next_event_id = batch.end_event_id()?;
            page.batches.push(batch.bytes);
            batches_left -= 1;
        }
    }
    Ok(page)
}

fn close_event(kv: &dyn Kv, key: RunKey, run: &state::Run) -> Result<History, Fault> {
    let batch = batch_at_or_before(kv, key, run.next_event_id - 1)?;
    let last = batch.map(|batch| batch.events()).transpose()?.and_then(|mut events| events.pop());
    let event = last.ok_or_else(|| Fault::corrupt("history", "a closed run has no events"))?;
    Ok(vec![event].into())
}

/// The whole batch whose last event closed the run: Temporal takes nothing out of it.
fn close_batch(kv: &dyn Kv, key: RunKey, run: &state::Run) -> Result<DataBlob, Fault> {
    let batch = batch_at_or_before(kv, key, run.next_event_id - 1)?;
    let batch = batch.ok_or_else(|| Fault::corrupt("history", "a closed run has no events"))?;
    Ok(blob(batch.bytes))
}

#[cfg(test)]
#[path = "history_test.rs"]
mod tests;
