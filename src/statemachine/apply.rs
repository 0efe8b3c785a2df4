//! The one entry point: applies a proposal, whole or not at all.

use crate::op::{answer, op::Kind, Answer, Proposal};
use crate::reject::{code, Decided, Stop};
use crate::system::calls::once;
use crate::{activity, callback, deadline, outbox, system, tables, update, workflow};
use crate::{Context, Effect, Fault, Reject, Txn};

/// What one proposal led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub answer: Answer,
    pub effects: Vec<Effect>,
}

impl Outcome {
    /// Of an entry that does not decode. Its bytes are the same on every replica, so all of them refuse it.
    pub fn unreadable(why: &dyn std::fmt::Display) -> Self {
        Self::refused(Reject::new(code::INVALID_ARGUMENT, format!("the request cannot be read again: {why}")))
    }

    fn refused(reject: Reject) -> Self {
        let answer = Answer { kind: Some(answer::Kind::Reject(*reject.0)), reserved: Vec::new() };
        Self { answer, effects: Vec::new() }
    }
}

/// Applies one proposal to `txn`. A Reject leaves no writes. Depends on nothing but the stored rows and the proposal.
pub fn apply(txn: &mut Txn<'_>, proposal: &Proposal) -> Result<Outcome, Fault> {
    txn.keep();
    let stamped = proposal.stamp.as_ref().map(|stamp| stamp.now).unwrap_or_default();
    #[cfg(feature = "bug-local-clock-in-apply")]
    let stamped = stamped + local_clock_error();
    let now = stamped.max(tables::shard_time(txn)?);
    let mut context = Context::new(txn, now, proposal);
    let decided = proposal.op.as_ref().and_then(|op| op.kind.as_ref()).map_or_else(
        || Err(Reject::new(code::UNIMPLEMENTED, "this node does not know the operation").into()),
        |kind| decide(&mut context, kind),
    );
    let reserved = std::mem::take(&mut context.reserved);
    match decided {
        Ok(kind) => {
            tables::put_shard_time(txn, now);
            Ok(Outcome { answer: Answer { kind: Some(kind), reserved }, effects: txn.keep() })
        }
        Err(Stop::Reject(reject)) => {
            txn.roll_back();
            Ok(Outcome::refused(reject))
        }
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn decide(ctx: &mut Context<'_, '_>, kind: &Kind) -> Decided<answer::Kind> {
    match kind {
        Kind::InitCluster(op) => system::cluster::init(ctx, op),
        Kind::PutNode(op) => system::cluster::put_node(ctx, op),
        Kind::RegisterNamespace(op) => once(ctx, |ctx| system::namespace::register(ctx, op)),
        Kind::UpdateNamespace(op) => once(ctx, |ctx| system::namespace::update(ctx, op)),
        Kind::DeprecateNamespace(op) => once(ctx, |ctx| system::namespace::deprecate(ctx, op)),
        Kind::DeleteNamespace(op) => once(ctx, |ctx| system::namespace::delete(ctx, op)),
        Kind::ChangeSearchAttributes(op) => once(ctx, |ctx| system::namespace::change_search_attributes(ctx, op)),
        Kind::UpdateQueueConfig(op) => once(ctx, |ctx| system::queue_config::update(ctx, op)),
        Kind::EndSweep(op) => system::sweep::end(ctx, op),
        Kind::StartWorkflow(op) => workflow::start::decide(ctx, op),
        Kind::SignalWorkflow(op) => workflow::signal::decide(ctx, op),
        Kind::SignalWithStart(op) => workflow::signal_with_start::decide(ctx, op),
        Kind::RequestCancelWorkflow(op) => workflow::request_cancel::decide(ctx, op),
        Kind::TerminateWorkflow(op) => workflow::terminate::decide(ctx, op),
        Kind::DeleteWorkflow(op) => workflow::delete::decide(ctx, op),
        Kind::ResetSticky(op) => workflow::sticky::reset(ctx, op),
        Kind::UnqueueTask(op) => workflow::sticky::unqueue(ctx, op),
        Kind::ReturnTask(op) => workflow::start_task::give_back(ctx, op),
        Kind::StartTask(op) => workflow::start_task::decide(ctx, op),
        Kind::CompleteWorkflowTask(op) => workflow::task_completed::decide(ctx, op),
        Kind::FailWorkflowTask(op) => workflow::task_failed::decide(ctx, op),
        Kind::HeartbeatActivity(op) => activity::heartbeat::decide(ctx, op),
        Kind::CompleteActivity(op) => activity::finish::complete(ctx, op),
        Kind::FailActivity(op) => activity::finish::fail(ctx, op),
        Kind::CancelActivity(op) => activity::finish::cancel(ctx, op),
        Kind::PauseActivity(op) => activity::control::pause(ctx, op),
        Kind::UnpauseActivity(op) => activity::control::unpause(ctx, op),
        Kind::ResetActivity(op) => activity::control::reset(ctx, op),
        Kind::UpdateActivityOptions(op) => activity::control::update_options(ctx, op),
        Kind::AdmitUpdate(op) => update::admit::decide(ctx, op),
        Kind::UpdateWithStart(op) => update::with_start::decide(ctx, op),
        Kind::ResetWorkflow(op) => workflow::reset::decide(ctx, op),
        Kind::PauseWorkflow(op) => workflow::pause::pause(ctx, op),
        Kind::UnpauseWorkflow(op) => workflow::pause::unpause(ctx, op),
        Kind::UpdateWorkflowOptions(op) => workflow::options::decide(ctx, op),
        Kind::Tick(op) => deadline::tick(ctx, op),
        Kind::ChangeRetention(op) => workflow::retention::change(ctx, op),
        Kind::DropNamespace(op) => workflow::delete::drop_namespace(ctx, op),
        Kind::SettleCallback(op) => callback::settle(ctx, op),
        Kind::Deliver(op) => outbox::deliver(ctx, op),
        Kind::AckOutbox(op) => Ok(outbox::ack(ctx, op)),
        Kind::JoinNode(op) => system::members::join(ctx, op),
        Kind::RemoveNode(op) => system::members::remove(ctx, op),
        Kind::FinishNode(op) => system::members::finish(ctx, op),
        Kind::DrainNode(op) => system::members::drain(ctx, op),
        Kind::PlaceShard(op) => system::placement::place(ctx, op),
        Kind::SettleShard(op) => system::placement::settle(ctx, op),
        Kind::PreferLeader(op) => system::placement::prefer(ctx, op),
        Kind::StartChild(_)
        | Kind::ReportChildStart(_)
        | Kind::ScheduleFirstTask(_)
        | Kind::ReportChildClose(_)
        | Kind::SignalExternal(_)
        | Kind::CancelExternal(_)
        | Kind::ReportExternal(_)
        | Kind::EndChild(_) => Err(Reject::invalid_argument("this message comes out of an outbox only").into()),
    }
}

/// Planted: how far this machine's clock is past the last whole millisecond, as if it had been asked for the time.
#[cfg(feature = "bug-local-clock-in-apply")]
#[expect(clippy::disallowed_methods, reason = "a planted bug")]
fn local_clock_error() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::from(now.subsec_nanos()) % crate::time::MILLISECOND
}
