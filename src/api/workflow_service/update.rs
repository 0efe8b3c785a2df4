//! Workflow updates: taken in by an op, then waited for by looking at this node's rows whenever the run changes.

use proto::temporal::api::common::v1::WorkflowExecution;
use proto::temporal::api::enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage;
use proto::temporal::api::errordetails::v1::PermissionDeniedFailure;
use proto::temporal::api::update::v1::{Outcome, UpdateRef, WaitPolicy};
use proto::temporal::api::workflowservice::v1::{
    PollWorkflowExecutionUpdateRequest, PollWorkflowExecutionUpdateResponse, UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
};
use statemachine::op::op::Kind;
use statemachine::op::{answer, AdmitUpdate, UpdateAnswer};
use statemachine::reject::code;
use statemachine::tables::RunKey;
use statemachine::update::outcome::{self, Progress};
use statemachine::{state, Reject};
use tokio::time::{timeout_at, Instant};

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, Done, Frontend, PATIENCE};
use crate::api::quotas::LongPoll;
use crate::api::validate;
use crate::cluster::Target;
use crate::config::Limits;
use crate::raft::Snapshot;
use crate::reads;

pub async fn update(
    frontend: &Frontend,
    mut call: Call<UpdateWorkflowExecutionRequest>,
) -> Result<UpdateWorkflowExecutionResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let _waiting = frontend.quotas.enter(&namespace.id, LongPoll::Update)?;
    let stage = prepare(&mut call.message, &frontend.config.limits)?;
    let workflow_id = validate::execution(call.message.workflow_execution.as_ref())?.workflow_id.clone();
    let end = End::of(frontend, &call);
    let deadline = call.until(PATIENCE);
    let op = AdmitUpdate { namespace: Some(facts(&namespace)), request: Some(call.message) };
    let done = frontend.propose(&namespace.id, &workflow_id, Kind::AdmitUpdate(op), deadline).await?;
    let Done { shard, index, answer: answer::Kind::Update(admitted), .. } = done else {
        return Err(ApiError::Internal("an update was answered by something else"));
    };
    let rows = frontend.read_after(shard, index, deadline).await?;
    let wanted = Wanted { namespace_id: &namespace.id, workflow_id: &workflow_id, stage, end };
    wait_for_admitted(frontend, rows, &wanted, admitted).await
}

pub async fn poll(
    frontend: &Frontend,
    call: Call<PollWorkflowExecutionUpdateRequest>,
) -> Result<PollWorkflowExecutionUpdateResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let _waiting = frontend.quotas.enter(&namespace.id, LongPoll::UpdatePoll)?;
    let update = call.message.update_ref.as_ref();
    let update = update.ok_or_else(|| Reject::invalid_argument("UpdateRef is not set on request."))?;
    let execution = update.workflow_execution.clone().unwrap_or_default();
    if execution.workflow_id.is_empty() {
        return Err(Reject::invalid_argument("Can't load workflow execution.  WorkflowId not set.").into());
    }
    validate::execution(Some(&execution))?;
    let stage = stage_of(call.message.wait_policy.as_ref());
    let deadline = call.until(PATIENCE);
    let rows = frontend.read(&namespace.id, &execution.workflow_id, deadline).await?;
    let (key, run) = reads::describe::resolve(&rows, &namespace.id, &execution.workflow_id, &execution.run_id)?;
    let now = outcome::look_up(&rows, key, &run, &update.update_id)?;
    let wanted = Wanted {
        namespace_id: &namespace.id,
        workflow_id: &execution.workflow_id,
        stage,
        end: End::of(frontend, &call),
    };
    let progress = match is_reached(&now, stage) {
        true => now,
        false => wait(frontend, rows, &wanted, &run.run_id, &update.update_id).await?,
    };
    let (stage, outcome) = shown(progress);
    let update_ref = Some(reference(&execution.workflow_id, &run.run_id, &update.update_id));
    Ok(PollWorkflowExecutionUpdateResponse { outcome, stage: stage as i32, update_ref })
}

/// Checks an update and fills in what its caller left out. Returns the stage to wait for.
pub(super) fn prepare(request: &mut UpdateWorkflowExecutionRequest, limits: &Limits) -> Result<Stage, Reject> {
    validate::execution(request.workflow_execution.as_ref())?;
    let update = request.request.get_or_insert_default();
    let unset = |what: &str| Reject::invalid_argument(format!("{what} is not set on request."));
    let meta = update.meta.as_mut().ok_or_else(|| unset("Update meta"))?;
    validate::length("UpdateId", &meta.update_id)?;
    if meta.update_id.is_empty() {
        meta.update_id = uuid::Uuid::new_v4().to_string();
    }
    let input = update.input.as_ref().ok_or_else(|| unset("Update input"))?;
    if input.name.is_empty() {
        return Err(unset("Update name"));
    }
    validate::blob(input.args.as_ref(), limits)?;
    if !update.completion_callbacks.is_empty() {
        return Err(Reject::invalid_argument("completion callbacks of updates are not supported"));
    }
    if !update.links.is_empty() {
        return Err(Reject::invalid_argument("links of updates are not supported"));
    }
    match stage_of(request.wait_policy.as_ref()) {
        Stage::Unspecified => Ok(Stage::Completed),
        Stage::Admitted => {
            let why = "UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not supported.";
            Err(Reject::with_detail(code::PERMISSION_DENIED, why, &PermissionDeniedFailure::default()))
        }
        stage => Ok(stage),
    }
}

fn stage_of(policy: Option<&WaitPolicy>) -> Stage {
    policy.map(WaitPolicy::lifecycle_stage).unwrap_or_default()
}

/// When a wait ends. The end of the server's patience is answered with the stage reached so far; SDKs then ask again,
/// so a client's own deadline must be an error to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    at: Instant,
    by_client: bool,
}

impl End {
    pub(super) fn of<T>(frontend: &Frontend, call: &Call<T>) -> Self {
        let patience = Instant::now() + frontend.config.frontend.history_poll_timeout;
        match call.deadline.filter(|deadline| *deadline <= patience) {
            Some(at) => Self { at, by_client: true },
            None => Self { at: patience, by_client: false },
        }
    }

    fn has_passed(self) -> bool {
        Instant::now() >= self.at
    }
}

/// What is waited for, and how long.
pub(super) struct Wanted<'w> {
    pub namespace_id: &'w str,
    pub workflow_id: &'w str,
    pub stage: Stage,
    pub end: End,
}

/// Waits for an update that was taken in. `rows` are not older than that.
pub(super) async fn wait_for_admitted(
    frontend: &Frontend,
    rows: Snapshot,
    wanted: &Wanted<'_>,
    admitted: UpdateAnswer,
) -> Result<UpdateWorkflowExecutionResponse, ApiError> {
    let UpdateAnswer { run_id, update_id, .. } = admitted;
    let (stage, outcome) = shown(wait(frontend, rows, wanted, &run_id, &update_id).await?);
    let update_ref = Some(reference(wanted.workflow_id, &run_id, &update_id));
    Ok(UpdateWorkflowExecutionResponse { update_ref, outcome, stage: stage as i32, ..Default::default() })
}

async fn wait(
    frontend: &Frontend,
    mut rows: Snapshot,
    wanted: &Wanted<'_>,
    run_id: &str,
    update_id: &str,
) -> Result<Progress, ApiError> {
    let target = Target::Workflow { namespace_id: wanted.namespace_id, workflow_id: wanted.workflow_id };
    let shard = frontend.router.shard_of(target);
    let key = RunKey::new(wanted.namespace_id, wanted.workflow_id, run_id);
    let key = key.ok_or(ApiError::Internal("an update of a run whose id is no UUID"))?;
    let mut watch = None;
    loop {
        let run = run(&rows, wanted, run_id)?;
        let progress = outcome::of_admitted(&rows, key, &run, update_id)?;
        drop(rows);
        if is_reached(&progress, wanted.stage) {
            return Ok(progress);
        }
        match &mut watch {
            // What happened before the watch began is seen by the read that follows.
            None => watch = Some(frontend.watchers.watch(run_id)),
            Some(watch) => {
                let draining = frontend.router.draining();
                let over = tokio::select! {
                    waited = timeout_at(wanted.end.at, watch.changed()) => waited.is_err() || wanted.end.has_passed(),
                    // The client asks again, and reaches a node that stays.
                    () = draining.wait() => true,
                };
                if over && wanted.end.by_client && wanted.end.has_passed() {
                    return Err(ApiError::DeadlineExceeded);
                }
                if over {
                    return Ok(progress);
                }
            }
        }
        let local = frontend.router.local(shard);
        rows = local.ok_or_else(|| ApiError::Unavailable(format!("shard {shard} is not on this node")))?;
    }
}

fn run(rows: &Snapshot, wanted: &Wanted<'_>, run_id: &str) -> Result<state::Run, ApiError> {
    Ok(reads::describe::resolve(rows, wanted.namespace_id, wanted.workflow_id, run_id)?.1)
}

fn is_reached(progress: &Progress, stage: Stage) -> bool {
    match stage {
        Stage::Unspecified | Stage::Admitted => true,
        Stage::Accepted => *progress != Progress::Admitted,
        Stage::Completed => matches!(progress, Progress::Done(_)),
    }
}

fn shown(progress: Progress) -> (Stage, Option<Outcome>) {
    match progress {
        Progress::Admitted => (Stage::Admitted, None),
        Progress::Accepted => (Stage::Accepted, None),
        Progress::Done(outcome) => (Stage::Completed, Some(outcome)),
    }
}

fn reference(workflow_id: &str, run_id: &str, update_id: &str) -> UpdateRef {
    let execution = WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() };
    UpdateRef { workflow_execution: Some(execution), update_id: update_id.to_owned() }
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::{Callback, Link};
    use proto::temporal::api::update::v1::{Input, Meta, Request};

    use super::*;

    fn refusal(change: impl FnOnce(&mut UpdateWorkflowExecutionRequest)) -> String {
        let execution = WorkflowExecution { workflow_id: "w".into(), run_id: String::new() };
        let input = Input { name: "change".into(), ..Default::default() };
        let mut request = UpdateWorkflowExecutionRequest {
            workflow_execution: Some(execution),
            request: Some(Request { meta: Some(Meta::default()), input: Some(input), ..Default::default() }),
            ..Default::default()
        };
        change(&mut request);
        prepare(&mut request, &Limits::default()).map_or_else(|reject| reject.message().to_owned(), |_| "ok".into())
    }

    #[test]
    fn what_an_update_must_have() {
        assert_eq!(refusal(|_| ()), "ok");
        assert_eq!(refusal(|r| r.request = None), "Update meta is not set on request.");
        let update = |meta, input| Some(Request { meta, input, ..Default::default() });
        assert_eq!(refusal(|r| r.request = update(Some(Meta::default()), None)), "Update input is not set on request.");
        let nameless = update(Some(Meta::default()), Some(Input::default()));
        assert_eq!(refusal(|r| r.request = nameless), "Update name is not set on request.");
        let called = |request: &mut UpdateWorkflowExecutionRequest| {
            request.request.get_or_insert_default().completion_callbacks.push(Callback::default());
        };
        assert_eq!(refusal(called), "completion callbacks of updates are not supported");
        let linked = |request: &mut UpdateWorkflowExecutionRequest| {
            request.request.get_or_insert_default().links.push(Link::default());
        };
        assert_eq!(refusal(linked), "links of updates are not supported");
    }

    #[test]
    fn stages_are_reached_in_order() {
        let done = Progress::Done(Outcome::default());
        assert!(is_reached(&Progress::Admitted, Stage::Unspecified));
        assert!(!is_reached(&Progress::Admitted, Stage::Accepted));
        assert!(is_reached(&Progress::Accepted, Stage::Accepted) && is_reached(&done, Stage::Accepted));
        assert!(!is_reached(&Progress::Accepted, Stage::Completed) && is_reached(&done, Stage::Completed));
    }
}
