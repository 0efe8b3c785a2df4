//! Queries: answered by a worker, on the next workflow task if there is one, else by a task of their own (SEMANTICS B14).
//! They see everything that was acknowledged before and write nothing.

use proto::everstep::peer::v1::QueryTask;
use proto::temporal::api::enums::v1::{
    QueryRejectCondition, QueryResultType, ResourceExhaustedCause, WorkflowExecutionStatus as Status,
};
use proto::temporal::api::errordetails::v1::{QueryFailedFailure, WorkflowNotReadyFailure};
use proto::temporal::api::failure::v1::Failure;
use proto::temporal::api::query::v1::{QueryRejected, WorkflowQuery};
use proto::temporal::api::workflowservice::v1::{
    QueryWorkflowRequest, QueryWorkflowResponse, RespondQueryTaskCompletedRequest, RespondQueryTaskCompletedResponse,
};
use statemachine::reject::code;
use statemachine::{state, QueueKey, Reject, TaskType};
use tokio::time::Instant;

use crate::api::call::Call;
use crate::api::errors::ApiError;
use crate::api::frontend::{name_of, Frontend, Namespace, PATIENCE};
use crate::api::quotas::LongPoll;
use crate::api::token::{bad_task_token, Kind, QueryRef};
use crate::api::validate;
use crate::cluster::Buffered;
use crate::matching::{QueryAnswer, QueryError, QueryRequest};
use crate::reads;

/// From this attempt of the workflow task on, a caller is told that the workflow does not get on.
const FAILING_ATTEMPTS: i32 = 3;

pub async fn query(
    frontend: &Frontend,
    mut call: Call<QueryWorkflowRequest>,
) -> Result<QueryWorkflowResponse, ApiError> {
    let namespace = frontend.namespace(&call, &call.message.namespace).await?;
    let execution = validate::execution(call.message.execution.as_ref())?.clone();
    let query = call.message.query.take();
    let query = query.ok_or_else(|| Reject::invalid_argument("WorkflowQuery is not set on request."))?;
    validate::set_and_short("QueryType", &query.query_type)?;
    validate::blob(query.query_args.as_ref(), &frontend.config.limits)?;
    let condition = call.message.query_reject_condition();
    let deadline = call.until(PATIENCE);
    let _waiting = frontend.quotas.enter(&namespace.id, LongPoll::Query)?;
    let mut run_id = execution.run_id;
    loop {
        let rows = frontend.read(&namespace.id, &execution.workflow_id, deadline).await?;
        let (_, run) = reads::describe::resolve(&rows, &namespace.id, &execution.workflow_id, &run_id)?;
        drop(rows);
        if let Some(status) = rejected(&run, condition) {
            let query_rejected = Some(QueryRejected { status: status as i32 });
            return Ok(QueryWorkflowResponse { query_rejected, ..Default::default() });
        }
        require_ready(&run)?;
        if is_idle(&run) {
            return directly(frontend, &namespace, &run, query, deadline).await;
        }
        // The query stays with this run, although a newer one may start meanwhile.
        run_id.clone_from(&run.run_id);
        let (workflow_id, query) = (&execution.workflow_id, query.clone());
        match frontend.router.query_buffered(&namespace.id, workflow_id, &run_id, query, deadline).await? {
            Buffered::Answered(result) => {
                let failed = result.result_type() != QueryResultType::Answered;
                return answered(failed, result.answer, result.error_message, result.failure);
            }
            Buffered::Full => return Err(too_many_queries().into()),
            // Its workflow task ended without an answer: look at the run again.
            Buffered::Dispatch if Instant::now() < deadline => {}
            Buffered::Dispatch => return Err(ApiError::DeadlineExceeded),
        }
    }
}

/// The status that the caller does not want to query.
fn rejected(run: &state::Run, condition: QueryRejectCondition) -> Option<Status> {
    let status = run.status();
    let unwanted = match condition {
        // No worker gets a task of a paused workflow, not even to answer a query.
        _ if status == Status::Paused => true,
        QueryRejectCondition::NotOpen => status != Status::Running,
        QueryRejectCondition::NotCompletedCleanly => !matches!(status, Status::Running | Status::Completed),
        QueryRejectCondition::Unspecified | QueryRejectCondition::None => false,
    };
    unwanted.then_some(status)
}

fn require_ready(run: &state::Run) -> Result<(), Reject> {
    let open = run.status() == Status::Running;
    let started = run.previous_started_event_id > 0 || run.task.as_ref().is_some_and(|task| task.started_event_id > 0);
    let not_ready = |message: &str| {
        Err(Reject::with_detail(code::FAILED_PRECONDITION, message, &WorkflowNotReadyFailure::default()))
    };
    match &run.task {
        _ if !open && !started => not_ready("Workflow execution closed before WorkflowTaskStarted event"),
        None if open && !started => not_ready("Workflow task is not scheduled yet."),
        Some(task) if open && task.attempt >= FAILING_ATTEMPTS => {
            not_ready("Unable to query workflow due to Workflow Task in failed state.")
        }
        _ => Ok(()),
    }
}

/// Nothing is under way that the query would have to wait for.
fn is_idle(run: &state::Run) -> bool {
    run.status() != Status::Running || run.task.is_none()
}

fn too_many_queries() -> Reject {
    Reject::resource_exhausted(
        ResourceExhaustedCause::BusyWorkflow,
        "consistent query buffer is full, this may be caused by too many queries and workflow not able to process query \
         fast enough",
    )
}

/// Has a worker answer the query on a task of its own.
async fn directly(
    frontend: &Frontend,
    namespace: &Namespace,
    run: &state::Run,
    query: WorkflowQuery,
    deadline: Instant,
) -> Result<QueryWorkflowResponse, ApiError> {
    let queue = |name: &str| QueueKey {
        namespace_id: namespace.id.clone(),
        task_type: TaskType::Workflow,
        name: name.to_owned(),
    };
    let task = QueryTask {
        namespace_id: namespace.id.clone(),
        namespace: name_of(namespace).to_owned(),
        workflow_id: run.workflow_id.clone(),
        run_id: run.run_id.clone(),
        workflow_type: run.workflow_type.clone(),
        query: Some(query),
        normal_queue: run.task_queue.clone(),
        previous_started_event_id: run.previous_started_event_id,
        next_event_id: run.next_event_id,
        ..Default::default()
    };
    let sticky = run.sticky.as_ref().map(|sticky| queue(&sticky.queue));
    let request = QueryRequest { sticky, normal: queue(&run.task_queue), task, deadline };
    match frontend.matching.query(request).await {
        Ok(answer) => {
            let failed = answer.completed_type() != QueryResultType::Answered;
            let QueryAnswer { query_result, error_message, failure, .. } = answer;
            answered(failed, query_result, error_message, failure)
        }
        Err(error @ QueryError::NoPoller) => Err(Reject::failed_precondition(error.to_string()).into()),
        Err(QueryError::Deadline) => Err(ApiError::DeadlineExceeded),
        Err(QueryError::Exhausted(error)) => Err(error.into()),
    }
}

fn answered(
    failed: bool,
    query_result: Option<proto::temporal::api::common::v1::Payloads>,
    message: String,
    failure: Option<Failure>,
) -> Result<QueryWorkflowResponse, ApiError> {
    if failed {
        let detail = QueryFailedFailure { failure };
        return Err(Reject::with_detail(code::INVALID_ARGUMENT, message, &detail).into());
    }
    Ok(QueryWorkflowResponse { query_result, ..Default::default() })
}

/// A worker's answer to a query that came on a task of its own.
pub async fn completed(
    frontend: &Frontend,
    call: Call<RespondQueryTaskCompletedRequest>,
) -> Result<RespondQueryTaskCompletedResponse, ApiError> {
    let token = call.message.task_token.clone();
    let namespace = frontend.namespace_of_task(&call, &call.message.namespace, Kind::Query, &token).await?;
    let opened: Result<QueryRef, Reject> =
        frontend.tokens()?.open(Kind::Query, &namespace.id, &token).map_err(bad_task_token);
    let asked = opened?;
    let mut answer = call.message;
    if validate::blob_is_too_big(answer.query_result.as_ref(), &frontend.config.limits) {
        answer = QueryAnswer {
            completed_type: QueryResultType::Failed as i32,
            error_message: "Blob data size exceeds limit.".into(),
            ..Default::default()
        };
    }
    if let Some(short) = validate::shortened_failure(answer.failure.as_ref(), &frontend.config.limits) {
        answer.failure = Some(short);
    }
    if !frontend.matching.complete_query(asked.origin_node, asked.id, answer).await {
        return Err(Reject::not_found("query task not found, or already expired").into());
    }
    Ok(RespondQueryTaskCompletedResponse {})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: Status, previous_started_event_id: i64, task: Option<(i64, i32)>) -> state::Run {
        let task = task.map(|(started_event_id, attempt)| state::WorkflowTask {
            started_event_id,
            attempt,
            ..Default::default()
        });
        state::Run { status: status as i32, previous_started_event_id, task, ..Default::default() }
    }

    #[test]
    fn a_status_can_be_unwanted() {
        let closed = run(Status::Failed, 3, None);
        assert_eq!(rejected(&closed, QueryRejectCondition::NotOpen), Some(Status::Failed));
        assert_eq!(rejected(&closed, QueryRejectCondition::NotCompletedCleanly), Some(Status::Failed));
        assert_eq!(rejected(&closed, QueryRejectCondition::None), None);
        let done = run(Status::Completed, 3, None);
        assert_eq!(rejected(&done, QueryRejectCondition::NotCompletedCleanly), None);
        assert_eq!(rejected(&run(Status::Running, 3, None), QueryRejectCondition::NotOpen), None);
    }

    #[test]
    fn workflows_that_cannot_be_queried() {
        let text = |run: &state::Run| require_ready(run).map_err(|reject| reject.message().to_owned());
        let never = text(&run(Status::Terminated, 0, Some((0, 1))));
        assert_eq!(never, Err("Workflow execution closed before WorkflowTaskStarted event".into()));
        let delayed = text(&run(Status::Running, 0, None));
        assert_eq!(delayed, Err("Workflow task is not scheduled yet.".into()));
        let failing = text(&run(Status::Running, 3, Some((0, 3))));
        assert_eq!(failing, Err("Unable to query workflow due to Workflow Task in failed state.".into()));
        for ready in
            [run(Status::Running, 3, None), run(Status::Running, 0, Some((0, 1))), run(Status::Completed, 3, None)]
        {
            assert_eq!(text(&ready), Ok(()));
        }
    }

    #[test]
    fn an_open_task_is_waited_for() {
        assert!(is_idle(&run(Status::Running, 3, None)));
        assert!(!is_idle(&run(Status::Running, 3, Some((0, 1)))));
        assert!(is_idle(&run(Status::Completed, 3, Some((0, 1)))));
    }
}
