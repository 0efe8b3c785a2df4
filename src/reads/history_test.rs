//! Pages of histories in memory.

use proto::temporal::api::enums::v1::WorkflowExecutionStatus as Status;
use statemachine::reject::Stop;
use statemachine::state::workflow_task::Type;
use statemachine::tables::{append_batch, id_text, put_current, put_run};
use statemachine::{MemoryKv, Txn};

use super::*;

const WORKFLOW: &str = "w";

fn namespace_id() -> String {
    id_text(&[7; 16])
}

fn run_id() -> String {
    id_text(&[1; 16])
}

fn key() -> RunKey {
    RunKey::new(&namespace_id(), WORKFLOW, &run_id()).expect("a UUID")
}

/// A run whose batches have these sizes.
fn store(batches: &[i64], close_time: i64) -> (MemoryKv, state::Run) {
    let empty = MemoryKv::default();
    let mut txn = Txn::new(&empty);
    let mut next = 1;
    for size in batches {
        let events = (next..next + size).map(|event_id| HistoryEvent { event_id, ..Default::default() });
        append_batch(&mut txn, key(), events.collect());
        next += size;
    }
    let status = if close_time == 0 { Status::Running } else { Status::Completed };
    let run = state::Run {
        namespace_id: namespace_id(),
        workflow_id: WORKFLOW.into(),
        run_id: run_id(),
        status: status as i32,
        next_event_id: next,
        close_time,
        ..Default::default()
    };
    put_run(&mut txn, key(), &run);
    put_current(&mut txn, &namespace_id(), WORKFLOW, &state::Current { run_id: run_id(), ..Default::default() });
    let mut kv = MemoryKv::default();
    kv.write(txn.into_writes());
    (kv, run)
}

fn request() -> Request {
    Request { workflow_id: WORKFLOW.into(), transient: true, ..Default::default() }
}

fn ids(history: &History) -> Vec<i64> {
    let events = history.clone().into_events().expect("readable");
    events.iter().map(|event| event.event_id).collect()
}

fn page_of(kv: &MemoryKv, request: &Request) -> (Vec<i64>, Option<Token>) {
    match read(kv, &namespace_id(), request).expect("a step") {
        Step::Page { history, next, .. } => (ids(&history), next),
        step => panic!("{step:?}"),
    }
}

#[test]
fn pages_of_any_size_cover_all_events() {
    let sizes: Vec<i64> = (0..40).map(|n| 1 + n % 3).collect();
    let (kv, run) = store(&sizes, 5);
    for page_size in [0, 1, 2, 5, 39, 40, 41, 1000, -5] {
        let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
        let mut ask = Request { page_size, ..request() };
        loop {
            let (events, next) = page_of(&kv, &ask);
            assert!(!events.is_empty());
            forwards.extend(events);
            ask.token = next;
            if ask.token.is_none() {
                break;
            }
        }
        loop {
            let (history, next) = read_reverse(&kv, &namespace_id(), &ask).expect("a page");
            backwards.extend(ids(&history));
            ask.token = next;
            if ask.token.is_none() {
                break;
            }
        }
        assert_eq!(forwards, (1..run.next_event_id).collect::<Vec<_>>());
        backwards.reverse();
        assert_eq!(backwards, forwards);
    }
}

#[test]
fn a_page_is_a_number_of_batches() {
    let (kv, _) = store(&[2, 3, 1, 4], 0);
    let (events, next) = page_of(&kv, &Request { page_size: 2, ..request() });
    assert_eq!((events.len(), next), (5, Some(Token { run_id: run_id(), event_id: 6 })));
}

#[test]
fn waiting_for_events() {
    let (kv, _) = store(&[2, 1], 0);
    assert_eq!(page_of(&kv, &request()), (vec![1, 2, 3], None));
    let waiting = Request { wait: true, ..request() };
    let token = Token { run_id: run_id(), event_id: 4 };
    assert_eq!(page_of(&kv, &waiting), (vec![1, 2, 3], Some(token.clone())));
    let at_the_end = Request { token: Some(token.clone()), ..waiting.clone() };
    let step = Step::Wait { run: key(), run_id: run_id(), next_event_id: 4, token };
    assert_eq!(read(&kv, &namespace_id(), &at_the_end).expect("a step"), step);
    assert_eq!(page_of(&kv, &Request { wait: false, ..at_the_end.clone() }), (vec![], None));
    let (more, _) = store(&[2, 1, 2], 0);
    assert_eq!(page_of(&more, &at_the_end), (vec![4, 5], Some(Token { run_id: run_id(), event_id: 6 })));
    let (closed, _) = store(&[2, 1, 2], 9);
    assert_eq!(page_of(&closed, &at_the_end), (vec![4, 5], None));
}

#[test]
fn waiting_for_the_close() {
    let (open, _) = store(&[2, 1], 0);
    let close = Request { close_event_only: true, ..request() };
    assert_eq!(page_of(&open, &close), (vec![], None));
    let waiting = Request { wait: true, ..close.clone() };
    let Step::Wait { token, .. } = read(&open, &namespace_id(), &waiting).expect("a step") else { panic!("no wait") };
    let (closed, _) = store(&[2, 1, 3], 9);
    for request in [close, waiting.clone(), Request { token: Some(token), ..waiting }] {
        assert_eq!(page_of(&closed, &request), (vec![6], None));
    }
}

#[test]
fn transient_tasks_are_shown_to_those_who_want() {
    let (kv, mut run) = store(&[2, 2], 0);
    let task =
        state::WorkflowTask { r#type: Type::Transient as i32, scheduled_event_id: 5, attempt: 2, ..Default::default() };
    run.task = Some(task.clone());
    assert_eq!(transient_events(&run).iter().map(|event| event.event_id).collect::<Vec<_>>(), [5]);
    run.task = Some(state::WorkflowTask { started_event_id: 6, ..task.clone() });
    let (history, next) = task_history(&kv, key(), &run, 3).expect("a page");
    assert_eq!((ids(&history), next), (vec![3, 4, 5, 6], None));
    let (history, _) = query_history(&kv, key(), &run, 3).expect("a page");
    assert_eq!(ids(&history), [3, 4]);

    let mut kv = kv;
    let empty = MemoryKv::default();
    let mut txn = Txn::new(&empty);
    put_run(&mut txn, key(), &run);
    kv.write(txn.into_writes());
    assert_eq!(page_of(&kv, &request()).0, [1, 2, 3, 4, 5, 6]);
    assert_eq!(page_of(&kv, &Request { transient: false, ..request() }).0, [1, 2, 3, 4]);
    assert_eq!(page_of(&kv, &Request { page_size: 1, ..request() }).0, [1, 2]);
    // Who waits gets the real ones later.
    assert_eq!(page_of(&kv, &Request { wait: true, ..request() }).0, [1, 2, 3, 4]);

    let overtaken = state::WorkflowTask { scheduled_event_id: 4, ..task };
    assert!(transient_events(&state::Run { task: Some(overtaken), ..run.clone() }).is_empty());
    assert!(transient_events(&state::Run { task: None, ..run }).is_empty());
}

#[test]
fn a_page_may_start_within_a_batch() {
    let (kv, run) = store(&[2, 5], 0);
    let (history, _) = task_history(&kv, key(), &run, 5).expect("a page");
    assert_eq!(ids(&history), [5, 6, 7]);
}

#[test]
fn big_batches_make_small_pages() {
    let (mut kv, run) = store(&[1, 1, 1], 5);
    let large = Type::Transient.as_str_name().repeat(200_000);
    for first in 1..=3 {
        let link = proto::temporal::api::common::v1::Priority { fairness_key: large.clone(), ..Default::default() };
        let attributes = proto::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes {
            priority: Some(link),
            ..Default::default()
        };
        let event = HistoryEvent {
            event_id: first,
            attributes: Some(
                proto::temporal::api::history::v1::history_event::Attributes::WorkflowExecutionStartedEventAttributes(
                    attributes,
                ),
            ),
            ..Default::default()
        };
        let empty = MemoryKv::default();
        let mut txn = Txn::new(&empty);
        append_batch(&mut txn, key(), vec![event]);
        kv.write(txn.into_writes());
    }
    assert!(large.len() < PAGE_BYTES_MAX && large.len() * 2 > PAGE_BYTES_MAX);
    let (events, next) = page_of(&kv, &request());
    assert_eq!((events, next.map(|token| token.event_id)), (vec![1, 2], Some(3)));
    let (history, next) = read_reverse(&kv, &run.namespace_id, &request()).expect("a page");
    assert_eq!((ids(&history), next.map(|token| token.event_id)), (vec![3, 2], Some(2)));
}

#[test]
fn tokens_belong_to_a_run() {
    let (kv, _) = store(&[2], 5);
    let token = Some(Token { run_id: run_id(), event_id: 1 });
    assert_eq!(page_of(&kv, &Request { run_id: run_id(), token: token.clone(), ..request() }).0, [1, 2]);
    let other = Request { run_id: id_text(&[2; 16]), token, ..request() };
    match read(&kv, &namespace_id(), &other) {
        Err(Stop::Reject(reject)) => {
            assert_eq!(reject.message(), "RunId in the request does not match the NextPageToken.");
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_gap_is_corruption() {
    let (mut kv, _) = store(&[2, 2], 0);
    kv.rows.retain(|_, value| !History::decode_events(value).contains(&3));
    assert!(matches!(read(&kv, &namespace_id(), &request()), Err(Stop::Fault(Fault::Corrupt { .. }))));
}

trait DecodeEvents {
    fn decode_events(bytes: &[u8]) -> Vec<i64>;
}

impl DecodeEvents for History {
    fn decode_events(bytes: &[u8]) -> Vec<i64> {
        <History as prost::Message>::decode(bytes).map(|history| ids(&history)).unwrap_or_default()
    }
}

/// The events of each batch.
fn raw_page(kv: &MemoryKv, request: &Request) -> (Vec<Vec<i64>>, Option<Token>) {
    match read(kv, &namespace_id(), &Request { raw: true, ..request.clone() }).expect("a step") {
        Step::Page { history, raw, next } => {
            assert_eq!(history, History::default());
            assert!(raw.iter().all(|blob| blob.encoding_type == EncodingType::Proto3 as i32));
            (raw.iter().map(|blob| ids(&History::decode(blob.data.clone()).expect("a history"))).collect(), next)
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn raw_pages_are_batches_as_they_are_stored() {
    let (kv, _) = store(&[2, 3, 1, 4], 0);
    let (first, next) = raw_page(&kv, &Request { page_size: 2, ..request() });
    assert_eq!(first, [vec![1, 2], vec![3, 4, 5]]);
    let (rest, next) = raw_page(&kv, &Request { page_size: 2, token: next, ..request() });
    assert_eq!((rest, next), (vec![vec![6], vec![7, 8, 9, 10]], None));
}

#[test]
fn of_a_closed_run_the_last_batch_is_raw() {
    let (kv, _) = store(&[2, 1, 3], 9);
    let close = Request { close_event_only: true, ..request() };
    assert_eq!(raw_page(&kv, &close), (vec![vec![4, 5, 6]], None));
    let (open, _) = store(&[2, 1], 0);
    assert_eq!(raw_page(&open, &close), (vec![], None));
}
