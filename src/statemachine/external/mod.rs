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
use crate::workflow::commands::{Refused, Scope};
use crate::workflow::Run;
use crate::{Context, Reject};

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
