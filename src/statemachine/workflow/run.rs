//! A run while an operation changes it: its row, and the events the operation adds.

use prost::Message;
use proto::temporal::api::common::v1::Link;
use proto::temporal::api::enums::v1::WorkflowExecutionStatus as Status;
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::HistoryEvent;
use proto::temporal::api::sdk::v1::{EventGroupMarker, UserMetadata};

use super::{buffer, close, events, evolve, resent, task};
use crate::reject::Decided;
use crate::tables::{self, RunKey};
use crate::time::timestamp;
use crate::{state, task_queue, visibility, Context, Effect, Kv, Reject};

/// Calls a run remembers, to answer a repeated one like the first.
const RECENT_OPS_MAX: usize = 16;
/// Events of one batch. A batch is read as a whole, also for one event of it.
const BATCH_EVENTS_MAX: usize = 64;
/// Resets of resets through which the answer to an early event finds its run.
const RESETS_FOLLOWED_MAX: usize = 100;

/// What goes on an event beside its attributes.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    pub user_metadata: Option<UserMetadata>,
    pub links: Vec<Link>,
    pub event_group_markers: Vec<EventGroupMarker>,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub key: RunKey,
    pub row: state::Run,
    batches: Vec<Vec<HistoryEvent>>,
    open: Vec<HistoryEvent>,
    /// While the commands of a workflow task are decided, events that could be held back are: they come last.
    pub holds_back: bool,
    /// What lists show has changed.
    pub visible_changed: bool,
    /// The pointer to the latest run must be written.
    pub current_changed: bool,
    /// An update got further: those who wait for it must look.
    pub updates_changed: bool,
}

impl Run {
    pub fn new(key: RunKey, row: state::Run) -> Self {
        Self {
            key,
            row,
            batches: Vec::new(),
            open: Vec::new(),
            holds_back: false,
            visible_changed: false,
            current_changed: false,
            updates_changed: false,
        }
    }

    /// The run with this id. If `run_id` is empty, the latest of the workflow id, or an earlier one that took this
    /// very call before.
    pub fn load(ctx: &Context<'_, '_>, namespace_id: &str, workflow_id: &str, run_id: &str) -> Decided<Self> {
        let run = find(ctx.txn, namespace_id, workflow_id, run_id)?.ok_or_else(|| missing(workflow_id, run_id))?;
        if !run_id.is_empty() || run.took(&ctx.op_id) {
            return Ok(run);
        }
        let earlier = resent::earlier(ctx, &run, |earlier| Ok(earlier.took(&ctx.op_id)))?;
        Ok(earlier.unwrap_or(run))
    }

    /// Like [`Run::load`], but a closed run is refused.
    pub fn load_open(ctx: &Context<'_, '_>, namespace_id: &str, workflow_id: &str, run_id: &str) -> Decided<Self> {
        let run = Self::load(ctx, namespace_id, workflow_id, run_id)?;
        run.require_open()?;
        Ok(run)
    }

    pub fn require_open(&self) -> Decided<()> {
        if self.is_open() {
            return Ok(());
        }
        Err(Reject::workflow_completed().into())
    }

    pub fn status(&self) -> Status {
        Status::try_from(self.row.status).unwrap_or(Status::Unspecified)
    }

    pub fn is_open(&self) -> bool {
        matches!(self.status(), Status::Running | Status::Paused)
    }

    /// A workflow task is with a worker.
    pub fn task_started(&self) -> bool {
        self.row.task.as_ref().is_some_and(|task| task.started_event_id != 0)
    }

    pub fn next_stamp(&mut self) -> u64 {
        self.row.next_stamp += 1;
        self.row.next_stamp
    }

    /// The number of priority that orders its tasks: 1 is first, 3 the default.
    pub fn task_priority(&self) -> u8 {
        task_queue::priority_number(self.row.priority.as_ref())
    }

    /// Adds an event to the history now and returns its id.
    pub fn add(&mut self, ctx: &mut Context<'_, '_>, attributes: Attributes) -> Decided<i64> {
        self.add_with(ctx, attributes, Extras::default())
    }

    pub fn add_with(&mut self, ctx: &mut Context<'_, '_>, attributes: Attributes, extras: Extras) -> Decided<i64> {
        self.add_at(ctx, attributes, extras, ctx.now)
    }

    /// Adds an event with a time of its own (a transient workflow task is written down after the fact).
    pub fn add_at(
        &mut self,
        ctx: &mut Context<'_, '_>,
        attributes: Attributes,
        extras: Extras,
        time: i64,
    ) -> Decided<i64> {
        if task::is_speculative(self) {
            task::write_down(ctx, self)?;
        }
        let mut event = new_event(attributes, extras, time);
        event.event_id = self.row.next_event_id;
        evolve::apply(ctx.txn, self, &event)?;
        self.push(event);
        Ok(self.row.next_event_id - 1)
    }

    /// Adds an event now, or holds it back if a workflow task is running. State changes at once either way. Returns
    /// the id, 0 if held back.
    pub fn record(&mut self, ctx: &mut Context<'_, '_>, attributes: Attributes, extras: Extras) -> Decided<i64> {
        let waits = (self.task_started() || self.holds_back) && events::is_held_back(&attributes);
        if !waits {
            return self.add_with(ctx, attributes, extras);
        }
        if task::is_speculative(self) {
            task::write_down(ctx, self)?;
        }
        let event = new_event(attributes, extras, ctx.now);
        evolve::apply(ctx.txn, self, &event)?;
        buffer::put(ctx, self, event);
        Ok(0)
    }

    /// Appends an event whose state change has been made already.
    pub fn push(&mut self, event: HistoryEvent) {
        self.count(&event);
        self.open.push(event);
        if self.open.len() >= BATCH_EVENTS_MAX {
            self.cut_batch();
        }
    }

    /// Folds an event of a stored history in; it is not written again.
    pub fn replay(&mut self, ctx: &mut Context<'_, '_>, event: &HistoryEvent) -> Decided<()> {
        evolve::apply(ctx.txn, self, event)?;
        self.count(event);
        Ok(())
    }

    fn count(&mut self, event: &HistoryEvent) {
        debug_assert_eq!(event.event_id, self.row.next_event_id, "event ids are dense");
        self.row.next_event_id += 1;
        self.row.last_event_time = event.event_time.as_ref().map(crate::time::nanos_of_timestamp).unwrap_or_default();
        self.row.history_size += event.encoded_len() as i64;
    }

    /// Ends the batch of events: readers page by batches, and a started workflow task always ends one.
    pub fn cut_batch(&mut self) {
        if !self.open.is_empty() {
            self.batches.push(std::mem::take(&mut self.open));
        }
    }

    /// Events this operation has added, in order.
    pub fn new_events(&self) -> impl Iterator<Item = &HistoryEvent> {
        self.batches.iter().flatten().chain(&self.open)
    }

    /// Whether this call was applied to this run before.
    pub fn took(&self, op_id: &[u8]) -> bool {
        !op_id.is_empty() && self.row.recent_ops.iter().any(|op| op.op_id == op_id)
    }

    /// Whether this call was applied before; remembers it if not.
    pub fn seen_before(&mut self, op_id: &[u8]) -> bool {
        if op_id.is_empty() {
            return false;
        }
        if self.took(op_id) {
            return true;
        }
        if self.row.recent_ops.len() >= RECENT_OPS_MAX {
            self.row.recent_ops.remove(0);
        }
        self.row.recent_ops.push(state::RecentOp { op_id: op_id.to_vec().into(), ..Default::default() });
        false
    }

    /// What is kept of a call that was applied before, to answer it alike.
    pub fn recent_op(&mut self, op_id: &[u8]) -> Option<&mut state::RecentOp> {
        self.row.recent_ops.iter_mut().find(|op| op.op_id == op_id)
    }

    /// Remembers that this call started the run.
    pub fn note_created_by(&mut self, op_id: &[u8]) {
        self.seen_before(op_id);
        if let Some(call) = self.recent_op(op_id) {
            call.created_run = true;
        }
    }

    /// Whether this very call started the run.
    pub fn was_created_by(&self, op_id: &[u8]) -> bool {
        self.row.recent_ops.iter().any(|op| op.created_run && op.op_id == op_id)
    }

    /// Writes everything down: history, row, visibility, the task that became ready, effects.
    pub fn finish(mut self, ctx: &mut Context<'_, '_>) -> Decided<()> {
        close::enforce_history_limits(ctx, &mut self)?;
        task_queue::queue_workflow_task(ctx, &mut self)?;
        self.cut_batch();
        let changed = !self.batches.is_empty() || self.updates_changed;
        for batch in std::mem::take(&mut self.batches) {
            self.row.last_batch_event_id = batch.first().map(|event| event.event_id).unwrap_or_default();
            tables::append_batch(ctx.txn, self.key, batch);
        }
        self.row.state_transitions += 1;
        if self.visible_changed {
            visibility::write(ctx, &mut self);
        }
        if self.current_changed {
            self.note_replaced(ctx)?;
            tables::put_current(ctx.txn, &self.row.namespace_id, &self.row.workflow_id, &self.to_current());
        }
        tables::put_run(ctx.txn, self.key, &self.row);
        if changed {
            ctx.txn.effect(Effect::RunChanged {
                namespace_id: self.row.namespace_id.clone(),
                workflow_id: self.row.workflow_id.clone(),
                run_id: self.row.run_id.clone(),
                next_event_id: self.row.next_event_id,
                closed: !self.is_open(),
            });
        }
        Ok(())
    }

    /// Remembers which run was the latest of the id before this one.
    fn note_replaced(&mut self, ctx: &Context<'_, '_>) -> Decided<()> {
        if self.is_open() && self.row.replaced_run_id.is_empty() {
            let latest = tables::current(ctx.txn, &self.row.namespace_id, &self.row.workflow_id)?;
            let replaced = latest.map(|latest| latest.run_id).filter(|run_id| *run_id != self.row.run_id);
            self.row.replaced_run_id = replaced.unwrap_or_default();
        }
        Ok(())
    }

    fn to_current(&self) -> state::Current {
        state::Current {
            run_id: self.row.run_id.clone(),
            status: self.row.status,
            create_request_id: self.row.create_request_id.clone(),
            start_time: self.row.start_time,
            close_time: self.row.close_time,
            first_run_id: self.row.first_run_id.clone(),
        }
    }
}

fn new_event(attributes: Attributes, extras: Extras, time: i64) -> HistoryEvent {
    HistoryEvent {
        event_time: Some(timestamp(time)),
        event_type: events::event_type(&attributes) as i32,
        worker_may_ignore: events::worker_may_ignore(&attributes),
        attributes: Some(attributes),
        user_metadata: extras.user_metadata,
        links: extras.links,
        event_group_markers: extras.event_group_markers,
        ..Default::default()
    }
}

/// A run that is known to be stored.
pub fn stored(ctx: &Context<'_, '_>, key: RunKey) -> Decided<Run> {
    let row = tables::run(ctx.txn, key)?.ok_or_else(|| crate::Fault::corrupt("run row", "missing"))?;
    Ok(Run::new(key, row))
}

/// The open run that answers for an event of this one: itself, or what resets have made of it, if they kept the event.
pub fn answering(
    kv: &dyn Kv,
    namespace_id: &str,
    workflow_id: &str,
    run_id: &str,
    event_id: i64,
) -> Result<Option<Run>, crate::Fault> {
    let mut run = find(kv, namespace_id, workflow_id, run_id)?;
    for _ in 0..RESETS_FOLLOWED_MAX {
        let Some(closed) = run.as_ref().filter(|run| !run.is_open() && !run.row.reset_run_id.is_empty()) else { break };
        let made = find(kv, namespace_id, workflow_id, &closed.row.reset_run_id)?;
        run = made.filter(|made| event_id <= made.row.kept_event_id);
    }
    Ok(run.filter(Run::is_open))
}

/// Looks a run up; an empty run id means the latest.
pub fn find(kv: &dyn Kv, namespace_id: &str, workflow_id: &str, run_id: &str) -> Result<Option<Run>, crate::Fault> {
    let current;
    let run_id = if run_id.is_empty() {
        let Some(row) = tables::current(kv, namespace_id, workflow_id)? else { return Ok(None) };
        current = row.run_id;
        &current
    } else {
        run_id
    };
    let Some(key) = RunKey::new(namespace_id, workflow_id, run_id) else { return Ok(None) };
    let row = tables::run(kv, key)?;
    Ok(row
        .filter(|row| row.workflow_id == workflow_id && row.namespace_id == namespace_id)
        .map(|row| Run::new(key, row)))
}

/// The refusal for a run that does not exist (texts of Temporal 1.31).
pub fn missing(workflow_id: &str, run_id: &str) -> Reject {
    if run_id.is_empty() {
        return Reject::not_found(format!("workflow not found for ID: {workflow_id}"));
    }
    Reject::not_found(format!("workflow execution not found for workflow ID \"{workflow_id}\" and run ID \"{run_id}\""))
}
