//! Parked pollers that go with a proposal: the same entry then makes a task and starts it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use proto::everstep::peer::v1::{RunRef, TaskHints};
use statemachine::tables::{self, DeadlineKey, DeadlineKind, RunKey};
use statemachine::{op, state, Fault, Kv, QueueKey, TaskType};

use crate::cluster::{Reservations, Router};
use crate::matching::Matching;

/// So many due rows are looked at for one Tick.
const DUE_MAX: usize = 16;

pub struct ParkedPollers {
    router: Weak<Router>,
    matching: Matching,
}

impl ParkedPollers {
    pub fn new(router: &Arc<Router>, matching: Matching) -> Arc<Self> {
        Arc::new(Self { router: Arc::downgrade(router), matching })
    }

    fn reserve_one(&self, namespace_id: &str, task_type: TaskType, queue: String) -> Option<op::Reservation> {
        let key = QueueKey { namespace_id: namespace_id.into(), task_type, name: queue };
        let held = self.matching.reserve(&key)?;
        Some(op::Reservation {
            id: held.id,
            queue: key.name,
            task_type: task_type as i32,
            poller: Some(held.poller),
            namespace_id: key.namespace_id,
        })
    }

    fn due(&self, shard: u32) -> Vec<(String, String)> {
        let Some(router) = self.router.upgrade() else { return Vec::new() };
        let Some(rows) = router.local(shard) else { return Vec::new() };
        due_queues(&rows, router.time(shard)).unwrap_or_else(|fault| {
            tracing::error!(shard, %fault, "the deadlines cannot be read");
            Vec::new()
        })
    }

    /// The queue of the workflow task that the run would get now.
    fn queue_of(&self, shard: u32, run: &RunRef) -> Option<String> {
        let rows = self.router.upgrade()?.local(shard)?;
        next_queue(&rows, run).unwrap_or_else(|fault| {
            tracing::error!(shard, %fault, "a run cannot be read");
            None
        })
    }
}

/// The workflow tasks that a Tick would make now: of which namespace and on which queue.
fn due_queues(rows: &dyn Kv, now: i64) -> Result<Vec<(String, String)>, Fault> {
    let mut queues = Vec::new();
    let mut runs = BTreeSet::new();
    for (key, _) in DeadlineKey::due(rows, now, DUE_MAX)? {
        if !matches!(key.kind, DeadlineKind::Timer | DeadlineKind::FirstTask) || !runs.insert(key.run) {
            continue;
        }
        let row = tables::run(rows, key.run)?;
        queues.extend(row.and_then(|row| Some((row.namespace_id.clone(), queue_of_row(row)?))));
    }
    Ok(queues)
}

/// `None`: the run would get no task now.
fn next_queue(rows: &dyn Kv, run: &RunRef) -> Result<Option<String>, Fault> {
    let current;
    let run_id = if run.run_id.is_empty() {
        let Some(row) = tables::current(rows, &run.namespace_id, &run.workflow_id)? else { return Ok(None) };
        current = row.run_id;
        &current
    } else {
        &run.run_id
    };
    let Some(key) = RunKey::new(&run.namespace_id, &run.workflow_id, run_id) else { return Ok(None) };
    Ok(tables::run(rows, key)?.and_then(queue_of_row))
}

fn queue_of_row(row: state::Run) -> Option<String> {
    let gets_one = row.task.is_none() && row.close_time == 0 && row.pause.is_none();
    gets_one.then(|| row.sticky.map_or(row.task_queue, |sticky| sticky.queue))
}

impl Reservations for ParkedPollers {
    fn reserve(&self, shard: u32, hints: &TaskHints) -> Vec<op::Reservation> {
        let mut held = Vec::new();
        if !hints.workflow_queue.is_empty() {
            held.extend(self.reserve_one(&hints.namespace_id, TaskType::Workflow, hints.workflow_queue.clone()));
        }
        for queue in &hints.activity_queues {
            held.extend(self.reserve_one(&hints.namespace_id, TaskType::Activity, queue.clone()));
        }
        if let Some(run) = &hints.run {
            let queue = self.queue_of(shard, run).filter(|queue| *queue != hints.workflow_queue);
            held.extend(queue.and_then(|queue| self.reserve_one(&run.namespace_id, TaskType::Workflow, queue)));
        }
        if hints.due {
            for (namespace_id, queue) in self.due(shard) {
                held.extend(self.reserve_one(&namespace_id, TaskType::Workflow, queue));
            }
        }
        held
    }

    fn release(&self, ids: &[u64]) {
        for &id in ids {
            self.matching.release(id);
        }
    }

    fn doubt(&self, ids: Vec<u64>) {
        self.matching.doubt(ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statemachine::{MemoryKv, Txn};

    const ID: &str = "32049b68-7872-4094-8e63-d0dd59896a83";

    #[test]
    fn a_task_is_expected_on_the_queue_the_run_would_use() {
        let store = |row: &state::Run| {
            let mut kv = MemoryKv::default();
            let base = kv.clone();
            let mut txn = Txn::new(&base);
            tables::put_run(&mut txn, RunKey::new(ID, "w", ID).expect("ids"), row);
            let writes = txn.into_writes();
            kv.write(writes);
            kv
        };
        let run = RunRef { namespace_id: ID.into(), workflow_id: "w".into(), run_id: ID.into() };
        let queue = |rows: &MemoryKv| next_queue(rows, &run).expect("readable");
        let mut row = state::Run { task_queue: "normal".into(), ..Default::default() };
        assert_eq!(queue(&store(&row)), Some("normal".into()));
        row.sticky = Some(state::Sticky { queue: "sticky".into(), ..Default::default() });
        assert_eq!(queue(&store(&row)), Some("sticky".into()));
        row.task = Some(state::WorkflowTask::default());
        assert_eq!(queue(&store(&row)), None);
        assert_eq!(queue(&MemoryKv::default()), None);
    }
}
