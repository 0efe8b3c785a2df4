//! Queries that travel with a workflow task: they wait at the leader of their run's shard until the next task takes
//! them to a worker, whose completion brings the answers. Nothing of this is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use proto::everstep::peer::v1::RunRef;
use proto::temporal::api::query::v1::WorkflowQuery;
use statemachine::tables::{self, RunKey};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::cluster::{Buffered, LeaderHooks, Queries, QueryResults, Router};

/// Queries waiting on one node.
const WAITING_MAX: usize = 10_000;
/// A waiting query looks at its run so often: what should have ended the wait may have been lost.
const LOOK: Duration = Duration::from_secs(1);

/// The queries that wait on this node.
pub struct QueryRegistry {
    router: OnceLock<Weak<Router>>,
    per_run_max: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    runs: HashMap<String, Vec<Waiting>>,
    waiting: usize,
}

struct Waiting {
    id: String,
    shard: u32,
    query: WorkflowQuery,
    /// The completion that brings its answer is under way.
    answering: bool,
    /// `None` tells that this node does not lead the shard any more.
    answer: oneshot::Sender<Option<Buffered>>,
}

/// Takes a query out again when its caller goes.
struct Ticket {
    state: Arc<Mutex<State>>,
    run_id: String,
    id: String,
}

impl QueryRegistry {
    pub fn new(per_run_max: usize) -> Arc<Self> {
        Arc::new(Self { router: OnceLock::new(), per_run_max, state: Arc::default() })
    }

    /// Once, before the first query.
    pub fn connect(&self, router: &Arc<Router>) {
        assert!(self.router.set(Arc::downgrade(router)).is_ok(), "the queries are connected once");
    }

    /// Queries that nobody is about to answer go to a worker by themselves.
    pub(super) fn run_closed(&self, run_id: &str) {
        let mut state = self.lock();
        if state.waiting > 0 {
            state.answer(run_id, |waiting| (!waiting.answering).then_some(Some(Buffered::Dispatch)));
        }
    }

    /// The queries that go with a workflow task that was just started.
    pub(super) fn of_started(&self, task: &statemachine::op::TaskRef) -> Queries {
        self.of_run(&task.run_id)
    }

    fn of_run(&self, run_id: &str) -> Queries {
        let state = self.lock();
        let waiting = state.runs.get(run_id).map(Vec::as_slice).unwrap_or_default();
        waiting.iter().map(|waiting| (waiting.id.clone(), waiting.query.clone())).collect()
    }

    pub(super) fn leadership_lost(&self, shard: u32) {
        let mut state = self.lock();
        let runs: Vec<String> = state.runs.keys().cloned().collect();
        for run_id in runs {
            state.answer(&run_id, |waiting| (waiting.shard == shard).then_some(None));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn router(&self) -> Option<Arc<Router>> {
        self.router.get().and_then(Weak::upgrade)
    }

    fn add(
        &self,
        shard: u32,
        run: &RunRef,
        query: WorkflowQuery,
    ) -> Option<(Ticket, oneshot::Receiver<Option<Buffered>>)> {
        let mut state = self.lock();
        let full = state.runs.get(&run.run_id).is_some_and(|waiting| waiting.len() >= self.per_run_max);
        if full || state.waiting >= WAITING_MAX {
            return None;
        }
        state.waiting += 1;
        let id = uuid::Uuid::new_v4().to_string();
        let (answer, receiver) = oneshot::channel();
        state.runs.entry(run.run_id.clone()).or_default().push(Waiting {
            id: id.clone(),
            shard,
            query,
            answering: false,
            answer,
        });
        Some((Ticket { state: self.state.clone(), run_id: run.run_id.clone(), id }, receiver))
    }
}

impl State {
    /// Answers the queries of a run for which there is an answer.
    fn answer(&mut self, run_id: &str, mut answer: impl FnMut(&Waiting) -> Option<Option<Buffered>>) {
        let Some(waiting) = self.runs.remove(run_id) else { return };
        let mut left = Vec::new();
        for one in waiting {
            match answer(&one) {
                Some(answer) => {
                    self.waiting -= 1;
                    // A caller that has gone needs no answer.
                    let _ = one.answer.send(answer);
                }
                None => left.push(one),
            }
        }
        if !left.is_empty() {
            self.runs.insert(run_id.to_owned(), left);
        }
    }
}

impl Ticket {
    fn answering(&self) -> bool {
        let state = self.state.lock().expect("no panic while held");
        let of_run = state.runs.get(&self.run_id).map(Vec::as_slice).unwrap_or_default();
        of_run.iter().any(|waiting| waiting.id == self.id && waiting.answering)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.state.lock().expect("no panic while held");
        state.answer(&self.run_id, |waiting| (waiting.id == self.id).then_some(Some(Buffered::Dispatch)));
    }
}

/// Whether a workflow task of the run is outstanding, as this replica has applied.
fn task_outstanding(router: &Router, shard: u32, run: &RunRef) -> bool {
    let Some(rows) = router.local(shard) else { return false };
    let Some(key) = RunKey::new(&run.namespace_id, &run.workflow_id, &run.run_id) else { return false };
    match tables::run(&rows, key) {
        Ok(row) => row.is_some_and(|row| row.task.is_some()),
        Err(fault) => {
            tracing::error!(shard, %fault, "a run cannot be read");
            false
        }
    }
}

async fn wait(
    router: Weak<Router>,
    shard: u32,
    run: RunRef,
    ticket: &Ticket,
    mut receiver: oneshot::Receiver<Option<Buffered>>,
) -> Option<Buffered> {
    loop {
        let outstanding = {
            let router = router.upgrade()?;
            if !router.leads(shard) {
                return None;
            }
            task_outstanding(&router, shard, &run)
        };
        let patience = if outstanding || ticket.answering() { LOOK } else { Duration::ZERO };
        match timeout(patience, &mut receiver).await {
            Ok(answer) => return answer.unwrap_or(Some(Buffered::Dispatch)),
            Err(_) if outstanding => {}
            Err(_) => return Some(Buffered::Dispatch),
        }
    }
}

impl LeaderHooks for QueryRegistry {
    fn task_started(&self, run: &RunRef) -> Queries {
        self.of_run(&run.run_id)
    }

    fn task_completing(&self, run: &RunRef, results: &QueryResults) {
        if results.is_empty() {
            return;
        }
        for waiting in self.lock().runs.get_mut(&run.run_id).into_iter().flatten() {
            waiting.answering |= results.contains_key(&waiting.id);
        }
    }

    fn task_completed(&self, run: &RunRef, mut results: QueryResults, next: bool) {
        self.lock().answer(&run.run_id, |waiting| match results.remove(&waiting.id) {
            Some(result) => Some(Some(Buffered::Answered(result))),
            // It came after the task was started: the next one takes it, or matching if there is none.
            None => (!next).then_some(Some(Buffered::Dispatch)),
        });
    }

    fn buffer_query(&self, shard: u32, run: RunRef, query: WorkflowQuery) -> BoxFuture<'static, Option<Buffered>> {
        let Some(router) = self.router().filter(|router| router.leads(shard)) else {
            return std::future::ready(None).boxed();
        };
        let Some((ticket, receiver)) = self.add(shard, &run, query) else {
            return std::future::ready(Some(Buffered::Full)).boxed();
        };
        let router = Arc::downgrade(&router);
        async move {
            let answer = wait(router, shard, run, &ticket, receiver).await;
            drop(ticket);
            answer
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::temporal::api::query::v1::WorkflowQueryResult;

    fn run() -> RunRef {
        RunRef { namespace_id: "n".into(), workflow_id: "w".into(), run_id: "r".into() }
    }

    #[test]
    fn a_completed_task_answers_its_queries_and_sends_the_others_elsewhere() {
        let registry = QueryRegistry::new(2);
        let (_one, mut first) = registry.add(1, &run(), WorkflowQuery::default()).expect("there is room");
        let sent = registry.task_started(&run());
        let (_two, mut second) = registry.add(1, &run(), WorkflowQuery::default()).expect("there is room");
        assert!(registry.add(1, &run(), WorkflowQuery::default()).is_none());
        let results: QueryResults = sent.keys().map(|id| (id.clone(), WorkflowQueryResult::default())).collect();
        registry.task_completed(&run(), results, false);
        assert_eq!(first.try_recv(), Ok(Some(Buffered::Answered(WorkflowQueryResult::default()))));
        assert_eq!(second.try_recv(), Ok(Some(Buffered::Dispatch)));
        assert_eq!(registry.lock().waiting, 0);
    }

    #[test]
    fn the_end_of_the_run_does_not_overtake_the_answer() {
        let registry = QueryRegistry::new(2);
        let (_one, mut first) = registry.add(1, &run(), WorkflowQuery::default()).expect("there is room");
        let sent = registry.task_started(&run());
        let (_two, mut second) = registry.add(1, &run(), WorkflowQuery::default()).expect("there is room");
        let results: QueryResults = sent.keys().map(|id| (id.clone(), WorkflowQueryResult::default())).collect();
        registry.task_completing(&run(), &results);
        registry.run_closed("r");
        assert!(first.try_recv().is_err());
        assert_eq!(second.try_recv(), Ok(Some(Buffered::Dispatch)));
        registry.task_completed(&run(), results, false);
        assert_eq!(first.try_recv(), Ok(Some(Buffered::Answered(WorkflowQueryResult::default()))));
    }

    #[test]
    fn a_task_that_follows_at_once_takes_the_query_along() {
        let registry = QueryRegistry::new(2);
        let (ticket, mut receiver) = registry.add(1, &run(), WorkflowQuery::default()).expect("there is room");
        registry.task_completed(&run(), QueryResults::new(), true);
        assert!(receiver.try_recv().is_err());
        assert_eq!(registry.task_started(&run()).len(), 1);
        drop(ticket);
        assert!(registry.task_started(&run()).is_empty());
        assert_eq!(registry.lock().waiting, 0);
    }

    #[test]
    fn losing_the_shard_sends_its_queries_to_the_next_leader() {
        let registry = QueryRegistry::new(2);
        let (_one, mut lost) = registry.add(1, &run(), WorkflowQuery::default()).expect("there is room");
        let (_two, mut kept) = registry.add(2, &run(), WorkflowQuery::default()).expect("there is room");
        registry.leadership_lost(1);
        assert_eq!(lost.try_recv(), Ok(None));
        assert!(kept.try_recv().is_err());
        registry.run_closed("r");
        assert_eq!(kept.try_recv(), Ok(Some(Buffered::Dispatch)));
    }
}
