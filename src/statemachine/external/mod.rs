//! Signals and cancel requests from one workflow to another (SEMANTICS B10, B11).
//!
//! ```text
//!   sender: command ─ Initiated ──SignalExternal | CancelExternal──► target: Signaled | CancelRequested
//!           ExternalSignaled | …Failed ◄──────ReportExternal──────── ┘
//! ```

pub mod command;
pub mod evolve;
pub mod receive;
pub mod report;

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;

use crate::op::{NamespaceFacts, Sender};
use crate::reject::Decided;
use crate::workflow::commands::{Refused, Scope};
use crate::workflow::Run;
use crate::{outbox, tables, Context, Reject};

/// The run as the sender of a message for one of its events.
pub fn sender(run: &Run, initiated_event_id: i64) -> Sender {
    Sender {
        namespace_id: run.row.namespace_id.clone(),
        namespace: run.row.namespace.clone(),
        workflow_id: run.row.workflow_id.clone(),
        run_id: run.row.run_id.clone(),
        initiated_event_id,
    }
}

/// A run closes: what the commands of its last task ask of others is not sent any more, as in Temporal, where sending
/// looks at the sender first.
pub fn withdraw_after(ctx: &mut Context<'_, '_>, run: &Run, event_id: i64) -> Decided<()> {
    if run.row.pending_signals == 0 && run.row.pending_cancels == 0 {
        return Ok(());
    }
    for row in tables::externals(ctx.txn, run.key)?.into_iter().filter(|row| row.initiated_event_id > event_id) {
        outbox::withdraw(ctx, row.outbox_id);
    }
    Ok(())
}

/// The namespace a command names; its own if it names none. Another one must be known, and commands must be allowed to
/// leave their namespace.
pub fn target_namespace<'s>(
    ctx: &Context<'_, '_>,
    named: &str,
    scope: &Scope<'s>,
    cause: Cause,
) -> Result<&'s NamespaceFacts, Refused> {
    if named.is_empty() || named == scope.namespace.name {
        return Ok(scope.namespace);
    }
    let known = scope.other_namespaces.iter().find(|namespace| namespace.name == named);
    let namespace = known.ok_or_else(|| Reject::namespace_not_found(named))?;
    if !ctx.limits.cross_namespace {
        return Err(Refused::task(cause, "cross namespace commands are not allowed"));
    }
    Ok(namespace)
}
