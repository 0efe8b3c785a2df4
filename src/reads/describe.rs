//! DescribeWorkflowExecution (SEMANTICS B27), and finding the run a request names.

use proto::temporal::api::activity::v1::ActivityOptions;
use proto::temporal::api::common::v1::{ActivityType, RetryPolicy, WorkflowExecution, WorkflowType};
use proto::temporal::api::enums::v1::{CallbackState, PendingActivityState, PendingWorkflowTaskState, TaskQueueKind};
use proto::temporal::api::taskqueue::v1::TaskQueue;
use proto::temporal::api::workflow::v1::callback_info::{trigger::Variant, Trigger, WorkflowClosed};
use proto::temporal::api::workflow::v1::pending_activity_info::pause_info::{Manual, PausedBy};
use proto::temporal::api::workflow::v1::pending_activity_info::{AssignedBuildId, PauseInfo};
use proto::temporal::api::workflow::v1::{
    CallbackInfo, PendingActivityInfo, PendingChildExecutionInfo, PendingWorkflowTaskInfo, RequestIdInfo,
    WorkflowExecutionConfig, WorkflowExecutionExtendedInfo, WorkflowExecutionInfo, WorkflowExecutionPauseInfo,
};
use proto::temporal::api::workflowservice::v1::DescribeWorkflowExecutionResponse;
use statemachine::reject::Decided;
use statemachine::tables::{self, RunKey};
use statemachine::time::{duration, timestamp, timestamp_if_set, SECOND};
use statemachine::{state, Kv, Reject};

/// How Go shows a time that was never set; what Describe gives for a run without a timeout (§F).
const YEAR_ONE: prost_types::Timestamp = prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 };

/// The run a request names; without a run id, the workflow's latest.
pub fn resolve(kv: &dyn Kv, namespace_id: &str, workflow_id: &str, run_id: &str) -> Decided<(RunKey, state::Run)> {
    if run_id.is_empty() {
        let missing = || Reject::not_found(format!("workflow not found for ID: {workflow_id}"));
        let current = tables::current(kv, namespace_id, workflow_id)?.ok_or_else(missing)?;
        return find(kv, namespace_id, workflow_id, &current.run_id)?.ok_or_else(|| missing().into());
    }
    find(kv, namespace_id, workflow_id, run_id)?.ok_or_else(|| {
        let what = format!("workflow execution not found for workflow ID \"{workflow_id}\" and run ID \"{run_id}\"");
        Reject::not_found(what).into()
    })
}

fn find(kv: &dyn Kv, namespace_id: &str, workflow_id: &str, run_id: &str) -> Decided<Option<(RunKey, state::Run)>> {
    let key =
        RunKey::new(namespace_id, workflow_id, run_id).ok_or_else(|| Reject::invalid_argument("Invalid RunId."))?;
    let run = tables::run(kv, key)?;
    Ok(run.filter(|run| run.workflow_id == workflow_id && run.namespace_id == namespace_id).map(|run| (key, run)))
}

/// Describes a run as of `now`, which tells a retry that is waited for from one that is due.
pub fn describe(
    kv: &dyn Kv,
    namespace_id: &str,
    workflow_id: &str,
    run_id: &str,
    now: i64,
) -> Decided<DescribeWorkflowExecutionResponse> {
    let (key, run) = resolve(kv, namespace_id, workflow_id, run_id)?;
    let activities = tables::activities(kv, key)?;
    let children = tables::children(kv, key)?;
    Ok(DescribeWorkflowExecutionResponse {
        execution_config: Some(config(&run)),
        workflow_execution_info: Some(info(&run)),
        pending_activities: activities.iter().map(|activity| pending_activity(activity, now)).collect(),
        pending_children: children.into_iter().map(pending_child).collect(),
        pending_workflow_task: run.task.as_ref().filter(|_| run.close_time == 0).map(pending_task),
        callbacks: callbacks(kv, key, &run)?,
        workflow_extended_info: Some(extended_info(&run)),
        ..Default::default()
    })
}

/// The completion callbacks of a run, in the order in which they were attached.
fn callbacks(kv: &dyn Kv, key: RunKey, run: &state::Run) -> Decided<Vec<CallbackInfo>> {
    if run.callbacks == 0 {
        return Ok(Vec::new());
    }
    let shown = tables::callbacks(kv, key)?.into_iter().map(|row| CallbackInfo {
        trigger: Some(Trigger { variant: Some(Variant::WorkflowClosed(WorkflowClosed {})) }),
        registration_time: Some(timestamp(row.registration_time)),
        state: row.state,
        attempt: row.attempt,
        last_attempt_complete_time: timestamp_if_set(row.last_attempt_time),
        next_attempt_schedule_time: match row.state() {
            CallbackState::BackingOff => Some(timestamp(row.ready_time)),
            _ => None,
        },
        last_attempt_failure: row.last_failure,
        callback: row.callback,
        ..Default::default()
    });
    Ok(shown.collect())
}

fn duration_if_set(nanos: i64) -> Option<prost_types::Duration> {
    (nanos != 0).then(|| duration(nanos))
}

fn config(run: &state::Run) -> WorkflowExecutionConfig {
    WorkflowExecutionConfig {
        task_queue: Some(TaskQueue {
            name: run.task_queue.clone(),
            kind: TaskQueueKind::Normal as i32,
            ..Default::default()
        }),
        workflow_execution_timeout: duration_if_set(run.execution_timeout),
        workflow_run_timeout: (run.run_timeout != 0 || run.run_timeout_given).then(|| duration(run.run_timeout)),
        default_workflow_task_timeout: Some(duration(run.task_timeout)),
        user_metadata: run.user_metadata.clone(),
    }
}

#[expect(deprecated, reason = "Temporal still fills most_recent_worker_version_stamp, and people look at it")]
fn info(run: &state::Run) -> WorkflowExecutionInfo {
    let closed = run.close_time != 0;
    let parent = run.parent.as_ref();
    let execution = WorkflowExecution { workflow_id: run.workflow_id.clone(), run_id: run.run_id.clone() };
    WorkflowExecutionInfo {
        execution: Some(execution.clone()),
        r#type: Some(WorkflowType { name: run.workflow_type.clone() }),
        start_time: Some(timestamp(run.start_time)),
        close_time: timestamp_if_set(run.close_time),
        status: run.status,
        history_length: run.next_event_id - 1,
        parent_namespace_id: parent.map(|parent| parent.namespace_id.clone()).unwrap_or_default(),
        parent_execution: parent
            .map(|parent| WorkflowExecution { workflow_id: parent.workflow_id.clone(), run_id: parent.run_id.clone() }),
        execution_time: Some(timestamp(run.execution_time)),
        memo: Some(run.memo.clone().unwrap_or_default()),
        search_attributes: Some(run.search_attributes.clone().unwrap_or_default()),
        auto_reset_points: Some(run.reset_points.clone().unwrap_or_default()),
        task_queue: run.task_queue.clone(),
        state_transition_count: run.state_transitions,
        history_size_bytes: run.history_size,
        most_recent_worker_version_stamp: run.worker_version.clone(),
        execution_duration: closed.then(|| duration(run.close_time - run.execution_time)),
        // Only children have another root than themselves.
        root_execution: Some(run.root.clone().unwrap_or(execution)),
        first_run_id: run.first_run_id.clone(),
        versioning_info: run.versioning.clone(),
        worker_deployment_name: run.worker_deployment_name.clone(),
        priority: run.priority.clone(),
        ..Default::default()
    }
}

fn extended_info(run: &state::Run) -> WorkflowExecutionExtendedInfo {
    let request_ids = run.request_ids.iter().map(|(request_id, seen)| {
        let event_id = if seen.buffered { 0 } else { seen.event_id };
        (request_id.clone(), RequestIdInfo { event_type: seen.event_type, event_id, buffered: seen.buffered })
    });
    WorkflowExecutionExtendedInfo {
        execution_expiration_time: timestamp_if_set(run.execution_deadline),
        run_expiration_time: Some(run_expiration(run)),
        cancel_requested: run.cancel_requested,
        last_reset_time: timestamp_if_set(run.last_reset_time),
        original_start_time: Some(timestamp(if run.original_start_time != 0 {
            run.original_start_time
        } else {
            run.start_time
        })),
        reset_run_id: run.reset_run_id.clone(),
        request_id_infos: request_ids.collect(),
        pause_info: run.pause.as_ref().map(|pause| WorkflowExecutionPauseInfo {
            identity: pause.identity.clone(),
            paused_time: timestamp_if_set(pause.time),
            reason: pause.reason.clone(),
        }),
        ..Default::default()
    }
}

/// When the run times out, or would have: its own timeout counts from its first workflow task.
fn run_expiration(run: &state::Run) -> prost_types::Timestamp {
    match (run.run_deadline, run.run_timeout) {
        (0, 0) => YEAR_ONE,
        (0, timeout) => timestamp(run.execution_time.saturating_add(timeout)),
        (deadline, _) => timestamp(deadline),
    }
}

fn pending_task(task: &state::WorkflowTask) -> PendingWorkflowTaskInfo {
    let started = task.started_event_id != 0;
    let state = if started { PendingWorkflowTaskState::Started } else { PendingWorkflowTaskState::Scheduled };
    let original = if task.original_scheduled_time != 0 { task.original_scheduled_time } else { task.scheduled_time };
    PendingWorkflowTaskInfo {
        state: state as i32,
        scheduled_time: Some(timestamp(task.scheduled_time)),
        original_scheduled_time: Some(timestamp(original)),
        started_time: started.then(|| timestamp(task.started_time)),
        attempt: task.attempt,
    }
}

fn pending_child(child: state::Child) -> PendingChildExecutionInfo {
    PendingChildExecutionInfo {
        workflow_id: child.workflow_id,
        run_id: child.run_id,
        workflow_type_name: child.workflow_type,
        initiated_id: child.initiated_event_id,
        parent_close_policy: child.parent_close_policy,
    }
}

/// One pending activity (Temporal 1.31: service/history/workflow/activity.go, GetPendingActivityInfo).
#[expect(deprecated, reason = "Temporal still fills assigned_build_id")]
fn pending_activity(activity: &state::Activity, now: i64) -> PendingActivityInfo {
    let details = activity.heartbeat_details.clone();
    let mut info = PendingActivityInfo {
        activity_id: activity.activity_id.clone(),
        activity_type: Some(ActivityType { name: activity.activity_type.clone() }),
        state: activity_state(activity) as i32,
        heartbeat_details: details.filter(|details| !details.payloads.is_empty()),
        last_heartbeat_time: timestamp_if_set(activity.last_heartbeat_time),
        last_started_time: timestamp_if_set(activity.started_time),
        attempt: activity.attempt.max(1),
        maximum_attempts: activity.retry_policy.as_ref().map_or(0, |policy| policy.maximum_attempts),
        scheduled_time: Some(timestamp(attempt_scheduled_time(activity))),
        expiration_time: (activity.schedule_to_close != 0)
            .then(|| timestamp(activity.scheduled_time.saturating_add(activity.schedule_to_close))),
        last_failure: activity.last_failure.clone(),
        last_worker_identity: last_worker(activity).to_owned(),
        last_attempt_complete_time: timestamp_if_set(activity.last_attempt_complete_time),
        paused: activity.pause.is_some(),
        last_deployment_version: activity.last_deployment_version.clone(),
        priority: activity.priority.clone(),
        pause_info: activity.pause.as_ref().map(pause_info),
        activity_options: Some(options(activity)),
        assigned_build_id: activity.use_workflow_build_id.then_some(AssignedBuildId::UseWorkflowBuildId(())),
        ..Default::default()
    };
    if activity.started_time == 0 && !activity.cancel_requested {
        retry_times(activity, now, &mut info);
    }
    info
}

fn attempt_scheduled_time(activity: &state::Activity) -> i64 {
    match (activity.retry_due, activity.attempt_scheduled_time) {
        (0, 0) => activity.scheduled_time,
        (0, due) => due,
        (due, _) => due,
    }
}

fn last_worker(activity: &state::Activity) -> &str {
    if activity.identity.is_empty() {
        &activity.last_worker_identity
    } else {
        &activity.identity
    }
}

fn activity_state(activity: &state::Activity) -> PendingActivityState {
    match (activity.cancel_requested, activity.started_time != 0, activity.pause.is_some()) {
        (true, ..) => PendingActivityState::CancelRequested,
        (false, true, false) => PendingActivityState::Started,
        (false, true, true) => PendingActivityState::PauseRequested,
        (false, false, false) => PendingActivityState::Scheduled,
        (false, false, true) => PendingActivityState::Paused,
    }
}

/// When an activity that no worker has is tried next, and the interval after which that is.
fn retry_times(activity: &state::Activity, now: i64, info: &mut PendingActivityInfo) {
    let due = attempt_scheduled_time(activity);
    if now < due {
        info.next_attempt_schedule_time = Some(timestamp(due));
        info.current_retry_interval = Some(duration(due - activity.last_attempt_complete_time.min(due)));
    } else if let Some(policy) = &activity.retry_policy {
        info.current_retry_interval = Some(duration(backoff(policy, activity.attempt)));
    }
}

/// The wait before an attempt, uncapped: that is how Temporal shows it once it is over.
fn backoff(policy: &RetryPolicy, attempt: i32) -> i64 {
    let initial = policy.initial_interval.as_ref().map_or(SECOND, statemachine::time::nanos_of);
    let mut wait = initial as f64;
    for _ in 1..attempt {
        wait *= policy.backoff_coefficient;
        if wait >= i64::MAX as f64 {
            return i64::MAX;
        }
    }
    wait as i64
}

fn pause_info(pause: &state::PauseInfo) -> PauseInfo {
    PauseInfo {
        pause_time: timestamp_if_set(pause.time),
        paused_by: Some(PausedBy::Manual(Manual { identity: pause.identity.clone(), reason: pause.reason.clone() })),
    }
}

fn options(activity: &state::Activity) -> ActivityOptions {
    let policy = activity.retry_policy.as_ref();
    ActivityOptions {
        task_queue: Some(TaskQueue {
            name: activity.task_queue.clone(),
            normal_name: activity.task_queue.clone(),
            ..Default::default()
        }),
        schedule_to_close_timeout: Some(duration(activity.schedule_to_close)),
        schedule_to_start_timeout: Some(duration(activity.schedule_to_start)),
        start_to_close_timeout: Some(duration(activity.start_to_close)),
        heartbeat_timeout: Some(duration(activity.heartbeat)),
        // Temporal leaves the types that are not retried out (§F).
        retry_policy: policy.map(|policy| RetryPolicy { non_retryable_error_types: Vec::new(), ..policy.clone() }),
        priority: activity.priority.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "describe_test.rs"]
mod tests;
