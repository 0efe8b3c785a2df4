//! Attempts and their ends: retries, tokens, ids, sizes.

use super::*;

#[test]
fn retries_leave_one_started_event_with_the_last_failure() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(500 * MILLISECOND, 2))]);
    let (first, _) = world.poll();
    assert_done(world.fail(first.clone(), "first"));
    assert_eq!(refusal(&world.complete(first.clone())), (code::NOT_FOUND, texts::NOT_RUNNING));
    let row = world.row();
    assert_eq!((row.attempt, row.current_retry_interval), (2, 500 * MILLISECOND));
    assert_eq!(row.last_attempt_complete_time, world.harness.now);
    world.tick(499 * MILLISECOND);
    assert!(world.nothing_ready());
    world.tick(MILLISECOND);
    let (second, _) = world.poll();
    assert_eq!(refusal(&world.heartbeat(&first, None)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.cancel(first)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_done(world.fail(second.clone(), "second"));
    let (started, failed) = (world.started(), world.failed());
    assert_eq!((started.attempt, started.last_failure), (2, application("first")));
    assert_eq!((failed.retry_state(), failed.failure), (RetryState::MaximumAttemptsReached, application("second")));
    assert_eq!(refusal(&world.complete(second)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(world.deadlines(), 0);
}

#[test]
fn a_started_event_has_the_time_of_the_start() {
    let time_of_start = |held_back: bool| {
        let mut world = World::new(vec![schedule("a", &|_| {})]);
        let (task, _) = world.poll();
        let start = world.harness.now;
        world.tick(SECOND);
        if held_back {
            world.signal();
            world.take_task();
        }
        assert_done(world.complete(task));
        if held_back {
            assert_done(world.answer(Vec::new()));
        }
        let is_start =
            |event: &HistoryEvent| matches!(event.attributes, Some(Attributes::ActivityTaskStartedEventAttributes(_)));
        let event = world.events().into_iter().find(is_start).expect("a started event");
        (event.event_time, Some(crate::time::timestamp(start)))
    };
    for held_back in [false, true] {
        let (written, expected) = time_of_start(held_back);
        assert_eq!(written, expected);
    }
}

#[test]
fn next_retry_delay_replaces_the_policys_delay_once() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.retry_policy = Some(RetryPolicy {
            initial_interval: Some(duration(100 * MILLISECOND)),
            maximum_interval: Some(duration(200 * MILLISECOND)),
            ..Default::default()
        });
    })]);
    let (first, _) = world.poll();
    let info = ApplicationFailureInfo { next_retry_delay: Some(duration(500 * SECOND)), ..Default::default() };
    let failure = Failure { failure_info: Some(FailureInfo::ApplicationFailureInfo(info)), ..Default::default() };
    world.propose(Kind::FailActivity(op::FailActivity { task: first, failure: Some(failure), ..Default::default() }));
    assert_eq!(world.row().current_retry_interval, 500 * SECOND);
    world.tick(500 * SECOND);
    let (second, _) = world.poll();
    world.fail(second, "no delay given");
    assert_eq!(world.row().current_retry_interval, 200 * MILLISECOND);
}

#[test]
fn oversized_payloads_fail_the_activity() {
    let finished = |check: &dyn Fn(&mut World, Option<TaskRef>)| {
        let mut world = World::new(vec![schedule("a", &|_| {})]);
        let (task, _) = world.poll();
        check(&mut world, task);
        let failed = world.failed();
        assert_eq!(failed.retry_state(), RetryState::NonRetryableFailure);
        failed.failure.expect("a failure").message
    };
    let completed = finished(&|world, task| {
        let op = op::CompleteActivity { task, result: payloads(TOO_BIG), ..Default::default() };
        assert_done(world.propose(Kind::CompleteActivity(op)));
    });
    assert_eq!(completed, texts::RESULT_TOO_LARGE);
    let beaten = finished(&|world, task| match world.heartbeat(&task, payloads(TOO_BIG)) {
        answer::Kind::Heartbeat(beat) => assert!(beat.cancel_requested),
        other => panic!("{other:?}"),
    });
    assert_eq!(beaten, texts::HEARTBEAT_TOO_LARGE);
    let cancelled = finished(&|world, task| {
        let op = op::CancelActivity { task, details: payloads(TOO_BIG), ..Default::default() };
        assert_done(world.propose(Kind::CancelActivity(op)));
    });
    assert_eq!(cancelled, texts::CANCEL_DETAILS_TOO_LARGE);
    let failed = finished(&|world, task| match world.fail(task, &"m".repeat(TOO_BIG + 1)) {
        answer::Kind::FailActivity(answer) => assert_eq!(answer.failures[0].message, texts::FAILURE_TOO_LARGE),
        other => panic!("{other:?}"),
    });
    assert_eq!(failed, texts::FAILURE_TOO_LARGE);
}

#[test]
fn by_id_an_unstarted_activity_can_only_be_completed() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let named = world.named("a");
    assert_eq!(refusal(&world.heartbeat(&named, None)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.fail(named.clone(), "no")), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.cancel(named.clone())), (code::NOT_FOUND, texts::NOT_RUNNING));
    let unknown = world.named("b");
    assert_eq!(refusal(&world.complete(unknown)), (code::NOT_FOUND, texts::unknown_id("b").as_str()));
    assert_done(world.complete(named.clone()));
    assert!(world.nothing_ready());
    let started = world.started();
    assert_eq!((started.identity.as_str(), started.request_id.as_str()), ("worker", ""));
    assert_eq!(refusal(&world.complete(named)), (code::NOT_FOUND, texts::unknown_id("a").as_str()));
}

#[test]
fn a_closed_run_keeps_its_activities_for_describe_only() {
    let mut world = World::new(vec![schedule("a", &|_| {}), schedule("b", &|_| {})]);
    let (task, _) = world.poll();
    let request = TerminateWorkflowExecutionRequest { workflow_execution: world.execution(), ..Default::default() };
    let namespace = Some(world.harness.namespace.clone());
    assert_done(world.propose(Kind::TerminateWorkflow(op::TerminateWorkflow { namespace, request: Some(request) })));
    let completed = "workflow execution already completed";
    assert_eq!(refusal(&world.complete(task)), (code::NOT_FOUND, completed));
    let named = world.named("a");
    assert_eq!(refusal(&world.complete(named)), (code::NOT_FOUND, completed));
    assert_eq!(refusal(&world.pause("a")), (code::NOT_FOUND, completed));
    assert!(world.nothing_ready() && world.row().started_time != 0);
    assert_eq!(world.deadlines(), 1, "only the retention is due");
}
