//! The machine under test, with a clock that only moves when told.

use crate::op::{
    answer, op::Kind, AckOutbox, Answer, Deliver, NamespaceFacts, Op, Poller, Proposal, Stamp, StartTask, TaskRef,
};
use crate::tables::DeadlineKey;
use crate::time::DAY;
use crate::{apply, tables, Effect, Fault, MemoryKv, Outcome, TaskType, Txn};

use super::soft::Soft;

/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600 * crate::time::SECOND;

/// What goes wrong on the way. The results must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing: the leader knows its work from effects alone.
    #[default]
    Plain,
    /// Every op is in the log twice.
    Doubled,
    /// Half of the effects are lost, and the leader reads its tables again before it acts.
    Forgetful,
    /// The state goes through bytes after every line, and the leader begins anew.
    Reopened,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Plain, Self::Doubled, Self::Forgetful, Self::Reopened];
}

#[derive(Debug)]
pub struct Harness {
    pub mode: Mode,
    /// What the leader knows of its effects.
    known: Soft,
    /// Everything that was proposed, in order.
    pub log: Vec<Proposal>,
    pub kv: MemoryKv,
    pub replica: MemoryKv,
    pub now: i64,
    pub namespace: NamespaceFacts,
    proposals: u64,
}

impl Default for Harness {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            known: Soft::default(),
            log: Vec::new(),
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
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

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

    /// Applies an operation on both replicas, and once more to see that the second delivery is answered alike and
    /// changes nothing.
    pub fn propose(&mut self, kind: Kind) -> Outcome {
        let proposal = self.proposal(kind);
        let outcome = self.commit(&proposal);
        let before = without_bookkeeping(&self.kv);
        let mut again = self.kv.clone();
        let second = apply_to(&mut again, &proposal).expect("no fault");
        if !goes_on(&proposal) {
            assert_eq!(without_bookkeeping(&again), before, "the second delivery changes nothing: {proposal:?}");
            assert!(is_unheard(&proposal) || second.answer == outcome.answer, "{proposal:?} is answered {second:?}");
            if self.mode == Mode::Doubled {
                self.commit(&proposal);
            }
        }
        outcome
    }

    /// Puts a proposal into the log: both replicas apply it, and the leader hears of its effects.
    pub(super) fn commit(&mut self, proposal: &Proposal) -> Outcome {
        let outcome = apply_to(&mut self.kv, proposal).expect("no fault");
        let same = apply_to(&mut self.replica, proposal).expect("no fault");
        assert_eq!(outcome, same, "replicas answer alike");
        assert_eq!(self.kv, self.replica, "replicas hold the same bytes");
        self.log.push(proposal.clone());
        for (at, effect) in outcome.effects.iter().enumerate() {
            let lost = self.mode == Mode::Forgetful && (self.proposals ^ at as u64).is_multiple_of(2);
            if !lost {
                self.known.absorb(effect);
            }
        }
        outcome
    }

    /// A line of a script is over.
    pub fn end_of_line(&mut self) {
        if self.mode == Mode::Reopened {
            self.kv = MemoryKv::from_dump(&self.kv.dump());
            assert_eq!(self.kv, self.replica, "what was written is read again");
            self.recover();
        }
    }

    fn recover(&mut self) {
        self.known = Soft::recovered(&self.kv).expect("no fault");
    }

    /// What the leader acts on.
    fn known(&mut self) -> &mut Soft {
        if self.mode == Mode::Forgetful {
            self.recover();
        }
        &mut self.known
    }

    /// The first ready task of a queue. What the leader knows must be what the table holds.
    pub fn ready(&mut self, task_type: TaskType, queue: &str) -> Option<TaskRef> {
        let key = crate::QueueKey { namespace_id: self.namespace.id.clone(), task_type, name: queue.to_owned() };
        let page = tables::ReadyKey::page(&self.kv, &key, usize::MAX / 4).expect("no fault");
        let stored: Vec<TaskRef> = page.into_iter().map(|(key, row)| key.to_task(&row)).collect();
        let known = self.known().tasks(task_type);
        for task in &stored {
            assert!(known.values().any(|known| known == task), "nobody told the leader of {task:?}");
        }
        stored.into_iter().next()
    }

    /// Hands the first ready task of a queue to a worker.
    pub fn poll(&mut self, task_type: TaskType, queue: &str, worker: &str) -> Option<Answer> {
        let task = self.ready(task_type, queue)?;
        let request_id = format!("poll-{}", self.proposals);
        let poller = Poller { identity: worker.into(), request_id, ..Default::default() };
        let kind = Kind::StartTask(StartTask { task: Some(task), poller: Some(poller) });
        Some(self.propose(kind).answer)
    }

    /// Fires everything due now. The leader must know when the first deadline is.
    pub fn tick(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        loop {
            let first = DeadlineKey::first(&self.kv).expect("no fault").map(|key| key.due);
            let alarm = self.known().alarm;
            let wakes = first.is_none_or(|due| alarm.is_some_and(|alarm| alarm <= due));
            assert!(wakes, "something is due at {first:?}, and the alarm is set for {alarm:?}");
            let outcome = self.propose(Kind::Tick(crate::op::Tick { max: 16 }));
            self.known.alarm = DeadlineKey::first(&self.kv).expect("no fault").map(|key| key.due);
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
        let ids: Vec<u64> = waiting.iter().map(|row| row.id).collect();
        let outbox = &mut self.known().outbox;
        outbox.retain(|id| ids.contains(id));
        assert!(outbox.iter().eq(&ids), "the leader knows of every message: {outbox:?}, and there are {ids:?}");
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

/// The leader's own ops, whose answers nobody reads; and a deleted run cannot be found again to be answered for.
fn is_unheard(proposal: &Proposal) -> bool {
    let kind = proposal.op.as_ref().and_then(|op| op.kind.as_ref());
    matches!(
        kind,
        Some(Kind::UnqueueTask(_) | Kind::ReturnTask(_) | Kind::ChangeRetention(_) | Kind::DeleteWorkflow(_))
    )
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
