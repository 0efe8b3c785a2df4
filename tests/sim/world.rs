//! Everything there is at a moment, and the one way to change it: a proposal to a shard.

use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;

use bytes::Bytes;
use prost::Message;
use statemachine::op::{answer, op::Kind, Answer, NamespaceFacts, Op, Proposal, Reservation, Stamp};
use statemachine::testing::{harness::START, print, soft::Soft};
use statemachine::{slot_of, Outcome, TaskType, SLOTS};

use crate::digest::Digest;
use crate::invariants::doubled;
use crate::ledger::Ledger;
use crate::shard::Shard;
use crate::workers::Workers;
use crate::{Checked, Random, Settings, Violation};

/// Calls that may come again late.
const RECENT_MAX: usize = 24;

/// A call of a client or a worker: all its tries have the same id.
#[derive(Debug, Clone)]
pub struct Call {
    pub shard: usize,
    pub op_id: Bytes,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub struct World {
    pub settings: Settings,
    pub now: i64,
    pub shards: Vec<Shard>,
    pub softs: Vec<Soft>,
    pub workers: Workers,
    pub ledger: Ledger,
    pub recent: VecDeque<Call>,
    /// Deliveries that may come again after their acknowledgement.
    pub stragglers: VecDeque<Call>,
    pub ops: u64,
    pub digest: Digest,
    /// No losses, no doubles, no parked pollers: the world is winding down.
    pub calm: bool,
    pub trace: Option<Vec<String>>,
    calls: u64,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let shards = (0..settings.shards).map(|_| Shard::new(settings.followers)).collect();
        let softs = vec![Soft::default(); settings.shards];
        Self {
            settings,
            now: START,
            shards,
            softs,
            workers: Workers::default(),
            ledger: Ledger::default(),
            recent: VecDeque::new(),
            stragglers: VecDeque::new(),
            ops: 0,
            digest: Digest::default(),
            calm: false,
            trace: None,
            calls: 0,
        }
    }

    pub fn shard_of(&self, namespace_id: &str, workflow_id: &str) -> usize {
        usize::from(slot_of(namespace_id, workflow_id)) * self.settings.shards / usize::from(SLOTS)
    }

    pub fn namespace(&self, random: &mut Random) -> NamespaceFacts {
        self.settings.namespaces[random.index(self.settings.namespaces.len())].clone()
    }

    pub fn workflow_id(&self, random: &mut Random) -> String {
        format!("w{}", random.index(self.settings.workflow_ids))
    }

    pub fn queue(&self, random: &mut Random) -> String {
        format!("q{}", random.index(self.settings.queues))
    }

    /// A name that nothing had before.
    pub fn fresh(&mut self, what: &str) -> String {
        self.calls += 1;
        format!("{what}-{}", self.calls)
    }

    /// A new call to the shard of a workflow.
    pub fn call_workflow(
        &mut self,
        random: &mut Random,
        namespace_id: &str,
        workflow_id: &str,
        kind: Kind,
    ) -> Checked<Answer> {
        let shard = self.shard_of(namespace_id, workflow_id);
        self.call(random, shard, kind)
    }

    /// A new call, remembered so that it may come again.
    pub fn call(&mut self, random: &mut Random, shard: usize, kind: Kind) -> Checked<Answer> {
        self.calls += 1;
        let call = Call { shard, op_id: self.calls.to_be_bytes().to_vec().into(), kind };
        self.recent.push_back(call.clone());
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        self.attempt(random, &call)
    }

    /// One try of a call.
    pub fn attempt(&mut self, random: &mut Random, call: &Call) -> Checked<Answer> {
        let proposal = Rc::new(self.proposal(random, call));
        let outcome = self.commit(call.shard, proposal.clone())?;
        if !self.calm && random.percent(self.settings.doubled) {
            doubled::check(self, call.shard, &proposal, &outcome)?;
        }
        for effect in &outcome.effects {
            if self.calm || !random.percent(self.settings.lost_effects) {
                self.softs[call.shard].absorb(effect);
            }
        }
        self.hand_out_reserved(&outcome);
        self.shards[call.shard].keep_up(random)?;
        Ok(outcome.answer.clone())
    }

    pub fn proposal(&mut self, random: &mut Random, call: &Call) -> Proposal {
        let seed = [random.word().to_be_bytes(), random.word().to_be_bytes()].concat();
        Proposal {
            stamp: Some(Stamp { now: self.now + self.shards[call.shard].skew, seed: seed.into() }),
            op: Some(Op { kind: Some(call.kind.clone()) }),
            op_id: call.op_id.clone(),
            limits: Some(self.settings.limits.to_proposal()),
            reservations: self.parked(random),
        }
    }

    /// Sometimes pollers are parked where the proposal is made.
    fn parked(&mut self, random: &mut Random) -> Vec<Reservation> {
        if self.calm || !random.percent(15) {
            return Vec::new();
        }
        let count = random.between(1, 2);
        (0..count)
            .map(|_| {
                let namespace = self.namespace(random);
                let task_type = random.one_of([TaskType::Workflow, TaskType::Activity]);
                let request_id = self.fresh("parked");
                let poller = statemachine::op::Poller { identity: "parked".into(), request_id, ..Default::default() };
                Reservation {
                    id: random.word(),
                    queue: self.queue(random),
                    task_type: task_type as i32,
                    poller: Some(poller),
                    namespace_id: namespace.id,
                }
            })
            .collect()
    }

    /// Applies a proposal at the leader and puts it into the log.
    pub fn commit(&mut self, shard: usize, proposal: Rc<Proposal>) -> Checked<Rc<Outcome>> {
        let (outcome, writes) = self.shards[shard].apply(&proposal)?;
        let outcome = Rc::new(outcome);
        self.ops += 1;
        self.digest.add(&proposal.encode_to_vec());
        self.digest.add(&outcome.answer.encode_to_vec());
        self.note(shard, &proposal, &outcome);
        self.shards[shard].write(proposal, outcome.clone(), writes);
        Ok(outcome)
    }

    fn note(&mut self, shard: usize, proposal: &Proposal, outcome: &Outcome) {
        let Some(kind) = proposal.op.as_ref().and_then(|op| op.kind.as_ref()) else { return };
        let counts = self.ledger.kinds.entry(name(kind)).or_default();
        counts.0 += 1;
        counts.1 += u64::from(is_reject(&outcome.answer));
        if let Some(trace) = &mut self.trace {
            let time = (self.now - START) as f64 / 1e9;
            let effects = print::effects(&outcome.effects, self.now);
            trace.push(format!(
                "{time:>12.3}s shard {shard} {} -> {}; {effects}",
                brief(kind),
                print::answer(&outcome.answer)
            ));
        }
    }

    fn hand_out_reserved(&mut self, outcome: &Outcome) {
        for reserved in &outcome.answer.reserved {
            let workflow = reserved.workflow_task.as_ref().and_then(|started| started.task.clone());
            let activity = reserved.activity_task.as_ref().and_then(|started| started.task.clone());
            for task in workflow.into_iter().chain(activity) {
                self.workers.hand_out(task);
            }
        }
    }

    /// Forgets all that the leader of a shard remembers but does not hold in tables.
    pub fn recover(&mut self, shard: usize) -> Checked {
        self.softs[shard] = Soft::recovered(&self.shards[shard].kv)
            .map_err(|fault| Violation { invariant: "no_fault", what: fault.to_string() })?;
        Ok(())
    }

    /// The state of all leaders and all that was said on the way.
    pub fn final_digest(&self) -> u64 {
        let mut digest = self.digest;
        for shard in &self.shards {
            digest.add(&Digest::of_rows(&shard.kv).to_be_bytes());
        }
        digest.0
    }
}

pub fn is_reject(answer: &Answer) -> bool {
    matches!(answer.kind, Some(answer::Kind::Reject(_)))
}

/// The name of an op, as in op.proto.
pub fn name(kind: &Kind) -> String {
    let mut head = Head(String::new());
    // The error is how the head says that it has enough.
    let _ = write!(head, "{kind:?}");
    head.0
}

/// Takes the first word of what is written to it.
struct Head(String);

impl Write for Head {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        match text.find(['(', ' ', '{']) {
            Some(end) => {
                self.0.push_str(&text[..end]);
                Err(std::fmt::Error)
            }
            None => {
                self.0.push_str(text);
                Ok(())
            }
        }
    }
}

/// An op without what says nothing.
fn brief(kind: &Kind) -> String {
    let mut text = format!("{kind:?}");
    for nothing in ["None", "\"\"", "0", "false", "[]", "{}", "b\"\""] {
        while let Some(at) = text.find(&format!(": {nothing},")) {
            let start = text[..at].rfind([' ', '{', '(']).map_or(at, |start| start + 1);
            text.replace_range(start..at + nothing.len() + 3, "");
        }
    }
    text.chars().take(700).collect()
}
