//! Completion callbacks: addresses that are told how a workflow ended. They come with the start, or are attached to a
//! running workflow by a start that uses it; the next run of a chain takes them over.
//!
//! ```text
//!   attach ─► STANDBY ──the run closes for good──► SCHEDULED ─► effects: the request ─► settle ─► SUCCEEDED | FAILED
//!                                                     ▲                                   │
//!                                                     └────────── the wait is over ── BACKING_OFF
//! ```
//!
//! What is scheduled has a row in the ready table, which is all that a leader needs to go on with it: a request whose
//! result was not written down is made again.

use proto::temporal::api::common::v1::callback::Variant;
use proto::temporal::api::common::v1::Callback;
use proto::temporal::api::enums::v1::CallbackState;
use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};

use crate::op::{answer, Done, SettleCallback};
use crate::reject::Decided;
use crate::tables::{self, CallbackKey, DeadlineKey, DeadlineKind};
use crate::time::{HOUR, SECOND};
use crate::workflow::{run, Run};
use crate::{state, Context, Reject, Txn};

/// Callbacks of one run (Temporal: `system.maxCallbacksPerWorkflow`).
pub const PER_RUN_MAX: usize = 32;
/// The wait after the first attempt that failed; it doubles with each one.
const WAIT_FIRST: i64 = SECOND;
const WAIT_MAX: i64 = HOUR;
/// The longest address that the ready table takes; longer ones are refused where they come in.
const DESTINATION_MAX: usize = 1000;

/// Adds callbacks to a run; a part of what its events change.
pub fn attach(txn: &mut Txn<'_>, run: &mut Run, sent: &[Callback], request_id: &str, time: i64) {
    for callback in sent {
        run.row.callbacks += 1;
        let row = state::Callback {
            number: run.row.callbacks as u64,
            callback: Some(callback.clone()),
            request_id: request_id.into(),
            registration_time: time,
            state: CallbackState::Standby as i32,
            ..Default::default()
        };
        tables::put_callback(txn, run.key, &row);
    }
}

/// Whether a run may get so many more.
pub fn check_room(run: &Run, more: usize) -> Result<(), Reject> {
    let attached = run.row.callbacks as usize;
    if attached + more > PER_RUN_MAX {
        let text = format!(
            "cannot attach more than {PER_RUN_MAX} callbacks to a workflow ({attached} callbacks already attached)"
        );
        return Err(Reject::failed_precondition(text));
    }
    Ok(())
}

/// What the next run of the chain takes over.
pub fn waiting(ctx: &Context<'_, '_>, run: &Run) -> Decided<Vec<Callback>> {
    if run.row.callbacks == 0 {
        return Ok(Vec::new());
    }
    let rows = tables::callbacks(ctx.txn, run.key)?;
    Ok(rows.into_iter().filter(|row| row.state() == CallbackState::Standby).filter_map(|row| row.callback).collect())
}

/// The run has closed and nothing follows it.
pub fn schedule_all(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    if run.row.callbacks == 0 {
        return Ok(());
    }
    for row in tables::callbacks(ctx.txn, run.key)? {
        if row.state() == CallbackState::Standby {
            schedule(ctx, run, row);
        }
    }
    Ok(())
}

fn schedule(ctx: &mut Context<'_, '_>, run: &Run, mut row: state::Callback) {
    row.set_state(CallbackState::Scheduled);
    row.ready_time = ctx.now;
    ready_key(run, &row).put(ctx.txn);
    tables::put_callback(ctx.txn, run.key, &row);
}

fn ready_key(run: &Run, row: &state::Callback) -> CallbackKey {
    let url = match row.callback.as_ref().and_then(|callback| callback.variant.as_ref()) {
        Some(Variant::Nexus(nexus)) => nexus.url.as_str(),
        _ => "",
    };
    let destination = destination(url).into();
    CallbackKey { destination, ready_time: row.ready_time, run: run.key, number: row.number }
}

/// Scheme, host and port of an address: what may be down.
pub fn destination(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    let end = (0..=end.min(DESTINATION_MAX)).rev().find(|at| url.is_char_boundary(*at)).unwrap_or_default();
    &url[..end]
}

/// An attempt has ended.
pub fn settle(ctx: &mut Context<'_, '_>, op: &SettleCallback) -> Decided<answer::Kind> {
    let done = answer::Kind::Done(Done {});
    let Some(run) = run::find(ctx.txn, &op.namespace_id, &op.workflow_id, &op.run_id)? else { return Ok(done) };
    let Some(mut row) = tables::callback(ctx.txn, run.key, op.number)? else { return Ok(done) };
    if row.state() != CallbackState::Scheduled || row.attempt != op.attempt {
        return Ok(done);
    }
    ready_key(&run, &row).delete(ctx.txn);
    row.attempt += 1;
    row.last_attempt_time = ctx.now;
    row.ready_time = 0;
    row.last_failure = (!op.delivered).then(|| failure(op));
    match (op.delivered, op.retryable) {
        (true, _) => row.set_state(CallbackState::Succeeded),
        (false, false) => row.set_state(CallbackState::Failed),
        (false, true) => {
            row.set_state(CallbackState::BackingOff);
            row.ready_time = ctx.now.saturating_add(wait(row.attempt));
            deadline(&run, &row).put(ctx.txn, "");
        }
    }
    tables::put_callback(ctx.txn, run.key, &row);
    Ok(done)
}

fn failure(op: &SettleCallback) -> Failure {
    let info = ApplicationFailureInfo { non_retryable: !op.retryable, ..Default::default() };
    Failure {
        message: op.message.clone(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

/// The wait after so many attempts.
fn wait(attempts: i32) -> i64 {
    let doublings = (attempts - 1).clamp(0, 30);
    WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX)
}

fn deadline(run: &Run, row: &state::Callback) -> DeadlineKey {
    let stamp = row.attempt as u64;
    DeadlineKey {
        due: row.ready_time,
        kind: DeadlineKind::CallbackRetry,
        run: run.key,
        entity: row.number as i64,
        stamp,
    }
}

/// The wait after an attempt is over.
pub fn retry(ctx: &mut Context<'_, '_>, key: &DeadlineKey) -> Decided<()> {
    let Some(row) = tables::callback(ctx.txn, key.run, key.entity as u64)? else { return Ok(()) };
    if row.state() == CallbackState::BackingOff && row.attempt as u64 == key.stamp {
        let run = run::stored(ctx, key.run)?;
        schedule(ctx, &run, row);
    }
    Ok(())
}

/// The run is deleted; what was not delivered never is.
pub fn forget_all(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<()> {
    if run.row.callbacks == 0 {
        return Ok(());
    }
    for row in tables::callbacks(ctx.txn, run.key)? {
        match row.state() {
            CallbackState::Scheduled => ready_key(run, &row).delete(ctx.txn),
            CallbackState::BackingOff => deadline(run, &row).delete(ctx.txn),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_what_stands_before_the_path() {
        assert_eq!(destination("http://127.0.0.1:80/done?x=1"), "http://127.0.0.1:80");
        assert_eq!(destination("https://example.com?x"), "https://example.com");
        assert_eq!(destination("temporal://system"), "temporal://system");
        assert_eq!(destination(""), "");
    }

    #[test]
    fn waits_double_from_a_second_to_an_hour() {
        let waits: Vec<_> = [1, 2, 3, 12, 13, 1000].map(|attempts| wait(attempts) / SECOND).to_vec();
        assert_eq!(waits, [1, 2, 4, 2048, 3600, 3600]);
    }
}
