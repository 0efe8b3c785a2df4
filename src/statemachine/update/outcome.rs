//! How far an update has come, for those who wait for it.

use proto::temporal::api::failure::v1::{failure::FailureInfo, ApplicationFailureInfo, Failure};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::update::v1::{outcome::Value, Outcome, Request};

use super::admit;
use crate::reject::{code, Decided};
use crate::state::update::Stage;
use crate::state::{self, Update};
use crate::tables::{self, RunKey};
use crate::{Fault, Kv, Reject};

/// What a caller learns of an update.
#[expect(clippy::large_enum_variant, reason = "few of these exist at a time")]
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    Admitted,
    Accepted,
    Done(Outcome),
}

/// Looks an update up for who asks after it by its id. One that was refused is unknown.
pub fn look_up(kv: &dyn Kv, key: RunKey, run: &state::Run, update_id: &str) -> Decided<Progress> {
    match tables::update(kv, key, update_id)?.filter(|row| !admit::is_refused(row)) {
        Some(row) => progress(kv, key, run, &row),
        None => Err(Reject::not_found(format!("update \"{update_id}\" not found")).into()),
    }
}

/// Looks an update up for who had it admitted: learns of a refusal too.
pub fn of_admitted(kv: &dyn Kv, key: RunKey, run: &state::Run, update_id: &str) -> Decided<Progress> {
    match tables::update(kv, key, update_id)? {
        Some(row) => progress(kv, key, run, &row),
        None if run.close_time == 0 => {
            Err(Reject::new(code::UNAVAILABLE, "the update is not known any more, please retry").into())
        }
        None if run.successor_run_id.is_empty() && run.reset_run_id.is_empty() => Err(aborted().into()),
        None => Err(admit::closing().into()),
    }
}

fn aborted() -> Reject {
    Reject::not_found("workflow update was aborted by closing workflow")
}

/// Whether the update was turned away only because its run came to an end.
pub fn is_closing(reject: &Reject) -> bool {
    *reject == aborted() || *reject == admit::closing()
}

fn progress(kv: &dyn Kv, key: RunKey, run: &state::Run, row: &Update) -> Decided<Progress> {
    Ok(match row.stage() {
        Stage::Admitted => Progress::Admitted,
        Stage::Accepted if run.close_time == 0 => Progress::Accepted,
        Stage::Accepted => Progress::Done(failed(closed())),
        Stage::Completed => Progress::Done(stored(kv, key, row)?),
        Stage::Rejected => Progress::Done(failed(row.rejection.clone().unwrap_or_default())),
        Stage::Aborted => {
            let why = "Unable to perform workflow execution update due to unexpected workflow task failure.";
            return Err(admit::not_ready(why).into());
        }
    })
}

/// The outcome in the event that completed the update.
fn stored(kv: &dyn Kv, key: RunKey, row: &Update) -> Result<Outcome, Fault> {
    let missing = || Fault::corrupt("update row", "its event has no outcome");
    match tables::event(kv, key, row.completed_event_id)?.attributes {
        Some(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(a)) => a.outcome.ok_or_else(missing),
        _ => Err(missing()),
    }
}

/// The requests that a started workflow task takes to its worker, in the order of admission.
pub fn sent_with(kv: &dyn Kv, key: RunKey, run: &state::Run, stamp: u64) -> Result<Vec<Request>, Fault> {
    let mut requests = Vec::new();
    for id in &run.updates_in_flight {
        let row = tables::update(kv, key, id)?.unwrap_or_default();
        if row.stage() == Stage::Admitted && row.sent_with == stamp {
            requests.extend(row.request);
        }
    }
    Ok(requests)
}

fn failed(failure: Failure) -> Outcome {
    Outcome { value: Some(Value::Failure(failure)) }
}

fn by_server(message: &str, kind: &str) -> Failure {
    let info = ApplicationFailureInfo { r#type: kind.into(), non_retryable: true, ..Default::default() };
    Failure {
        message: message.into(),
        source: "Server".into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

/// The outcome of an accepted update whose run has closed.
fn closed() -> Failure {
    by_server(
        "Workflow Update failed because the Workflow completed before the Update completed.",
        "AcceptedUpdateCompletedWorkflow",
    )
}

/// Why an update is rejected that the worker passed over.
pub fn unprocessed() -> Failure {
    by_server(
        "Workflow Update is rejected because it wasn't processed by worker. Probably, Workflow Update is not supported \
         by the worker.",
        "UnprocessedUpdate",
    )
}
