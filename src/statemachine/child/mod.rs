//! Child workflows, seen from both sides (SEMANTICS B13). Every arrow is a message of the outbox.
//!
//! ```text
//!   parent: command ─ Initiated ──StartChild──────────► child: created, without a first task
//!           Started | StartFailed ◄──ReportChildStart── ┘
//!                   └──────────────ScheduleFirstTask──► child: runs
//!           Completed | Failed | … ◄─ReportChildClose── child: the last run of its chain closed
//!           the parent closes ─────EndChild───────────► child: terminated or asked to cancel, as its policy says
//! ```

pub mod command;
pub mod end;
pub mod evolve;
pub mod report;
pub mod start;

use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::HistoryEvent;

use crate::reject::Decided;
use crate::workflow::Run;
use crate::{tables, Context, Fault};

/// The event of the run's stored history with this id.
pub(crate) fn stored_event(ctx: &Context<'_, '_>, run: &Run, event_id: i64) -> Decided<HistoryEvent> {
    Ok(tables::event(ctx.txn, run.key, event_id)?)
}

/// The attributes of a stored event.
pub(crate) fn stored_attributes(ctx: &Context<'_, '_>, run: &Run, event_id: i64) -> Decided<Attributes> {
    let event = stored_event(ctx, run, event_id)?;
    Ok(event.attributes.ok_or_else(|| Fault::corrupt("history", format!("event {event_id} has no attributes")))?)
}
