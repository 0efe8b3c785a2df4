//! Descriptions of runs and activities in memory.

use proto::temporal::api::common::v1::{Callback, Payloads};
use proto::temporal::api::failure::v1::Failure;
use statemachine::reject::Stop;
use statemachine::tables::{id_text, put_activity, put_callback, put_current, put_run};
use statemachine::{MemoryKv, Txn};

use super::*;

fn namespace_id() -> String {
    id_text(&[7; 16])
}

fn run(workflow_id: &str, n: u8) -> state::Run {
    state::Run {
        namespace_id: namespace_id(),
        workflow_id: workflow_id.into(),
        run_id: id_text(&[n; 16]),
        status: 1,
        start_time: 100 * SECOND,
        execution_time: 110 * SECOND,
        task_timeout: 10 * SECOND,
        next_event_id: 6,
        ..Default::default()
    }
}

fn store(run: &state::Run, activities: &[state::Activity]) -> MemoryKv {
    let empty = MemoryKv::default();
    let mut txn = Txn::new(&empty);
    let key = RunKey::new(&run.namespace_id, &run.workflow_id, &run.run_id).expect("a UUID");
    put_run(&mut txn, key, run);
    let current = state::Current { run_id: run.run_id.clone(), ..Default::default() };
    put_current(&mut txn, &run.namespace_id, &run.workflow_id, &current);
    activities.iter().for_each(|activity| put_activity(&mut txn, key, activity));
    let mut kv = MemoryKv::default();
    kv.write(txn.into_writes());
    kv
}

fn described(run: &state::Run, activities: &[state::Activity], now: i64) -> DescribeWorkflowExecutionResponse {
    describe(&store(run, activities), &namespace_id(), &run.workflow_id, "", now).expect("a description")
}

fn activity() -> state::Activity {
    state::Activity {
        scheduled_event_id: 5,
        activity_id: "a1".into(),
        task_queue: "q".into(),
        scheduled_time: 120 * SECOND,
        attempt_scheduled_time: 120 * SECOND,
        attempt: 1,
        start_to_close: 10 * SECOND,
        retry_policy: Some(RetryPolicy {
            initial_interval: Some(duration(2 * SECOND)),
            backoff_coefficient: 1.5,
            maximum_interval: Some(duration(200 * SECOND)),
            maximum_attempts: 3,
            non_retryable_error_types: vec!["Fatal".into()],
        }),
        has_retry_policy: true,
        ..Default::default()
    }
}

fn shown(activity: state::Activity, now: i64) -> PendingActivityInfo {
    described(&run("w", 1), &[activity], now).pending_activities.remove(0)
}

#[test]
fn runs_are_found_by_id_and_by_run() {
    let run = run("w", 1);
    let kv = store(&run, &[]);
    let find = |workflow_id: &str, run_id: &str| match resolve(&kv, &namespace_id(), workflow_id, run_id) {
        Ok((_, found)) => found.run_id,
        Err(Stop::Reject(reject)) => reject.message().to_owned(),
        Err(Stop::Fault(fault)) => panic!("{fault}"),
    };
    let other = id_text(&[2; 16]);
    assert_eq!(find("w", ""), run.run_id);
    assert_eq!(find("w", &run.run_id), run.run_id);
    assert_eq!(find("x", ""), "workflow not found for ID: x");
    let missing = format!("workflow execution not found for workflow ID \"w\" and run ID \"{other}\"");
    assert_eq!(find("w", &other), missing);
    assert_eq!(find("w", "garbage"), "Invalid RunId.");
}

#[test]
fn a_minimal_run() {
    let answer = described(&run("w", 1), &[], 0);
    let info = answer.workflow_execution_info.expect("info");
    assert_eq!((info.history_length, info.close_time), (5, None));
    assert_eq!(info.root_execution, info.execution);
    assert!(info.memo.is_some() && info.search_attributes.is_some() && info.auto_reset_points.is_some());
    let config = answer.execution_config.expect("config");
    assert_eq!((config.workflow_execution_timeout, config.workflow_run_timeout), (None, None));
    assert_eq!(config.default_workflow_task_timeout, Some(duration(10 * SECOND)));
    let extended = answer.workflow_extended_info.expect("extended info");
    assert_eq!(extended.run_expiration_time, Some(YEAR_ONE));
    assert_eq!(extended.execution_expiration_time, None);
    assert_eq!(extended.original_start_time, Some(timestamp(100 * SECOND)));
    assert_eq!(answer.pending_workflow_task, None);
}

#[test]
fn timeouts_are_shown_after_the_close_too() {
    let open = state::Run {
        run_timeout: 30 * SECOND,
        execution_timeout: 60 * SECOND,
        run_deadline: 140 * SECOND,
        execution_deadline: 170 * SECOND,
        ..run("w", 1)
    };
    let closed = state::Run { run_deadline: 0, close_time: 130 * SECOND, ..open.clone() };
    for run in [open, closed] {
        let answer = described(&run, &[], 0);
        let extended = answer.workflow_extended_info.expect("extended info");
        assert_eq!(extended.run_expiration_time, Some(timestamp(140 * SECOND)));
        assert_eq!(extended.execution_expiration_time, Some(timestamp(170 * SECOND)));
    }
}

#[test]
fn the_pending_workflow_task() {
    let task =
        state::WorkflowTask { scheduled_event_id: 2, scheduled_time: 5 * SECOND, attempt: 2, ..Default::default() };
    let mut run = state::Run { task: Some(task.clone()), ..run("w", 1) };
    let pending = described(&run, &[], 0).pending_workflow_task.expect("a task");
    assert_eq!(pending.state(), PendingWorkflowTaskState::Scheduled);
    assert_eq!((pending.attempt, pending.started_time), (2, None));
    assert_eq!(pending.original_scheduled_time, Some(timestamp(5 * SECOND)));
    run.task = Some(state::WorkflowTask { started_event_id: 3, started_time: 6 * SECOND, ..task });
    let pending = described(&run, &[], 0).pending_workflow_task.expect("a task");
    assert_eq!(pending.state(), PendingWorkflowTaskState::Started);
    assert_eq!(pending.started_time, Some(timestamp(6 * SECOND)));
}

#[test]
fn a_scheduled_activity() {
    let info = shown(activity(), 130 * SECOND);
    assert_eq!(info.state(), PendingActivityState::Scheduled);
    assert_eq!((info.attempt, info.maximum_attempts), (1, 3));
    assert_eq!(info.current_retry_interval, Some(duration(2 * SECOND)));
    assert_eq!((info.next_attempt_schedule_time, info.expiration_time, info.last_started_time), (None, None, None));
    let options = info.activity_options.expect("options");
    assert_eq!(options.heartbeat_timeout, Some(duration(0)));
    assert_eq!(options.retry_policy.map(|policy| policy.non_retryable_error_types), Some(vec![]));
    assert_eq!(options.task_queue.map(|queue| queue.normal_name), Some("q".into()));
}

#[test]
fn an_activity_that_waits_for_its_retry() {
    let waiting = state::Activity {
        attempt: 2,
        last_attempt_complete_time: 131 * SECOND,
        retry_due: 133 * SECOND,
        attempt_scheduled_time: 133 * SECOND,
        last_failure: Some(Failure { message: "no".into(), ..Default::default() }),
        last_worker_identity: "worker".into(),
        ..activity()
    };
    let info = shown(waiting.clone(), 132 * SECOND);
    assert_eq!(info.next_attempt_schedule_time, Some(timestamp(133 * SECOND)));
    assert_eq!(info.current_retry_interval, Some(duration(2 * SECOND)));
    assert_eq!(info.last_attempt_complete_time, Some(timestamp(131 * SECOND)));
    assert_eq!(info.last_worker_identity, "worker");
    assert_eq!(info.last_failure.map(|failure| failure.message), Some("no".into()));
    let due = shown(state::Activity { retry_due: 0, ..waiting }, 134 * SECOND);
    assert_eq!((due.next_attempt_schedule_time, due.current_retry_interval), (None, Some(duration(3 * SECOND))));
}

#[test]
fn activities_that_run_are_cancelled_or_paused() {
    let started = state::Activity {
        started_time: 125 * SECOND,
        identity: "worker-2".into(),
        last_worker_identity: "worker-1".into(),
        schedule_to_close: 50 * SECOND,
        last_heartbeat_time: 126 * SECOND,
        heartbeat_details: Some(Payloads { payloads: vec![Default::default()] }),
        ..activity()
    };
    let info = shown(started.clone(), 130 * SECOND);
    assert_eq!(info.state(), PendingActivityState::Started);
    assert_eq!((info.current_retry_interval, info.last_worker_identity.as_str()), (None, "worker-2"));
    assert_eq!(info.expiration_time, Some(timestamp(170 * SECOND)));
    assert!(info.heartbeat_details.is_some() && info.last_heartbeat_time.is_some());
    let pause =
        Some(state::PauseInfo { identity: "me".into(), reason: "why".into(), time: SECOND, ..Default::default() });
    for (cancel_requested, started_time, pause, state) in [
        (true, 125, None, PendingActivityState::CancelRequested),
        (true, 125, pause.clone(), PendingActivityState::CancelRequested),
        (false, 125, pause.clone(), PendingActivityState::PauseRequested),
        (false, 0, pause, PendingActivityState::Paused),
    ] {
        let paused = pause.is_some();
        let changed = state::Activity { cancel_requested, started_time, pause, ..started.clone() };
        let info = shown(changed, 130 * SECOND);
        assert_eq!((info.state(), info.paused, info.pause_info.is_some()), (state, paused, paused));
    }
}

#[test]
fn backoffs_grow_without_bound_but_fit() {
    let policy = RetryPolicy { backoff_coefficient: 10.0, ..Default::default() };
    assert_eq!(backoff(&policy, 1), SECOND);
    assert_eq!(backoff(&policy, 3), 100 * SECOND);
    assert_eq!(backoff(&policy, 1000), i64::MAX);
}

#[test]
fn callbacks_show_how_far_they_are() {
    let run = state::Run { callbacks: 2, ..run("w", 1) };
    let mut kv = store(&run, &[]);
    let key = RunKey::new(&run.namespace_id, &run.workflow_id, &run.run_id).expect("a UUID");
    let waiting = state::Callback {
        number: 1,
        callback: Some(Callback::default()),
        registration_time: 100 * SECOND,
        state: CallbackState::BackingOff as i32,
        attempt: 2,
        last_attempt_time: 200 * SECOND,
        last_failure: Some(Failure { message: "no".into(), ..Default::default() }),
        ready_time: 202 * SECOND,
        ..Default::default()
    };
    let done = state::Callback {
        number: 2,
        state: CallbackState::Succeeded as i32,
        last_failure: None,
        ready_time: 0,
        ..waiting.clone()
    };
    let mut txn = Txn::new(&kv);
    put_callback(&mut txn, key, &waiting);
    put_callback(&mut txn, key, &done);
    let writes = txn.into_writes();
    kv.write(writes);
    let shown = describe(&kv, &namespace_id(), "w", "", 0).expect("a description").callbacks;
    assert_eq!(shown[0].next_attempt_schedule_time, Some(timestamp(202 * SECOND)));
    assert_eq!(shown[0].last_attempt_failure.as_ref().map(|failure| failure.message.as_str()), Some("no"));
    assert_eq!((shown[0].state(), shown[0].attempt), (CallbackState::BackingOff, 2));
    assert_eq!((shown[1].state(), shown[1].next_attempt_schedule_time), (CallbackState::Succeeded, None));
}
