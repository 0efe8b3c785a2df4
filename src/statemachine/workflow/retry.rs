//! What follows a run that ended by itself: a retry, the next run of a cron schedule, or nothing (SEMANTICS B9).

use proto::temporal::api::common::v1::Payloads;
use proto::temporal::api::enums::v1::{ContinueAsNewInitiator as Initiator, RetryState, TimeoutType};
use proto::temporal::api::failure::v1::{failure::FailureInfo, Failure, TimeoutFailureInfo};
use proto::temporal::api::history::v1::history_event::Attributes;
use proto::temporal::api::history::v1::{HistoryEvent, WorkflowExecutionStartedEventAttributes};

use super::continue_as_new::{facts_of, inherited};
use super::cron::Cron;
use super::run::Extras;
use super::start::NewRun;
use super::Run;
use crate::activity::retry as policy;
use crate::reject::Decided;
use crate::time::duration;
use crate::{tables, Context, Fault};

/// What happens when a run has failed or timed out.
#[expect(clippy::large_enum_variant, reason = "few of these exist at a time")]
#[derive(Debug)]
pub enum Next {
    Close(RetryState),
    Run { state: RetryState, start: NewRun },
}

/// What is wrong with a schedule that is not empty, in Temporal's words.
pub fn check_cron(schedule: &str) -> Result<(), &'static str> {
    let cron = Cron::parse(schedule).ok_or("invalid CronSchedule.")?;
    match cron.next(0, 0) {
        Some(_) => Ok(()),
        None => Err("invalid CronSchedule, no time can be found to satisfy the schedule"),
    }
}

/// Nanoseconds from `now` to the schedule's next time.
pub fn cron_wait(schedule: &str, start: i64, now: i64) -> Option<i64> {
    Some(Cron::parse(schedule)?.next(start, now)?.saturating_sub(now))
}

/// A run completed: its cron schedule goes on with the result.
pub fn after_completion(ctx: &mut Context<'_, '_>, run: &Run, result: Option<Payloads>) -> Decided<Option<NewRun>> {
    let Some(wait) = cron_wait(&run.row.cron_schedule, run.row.execution_time, ctx.now) else { return Ok(None) };
    if expires_within(run, ctx.now, wait) {
        return Ok(None);
    }
    let carried = Carried { failure: None, result, attempt: 1, backoff: wait, initiator: Initiator::CronSchedule };
    Ok(Some(next_run(ctx, run, carried)?))
}

/// A run failed: retried by its policy, else the cron schedule goes on.
pub fn after_failure(ctx: &mut Context<'_, '_>, run: &Run, failure: &Failure) -> Decided<Next> {
    let state = match retry_wait(ctx, run, failure) {
        Ok(backoff) => {
            let carried = Carried {
                failure: Some(failure.clone()),
                result: None,
                attempt: run.row.attempt + 1,
                backoff,
                initiator: Initiator::Retry,
            };
            return Ok(Next::Run { state: RetryState::InProgress, start: next_run(ctx, run, carried)? });
        }
        Err(state) => state,
    };
    let wait = cron_wait(&run.row.cron_schedule, run.row.execution_time, ctx.now);
    let Some(backoff) = wait.filter(|wait| !expires_within(run, ctx.now, *wait)) else {
        return Ok(Next::Close(state));
    };
    let result = if run.row.retry_policy.is_none() { last_result(ctx, run)? } else { None };
    let carried =
        Carried { failure: Some(failure.clone()), result, attempt: 1, backoff, initiator: Initiator::CronSchedule };
    Ok(Next::Run { state, start: next_run(ctx, run, carried)? })
}

/// A run timed out: the same as a failure of that kind.
pub fn after_run_timeout(ctx: &mut Context<'_, '_>, run: &Run) -> Decided<Next> {
    let failure = Failure {
        message: "workflow timeout".into(),
        source: "Server".into(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
            timeout_type: TimeoutType::StartToClose as i32,
            ..Default::default()
        })),
        ..Default::default()
    };
    let mut next = after_failure(ctx, run, &failure)?;
    if let Next::Run { start, .. } = &mut next {
        start.started.last_completion_result = last_result(ctx, run)?;
    }
    Ok(next)
}

/// How long a retry waits, or why there is none.
fn retry_wait(ctx: &Context<'_, '_>, run: &Run, failure: &Failure) -> Result<i64, RetryState> {
    let Some(retry) = &run.row.retry_policy else { return Err(RetryState::RetryPolicyNotSet) };
    if !policy::is_retryable(Some(failure), retry) {
        return Err(RetryState::NonRetryableFailure);
    }
    let asked = policy::asked_delay(Some(failure)).map(|delay| policy::within_maximum(retry, delay));
    policy::backoff(retry, run.row.attempt, asked, ctx.now, run.row.execution_deadline)
}

fn expires_within(run: &Run, now: i64, wait: i64) -> bool {
    run.row.execution_deadline != 0 && now.saturating_add(wait) > run.row.execution_deadline
}

/// What a following run gets of the one before it.
struct Carried {
    failure: Option<Failure>,
    result: Option<Payloads>,
    attempt: i32,
    backoff: i64,
    initiator: Initiator,
}

/// A run that starts with the inputs of this one.
fn next_run(ctx: &mut Context<'_, '_>, run: &Run, carried: Carried) -> Decided<NewRun> {
    let (first, event) = started_event(ctx, run)?;
    let request_id = ctx.new_id();
    let started = WorkflowExecutionStartedEventAttributes {
        workflow_type: first.workflow_type,
        task_queue: first.task_queue,
        input: first.input,
        workflow_run_timeout: first.workflow_run_timeout,
        workflow_task_timeout: first.workflow_task_timeout,
        header: first.header,
        memo: first.memo,
        search_attributes: first.search_attributes,
        retry_policy: first.retry_policy,
        cron_schedule: first.cron_schedule,
        attempt: carried.attempt,
        first_workflow_task_backoff: Some(duration(carried.backoff)),
        initiator: carried.initiator as i32,
        continued_failure: carried.failure,
        last_completion_result: carried.result,
        ..inherited(ctx, run)?
    };
    let extras = Extras { user_metadata: event.user_metadata, ..Default::default() };
    Ok(NewRun { namespace: facts_of(run), request_id, started, extras })
}

fn last_result(ctx: &Context<'_, '_>, run: &Run) -> Decided<Option<Payloads>> {
    Ok(started_event(ctx, run)?.0.last_completion_result)
}

fn started_event(ctx: &Context<'_, '_>, run: &Run) -> Decided<(WorkflowExecutionStartedEventAttributes, HistoryEvent)> {
    let first = tables::event(ctx.txn, run.key, 1)?;
    match first.attributes.clone() {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => Ok((started, first)),
        _ => Err(Fault::corrupt("history", "the first event is no start").into()),
    }
}
