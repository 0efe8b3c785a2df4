//! The machine under test, with a clock that only moves when told.

use crate::op::{
    answer, op::Kind, AckOutbox, Answer, Deliver, NamespaceFacts, Op, Poller, Proposal, Stamp, StartTask, TaskRef,
};
use crate::tables::ReadyKey;
use crate::time::DAY;
use crate::{apply, tables, Effect, Fault, MemoryKv, Outcome, QueueKey, TaskType, Txn};

/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600 * crate::time::SECOND;

#[derive(Debug)]
pub struct Harness {
    pub kv: MemoryKv,
    pub replica: MemoryKv,
    pub now: i64,
    pub namespace: NamespaceFacts,
    proposals: u64,
}

impl Default for Harness {
    fn default() -> Self {
        Self {
            kv: MemoryKv::default(),
            replica: MemoryKv::default(),
            now: START,
            namespace: NamespaceFacts {
                id: "aaaaaaaa-0000-4000-8000-000000000001".into(),
                name: "default".into(),
                retention: DAY,
                ..Default::default()
            },
            proposals: 0,
        }
    }
}

/// Applies a proposal to a store and writes the outcome down.
pub fn apply_to(kv: &mut MemoryKv, proposal: &Proposal) -> Result<Outcome, Fault> {
    let mut txn = Txn::new(kv);
    let outcome = apply(&mut txn, proposal)?;
    let writes = txn.into_writes();
    kv.write(writes);
    Ok(outcome)
}

impl Harness {
    /// A proposal of this operation now, with a seed and a call id of its own.
    pub fn proposal(&mut self, kind: Kind) -> Proposal {
        self.proposals += 1;
        let mut seed = [0u8; 16];
        seed[8..].copy_from_slice(&self.proposals.to_be_bytes());
        Proposal {
            stamp: Some(Stamp { now: self.now, seed: seed.to_vec().into() }),
            op: Some(Op { kind: Some(kind) }),
            op_id: self.proposals.to_be_bytes().to_vec().into(),
            ..Default::default()
        }
    }

    /// Applies an operation on both replicas, and once more to see that the second delivery changes nothing.
    pub fn propose(&mut self, kind: Kind) -> Outcome {
        let proposal = self.proposal(kind);
        let outcome = apply_to(&mut self.kv, &proposal).expect("no fault");
        let same = apply_to(&mut self.replica, &proposal).expect("no fault");
        assert_eq!(outcome, same, "replicas answer alike");
        let before = without_bookkeeping(&self.kv);
        let mut again = self.kv.clone();
        apply_to(&mut again, &proposal).expect("no fault");
        if !goes_on(&proposal) {
            assert_eq!(without_bookkeeping(&again), before, "the second delivery changes nothing: {proposal:?}");
        }
        assert_eq!(self.kv, self.replica, "replicas hold the same bytes");
        outcome
    }

    /// The first ready task of a queue.
    pub fn ready(&self, task_type: TaskType, queue: &str) -> Option<TaskRef> {
        let key = QueueKey { namespace_id: self.namespace.id.clone(), task_type, name: queue.to_owned() };
        let page = ReadyKey::page(&self.kv, &key, 1).expect("no fault");
        page.into_iter().next().map(|(key, row)| key.to_task(&row))
    }

    /// Hands the first ready task of a queue to a worker.
    pub fn poll(&mut self, task_type: TaskType, queue: &str, worker: &str) -> Option<Answer> {
        let task = self.ready(task_type, queue)?;
        let request_id = format!("poll-{}", self.proposals);
        let poller = Poller { identity: worker.into(), request_id, ..Default::default() };
        let kind = Kind::StartTask(StartTask { task: Some(task), poller: Some(poller) });
        Some(self.propose(kind).answer)
    }

    /// Fires everything due now.
    pub fn tick(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        loop {
            let outcome = self.propose(Kind::Tick(crate::op::Tick { max: 16 }));
            effects.extend(outcome.effects);
            match outcome.answer.kind {
                Some(answer::Kind::Tick(tick)) if tick.more => {}
                _ => return effects,
            }
        }
    }

    /// Brings the first message of the outbox, or the last, to its workflow in the same store; as if the answer had
    /// been lost it is brought again, which must change nothing, and then acknowledged.
    pub fn deliver(&mut self, last: bool) -> Option<(Op, Outcome)> {
        let mut waiting = tables::outbox_after(&self.kv, 0, usize::MAX).expect("no fault");
        let row = if last { waiting.pop()? } else { waiting.into_iter().next()? };
        let floor = tables::outbox_floor(&self.kv).expect("no fault");
        let deliver = Deliver { from_shard: 1, id: row.id, floor, op: row.op.clone() };
        let outcome = self.propose(Kind::Deliver(deliver.clone()));
        let before = self.kv.clone();
        self.propose(Kind::Deliver(deliver.clone()));
        assert_eq!(self.kv, before, "the second delivery changes nothing");
        self.propose(Kind::AckOutbox(AckOutbox { ids: vec![row.id] }));
        let op = prost::Message::decode(row.op).expect("an op");
        Some((op, outcome))
    }

    pub fn run(&self, workflow_id: &str) -> Option<crate::workflow::Run> {
        crate::workflow::run::find(&self.kv, &self.namespace.id, workflow_id, "").expect("no fault")
    }

    /// The run of a workflow id that started as the n-th, from 1, while the clock moved.
    pub fn nth_run(&self, workflow_id: &str, number: usize) -> String {
        use prost::Message;
        let is_run = |key: &[u8]| key.get(2) == Some(&(tables::Table::Run as u8)) && key[..2] != [0xff, 0xff];
        let rows = self.kv.rows.iter().filter(|(key, _)| is_run(key));
        let runs = rows.map(|(_, value)| crate::state::Run::decode(value.as_slice()).expect("a run row"));
        let mut runs: Vec<_> = runs.filter(|row| row.workflow_id == workflow_id).collect();
        runs.sort_by_key(|row| row.start_time);
        runs[number - 1].run_id.clone()
    }

    /// All events of the latest run of a workflow id.
    pub fn history(&self, workflow_id: &str) -> Vec<proto::temporal::api::history::v1::HistoryEvent> {
        let Some(run) = self.run(workflow_id) else { return Vec::new() };
        tables::read_batches(&self.kv, run.key, 1, i64::MAX, usize::MAX)
            .expect("no fault")
            .iter()
            .flat_map(|batch| batch.events().expect("no fault"))
            .collect()
    }
}

/// Operations that do the next part of some work each time.
fn goes_on(proposal: &Proposal) -> bool {
    matches!(proposal.op.as_ref().and_then(|op| op.kind.as_ref()), Some(Kind::Tick(_) | Kind::DropNamespace(_)))
}

/// Everything stored but the memory of calls seen and the count of writes.
fn without_bookkeeping(kv: &MemoryKv) -> MemoryKv {
    use prost::Message;
    let mut kv = kv.clone();
    for (key, value) in &mut kv.rows {
        if key.get(2) == Some(&(tables::Table::Run as u8)) {
            let mut row = crate::state::Run::decode(value.as_slice()).expect("a run row");
            row.recent_ops.clear();
            row.state_transitions = 0;
            *value = row.encode_to_vec();
        }
    }
    kv
}
