//! The four timeouts and heartbeats.

use super::*;

#[test]
fn schedule_to_close_ends_retries_early() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.schedule_to_close_timeout = Some(duration(20 * SECOND));
        a.retry_policy = policy(30 * SECOND, 0);
    })]);
    let (first, _) = world.poll();
    assert_done(world.fail(first, "no time left"));
    assert_eq!(world.failed().retry_state(), RetryState::Timeout);
}

#[test]
fn schedule_to_start_times_out_without_a_start() {
    let mut world = World::new(vec![schedule("a", &|a| a.schedule_to_start_timeout = Some(duration(SECOND)))]);
    world.tick(SECOND);
    let timed_out = world.timed_out();
    assert_eq!((timed_out.retry_state(), timed_out.started_event_id), (RetryState::Timeout, 0));
    let failure = timed_out.failure.expect("a failure");
    assert_eq!((failure.message.as_str(), failure.source.as_str()), ("activity ScheduleToStart timeout", "Server"));
    assert!(world.nothing_ready());
}

#[test]
fn start_to_close_is_retried_and_its_failures_nest() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.start_to_close_timeout = Some(duration(2 * SECOND));
        a.retry_policy = policy(500 * MILLISECOND, 2);
    })]);
    let (first, _) = world.poll();
    assert_done(world.heartbeat(&first, payloads(4)));
    world.tick(2 * SECOND);
    assert_eq!(world.row().last_attempt_complete_time, 0);
    world.tick(500 * MILLISECOND);
    let (_, response) = world.poll();
    assert_eq!((response.attempt, response.heartbeat_details), (2, payloads(4)));
    world.tick(2 * SECOND);
    let timed_out = world.timed_out();
    assert_eq!(timed_out.retry_state(), RetryState::MaximumAttemptsReached);
    let failure = timed_out.failure.expect("a failure");
    let Some(FailureInfo::TimeoutFailureInfo(info)) = &failure.failure_info else { panic!("{failure:?}") };
    assert_eq!((info.timeout_type(), &info.last_heartbeat_details), (TimeoutType::StartToClose, &payloads(4)));
    let cause = failure.cause.expect("the first timeout");
    assert_eq!(cause.message, "activity StartToClose timeout");
    assert_eq!(world.started().last_failure, Some(*cause));
}

#[test]
fn schedule_to_close_ends_a_running_attempt() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.start_to_close_timeout = None;
        a.schedule_to_close_timeout = Some(duration(5 * SECOND));
        a.retry_policy = policy(500 * MILLISECOND, 0);
    })]);
    let (first, _) = world.poll();
    world.fail(first, "first");
    world.tick(500 * MILLISECOND);
    world.poll();
    world.tick(4500 * MILLISECOND);
    let timed_out = world.timed_out();
    let failure = timed_out.failure.clone().expect("a failure");
    assert_eq!((failure.message.as_str(), timed_out.retry_state()), (texts::NO_TIME_LEFT, RetryState::Timeout));
    assert_eq!(failure.cause.map(|cause| *cause), application("first"));
}

#[test]
fn heartbeats_keep_an_attempt_alive_and_write_no_deadline() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.heartbeat_timeout = Some(duration(5 * SECOND));
        a.retry_policy = policy(SECOND, 1);
        a.start_to_close_timeout = Some(duration(60 * SECOND));
    })]);
    let (task, _) = world.poll();
    for _ in 0..4 {
        world.tick(4 * SECOND);
        assert_done(world.heartbeat(&task, payloads(1)));
        assert_eq!(world.deadlines(), 1);
    }
    assert_done(world.heartbeat(&task, None));
    assert_eq!(world.row().heartbeat_details, None);
    world.tick(5 * SECOND);
    let failure = world.timed_out().failure.expect("a failure");
    assert_eq!(failure.message, "activity Heartbeat timeout");
}
