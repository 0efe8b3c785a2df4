//! Update-with-start: a start and an update in one call (SEMANTICS B3). A refusal names what each of the two met.

use proto::temporal::api::enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage;
use proto::temporal::api::errordetails::v1::multi_operation_execution_failure::OperationStatus;
use proto::temporal::api::errordetails::v1::MultiOperationExecutionFailure;
use proto::temporal::api::failure::v1::MultiOperationExecutionAborted;
use proto::temporal::api::workflowservice::v1::execute_multi_operation_request::operation::Operation;
use proto::temporal::api::workflowservice::v1::execute_multi_operation_response::{response, Response};
use proto::temporal::api::workflowservice::v1::{
    ExecuteMultiOperationRequest, ExecuteMultiOperationResponse, StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse, UpdateWorkflowExecutionRequest,
};
use statemachine::op::op::Kind;
use statemachine::op::{answer, StartWorkflowAnswer, UpdateWithStart, UpdateWithStartAnswer};
use statemachine::reject::code;
use statemachine::update::outcome;
use statemachine::Reject;
use tokio::time::Instant;

use super::update::{self, Wanted};
use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{facts, require_registered, Done, Frontend, Namespace, PATIENCE};
use crate::api::quotas::LongPoll;
use crate::api::{search_attributes, validate};

/// An update that the closing run turned away is sent once more.
const TRIES: usize = 2;

pub async fn execute(
    frontend: &Frontend,
    mut call: Call<ExecuteMultiOperationRequest>,
) -> Result<ExecuteMultiOperationResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let _waiting = frontend.quotas.enter(&namespace.id, LongPoll::MultiOperation)?;
    // Not under way until its end: the answer may take as long as the update.
    drop(frontend.admission.admit(&namespace.id, Instant::now())?);
    require_registered(&namespace)?;
    let (mut start, mut update) = operations(&mut call.message)?;
    let name = &call.message.namespace;
    let start_checked = prepare_start(frontend, &namespace, name, &mut start);
    let update_checked = prepare_update(frontend, name, &start, &mut update);
    let stage = match (start_checked, update_checked) {
        (Ok(()), Ok(stage)) => stage,
        (Err(start), Ok(_)) => return Err(failed(status(&start), aborted()).into()),
        (Ok(()), Err(update)) => return Err(failed(aborted(), status(&update)).into()),
        (Err(start), Err(update)) => return Err(failed(status(&start), status(&update)).into()),
    };
    let both = Both { start, update, stage, end: update::End::of(frontend, &call), deadline: call.until(PATIENCE) };
    let mut tries = 1;
    loop {
        match both.execute(frontend, &namespace).await? {
            Err(reject) if outcome::is_closing(&reject) && tries < TRIES => tries += 1,
            Err(reject) if outcome::is_closing(&reject) => {
                let reject = Reject::new(code::ABORTED, reject.message());
                return Err(failed(OperationStatus::default(), status(&reject)).into());
            }
            Err(reject) => return Err(failed(OperationStatus::default(), status(&reject)).into()),
            Ok(response) => return Ok(response),
        }
    }
}

fn operations(
    message: &mut ExecuteMultiOperationRequest,
) -> Result<(StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest), Reject> {
    let mut sent = std::mem::take(&mut message.operations).into_iter().map(|operation| operation.operation);
    match (sent.next(), sent.next(), sent.next()) {
        (Some(Some(Operation::StartWorkflow(start))), Some(Some(Operation::UpdateWorkflow(update))), None) => {
            Ok((start, update))
        }
        _ => Err(Reject::invalid_argument("Operations have to be exactly [Start, Update].")),
    }
}

fn check_namespace(name: &str, namespace: &str) -> Result<(), Reject> {
    if name != namespace {
        return Err(Reject::invalid_argument("Operation namespace did not match request's namespace."));
    }
    Ok(())
}

fn prepare_start(
    frontend: &Frontend,
    namespace: &Namespace,
    name: &str,
    start: &mut StartWorkflowExecutionRequest,
) -> Result<(), Reject> {
    check_namespace(&start.namespace, name)?;
    validate::start(start, &frontend.config.limits, &frontend.config.callbacks)?;
    search_attributes::prepare(&mut start.search_attributes, &facts(namespace))?;
    if !start.cron_schedule.is_empty() {
        return Err(Reject::invalid_argument("CronSchedule is not allowed."));
    }
    if start.request_eager_execution {
        return Err(Reject::invalid_argument("RequestEagerExecution is not supported."));
    }
    if start.workflow_start_delay.is_some() {
        return Err(Reject::invalid_argument("WorkflowStartDelay is not supported."));
    }
    Ok(())
}

fn prepare_update(
    frontend: &Frontend,
    name: &str,
    start: &StartWorkflowExecutionRequest,
    update: &mut UpdateWorkflowExecutionRequest,
) -> Result<Stage, Reject> {
    check_namespace(&update.namespace, name)?;
    let stage = update::prepare(update, &frontend.config.limits)?;
    let execution = validate::execution(update.workflow_execution.as_ref())?;
    if execution.workflow_id != start.workflow_id {
        return Err(Reject::invalid_argument("WorkflowId is not consistent with previous operation(s)."));
    }
    if !execution.run_id.is_empty() {
        return Err(Reject::invalid_argument("RunId is not allowed."));
    }
    if !update.first_execution_run_id.is_empty() {
        return Err(Reject::invalid_argument("FirstExecutionRunId is not allowed."));
    }
    Ok(stage)
}

/// The two operations, checked.
struct Both {
    start: StartWorkflowExecutionRequest,
    update: UpdateWorkflowExecutionRequest,
    stage: Stage,
    end: update::End,
    deadline: Instant,
}

impl Both {
    /// One try. A refusal of the update alone is the inner error.
    async fn execute(
        &self,
        frontend: &Frontend,
        namespace: &Namespace,
    ) -> Result<Result<ExecuteMultiOperationResponse, Reject>, ApiError> {
        let op = UpdateWithStart {
            namespace: Some(facts(namespace)),
            start: Some(self.start.clone()),
            update: Some(self.update.clone()),
        };
        let workflow_id = &self.start.workflow_id;
        let done = frontend.propose(&namespace.id, workflow_id, Kind::UpdateWithStart(op), self.deadline).await;
        let Done { shard, index, answer, .. } = done.map_err(|error| match error {
            ApiError::Reject(reject) => failed(status(&reject), aborted()).into(),
            error => error,
        })?;
        let answer::Kind::UpdateWithStart(UpdateWithStartAnswer { start, update, update_refused }) = answer else {
            return Err(ApiError::Internal("an update-with-start was answered by something else"));
        };
        if let Some(reject) = update_refused {
            return Ok(Err(Reject(Box::new(reject))));
        }
        let rows = frontend.read_after(shard, index, self.deadline).await?;
        let wanted = Wanted { namespace_id: &namespace.id, workflow_id, stage: self.stage, end: self.end };
        match update::wait_for_admitted(frontend, rows, &wanted, update.unwrap_or_default()).await {
            Ok(update) => Ok(Ok(ExecuteMultiOperationResponse {
                responses: vec![
                    Response { response: Some(response::Response::StartWorkflow(started(start.unwrap_or_default()))) },
                    Response { response: Some(response::Response::UpdateWorkflow(update)) },
                ],
            })),
            Err(ApiError::Reject(reject)) => Ok(Err(reject)),
            Err(error) => Err(error),
        }
    }
}

fn started(answer: StartWorkflowAnswer) -> StartWorkflowExecutionResponse {
    StartWorkflowExecutionResponse {
        run_id: answer.run_id,
        started: answer.started,
        status: answer.status,
        link: answer.link,
        ..Default::default()
    }
}

// ---- refusals ----

fn status(reject: &Reject) -> OperationStatus {
    OperationStatus {
        code: reject.code(),
        message: reject.message().to_owned(),
        details: reject.0.detail.iter().cloned().collect(),
    }
}

/// Of an operation that was not carried out because of the other one.
fn aborted() -> OperationStatus {
    let detail = MultiOperationExecutionAborted::default();
    status(&Reject::with_detail(code::ABORTED, "Operation was aborted.", &detail))
}

/// The refusal of the whole call: its code is that of the operation at fault.
fn failed(start: OperationStatus, update: OperationStatus) -> Reject {
    let at_fault = [&start, &update].into_iter().find(|status| status.code != code::ABORTED && status.code != 0);
    let code = at_fault.map_or(code::ABORTED, |status| status.code);
    let failure = MultiOperationExecutionFailure { statuses: vec![start, update] };
    Reject::with_detail(code, "Update-with-Start could not be executed.", &failure)
}
