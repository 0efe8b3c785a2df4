//! At the sender: what became of its signal or cancel request.

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{
    ExternalWorkflowExecutionCancelRequestedEventAttributes, ExternalWorkflowExecutionSignaledEventAttributes,
    RequestCancelExternalWorkflowExecutionFailedEventAttributes, SignalExternalWorkflowExecutionFailedEventAttributes,
};

use crate::child::stored_attributes;
use crate::op::ReportExternal;
use crate::reject::Decided;
use crate::workflow::run::{self, Extras};
use crate::workflow::{close, task, Run};
use crate::{outbox, tables, Context, Fault};

pub fn decide(ctx: &mut Context<'_, '_>, message: &ReportExternal) -> Decided<()> {
    let sender = message.sender.clone().unwrap_or_default();
    let (namespace_id, workflow_id, event_id) = (&sender.namespace_id, &sender.workflow_id, sender.initiated_event_id);
    let Some(mut run) = run::answering(ctx.txn, namespace_id, workflow_id, &sender.run_id, event_id)? else {
        return Ok(());
    };
    let Some(row) = tables::external(ctx.txn, run.key, sender.initiated_event_id)? else { return Ok(()) };
    outbox::withdraw(ctx, row.outbox_id);
    let event = event(ctx, &run, row.initiated_event_id, message.failed_cause)?;
    run.record(ctx, event, Extras::default())?;
    close::enforce_buffer_limits(ctx, &mut run)?;
    task::schedule(ctx, &mut run, 0)?;
    run.finish(ctx)
}

/// The event that answers an Initiated one. `control` comes back on a signal's, not on a cancel request's.
#[expect(deprecated, reason = "control is still echoed")]
fn event(ctx: &Context<'_, '_>, run: &Run, initiated_event_id: i64, cause: i32) -> Decided<Attributes> {
    use Attributes as A;
    let or_own = |name: String| if name.is_empty() { run.row.namespace.clone() } else { name };
    Ok(match stored_attributes(ctx, run, initiated_event_id)? {
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(sent) if cause == 0 => {
            A::ExternalWorkflowExecutionSignaledEventAttributes(ExternalWorkflowExecutionSignaledEventAttributes {
                initiated_event_id,
                namespace: or_own(sent.namespace),
                namespace_id: sent.namespace_id,
                workflow_execution: sent.workflow_execution,
                control: sent.control,
            })
        }
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(sent) => {
            A::SignalExternalWorkflowExecutionFailedEventAttributes(
                SignalExternalWorkflowExecutionFailedEventAttributes {
                    cause,
                    initiated_event_id,
                    namespace: or_own(sent.namespace),
                    namespace_id: sent.namespace_id,
                    workflow_execution: sent.workflow_execution,
                    control: sent.control,
                    ..Default::default()
                },
            )
        }
        A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(sent) if cause == 0 => {
            A::ExternalWorkflowExecutionCancelRequestedEventAttributes(
                ExternalWorkflowExecutionCancelRequestedEventAttributes {
                    initiated_event_id,
                    namespace: or_own(sent.namespace),
                    namespace_id: sent.namespace_id,
                    workflow_execution: sent.workflow_execution,
                },
            )
        }
        A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(sent) => {
            A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(
                RequestCancelExternalWorkflowExecutionFailedEventAttributes {
                    cause,
                    initiated_event_id,
                    namespace: or_own(sent.namespace),
                    namespace_id: sent.namespace_id,
                    workflow_execution: sent.workflow_execution,
                    ..Default::default()
                },
            )
        }
        _ => return Err(Fault::corrupt("history", "an external row's event is none of its kind").into()),
    })
}
