//! What happened after the reset point and is not undone: signals, updates, attached options, and the ends of what had
//! been started before the point. Cancel requests and terminations are not repeated.

use proto::temporal::api::enums::v1::{ResetReapplyExcludeType, ResetReapplyType, UpdateAdmittedEventOrigin as Origin};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{HistoryEvent, WorkflowExecutionUpdateAdmittedEventAttributes};
use proto::temporal::api::update::v1::Request;
use proto::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;

use crate::reject::Decided;
use crate::tables;
use crate::update::admit::id_of;
use crate::workflow::run::{self, Extras};
use crate::workflow::{start, Run};
use crate::{Context, Reject};

/// Runs of a chain whose events one reset repeats.
const RUNS_MAX: usize = 1000;

/// What is not repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Excluded {
    signals: bool,
    updates: bool,
}

impl Excluded {
    /// The list of the request, and the older setting that says what to include.
    pub fn of(request: &ResetWorkflowExecutionRequest) -> Self {
        let mut excluded = match request.reset_reapply_type() {
            ResetReapplyType::Signal => Self { signals: false, updates: true },
            ResetReapplyType::None => Self { signals: true, updates: true },
            ResetReapplyType::Unspecified | ResetReapplyType::AllEligible => Self::default(),
        };
        for kind in request.reset_reapply_exclude_types() {
            excluded.signals |= kind == ResetReapplyExcludeType::Signal;
            excluded.updates |= kind == ResetReapplyExcludeType::Update;
        }
        excluded
    }
}

/// Repeats what followed in the base run, and in the runs it continued as.
pub fn all(ctx: &mut Context<'_, '_>, run: &mut Run, base: &Run, finish: i64, excluded: Excluded) -> Decided<()> {
    let mut next = None;
    for event in events_from(ctx, base, finish)? {
        of_base(ctx, run, &event, finish)?;
        next = repeat(ctx, run, event, excluded)?;
    }
    for _ in 0..RUNS_MAX {
        let Some(run_id) = next.take() else { return Ok(()) };
        let found = run::find(ctx.txn, &run.row.namespace_id, &run.row.workflow_id, &run_id)?;
        let Some(follower) = found else { return Ok(()) };
        for event in events_from(ctx, &follower, 1)? {
            next = repeat(ctx, run, event, excluded)?;
        }
    }
    let text = format!("the workflow has continued as new more than {RUNS_MAX} times since the reset point");
    Err(Reject::failed_precondition(text).into())
}

fn events_from(ctx: &Context<'_, '_>, run: &Run, first: i64) -> Decided<Vec<HistoryEvent>> {
    let Some(batch) = tables::batch_at_or_before(ctx.txn, run.key, first)? else { return Ok(Vec::new()) };
    let mut events = Vec::new();
    for batch in tables::read_batches(ctx.txn, run.key, batch.first_event_id, i64::MAX, usize::MAX)? {
        events.extend(super::fork::events_of(&batch)?.into_iter().filter(|event| event.event_id >= first));
    }
    Ok(events)
}

/// Repeats an event of any run of the chain. Returns the run that follows, if the event says so.
fn repeat(
    ctx: &mut Context<'_, '_>,
    run: &mut Run,
    event: HistoryEvent,
    excluded: Excluded,
) -> Decided<Option<String>> {
    use Attributes as A;
    let extras = Extras { user_metadata: event.user_metadata, links: event.links, ..Default::default() };
    match event.attributes {
        Some(A::WorkflowExecutionSignaledEventAttributes(a)) if !excluded.signals => {
            run.add_with(ctx, A::WorkflowExecutionSignaledEventAttributes(a), extras)?;
        }
        Some(A::WorkflowExecutionUpdateAcceptedEventAttributes(a)) if !excluded.updates => {
            // Without a request it was admitted by an event of its own.
            if let Some(request) = a.accepted_request {
                admit(ctx, run, request)?;
            }
        }
        Some(A::WorkflowExecutionUpdateAdmittedEventAttributes(a)) if !excluded.updates => {
            if let Some(request) = a.request {
                admit(ctx, run, request)?;
            }
        }
        Some(A::WorkflowExecutionOptionsUpdatedEventAttributes(a)) => start::attach(ctx, run, a, extras)?,
        Some(A::WorkflowExecutionContinuedAsNewEventAttributes(a)) => return Ok(Some(a.new_execution_run_id)),
        _ => {}
    }
    Ok(None)
}

fn admit(ctx: &mut Context<'_, '_>, run: &mut Run, request: Request) -> Decided<()> {
    if tables::update(ctx.txn, run.key, id_of(&request))?.is_some() {
        return Ok(());
    }
    let admitted =
        WorkflowExecutionUpdateAdmittedEventAttributes { request: Some(request), origin: Origin::Reapply as i32 };
    run.add(ctx, Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(admitted))?;
    Ok(())
}

/// Repeats what became of a child, a signal or a cancel request that was asked for before the point and is pending.
fn of_base(ctx: &mut Context<'_, '_>, run: &mut Run, event: &HistoryEvent, finish: i64) -> Decided<()> {
    let Some(mut attributes) = event.attributes.clone() else { return Ok(()) };
    if let Some((initiated_event_id, started_event_id)) = of_child(&mut attributes) {
        if initiated_event_id >= finish {
            return Ok(());
        }
        let Some(child) = tables::child(ctx.txn, run.key, initiated_event_id)? else { return Ok(()) };
        if let Some(started_event_id) = started_event_id {
            *started_event_id = child.started_event_id;
        }
        run.add(ctx, attributes)?;
    } else if let Some(initiated_event_id) = of_external(&attributes) {
        let pending = tables::external(ctx.txn, run.key, initiated_event_id)?;
        if initiated_event_id < finish && pending.is_some() {
            run.add(ctx, attributes)?;
        }
    }
    Ok(())
}

/// The Initiated event of the child that an event tells of, and where an end names the child's Started event.
fn of_child(attributes: &mut Attributes) -> Option<(i64, Option<&mut i64>)> {
    use Attributes as A;
    match attributes {
        A::StartChildWorkflowExecutionFailedEventAttributes(a) => Some((a.initiated_event_id, None)),
        A::ChildWorkflowExecutionStartedEventAttributes(a) => Some((a.initiated_event_id, None)),
        A::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        A::ChildWorkflowExecutionFailedEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        A::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        A::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        A::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            Some((a.initiated_event_id, Some(&mut a.started_event_id)))
        }
        _ => None,
    }
}

/// The Initiated event of the signal or cancel request whose outcome an event tells.
fn of_external(attributes: &Attributes) -> Option<i64> {
    use Attributes as A;
    match attributes {
        A::ExternalWorkflowExecutionSignaledEventAttributes(a) => Some(a.initiated_event_id),
        A::SignalExternalWorkflowExecutionFailedEventAttributes(a) => Some(a.initiated_event_id),
        A::ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => Some(a.initiated_event_id),
        A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => Some(a.initiated_event_id),
        _ => None,
    }
}
