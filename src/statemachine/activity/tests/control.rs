//! What an operator does: pause, unpause, reset, options.

use super::*;

#[test]
fn a_paused_activity_waits_and_its_timeouts_stand_still() {
    let mut world = World::new(vec![schedule("a", &|a| a.schedule_to_close_timeout = Some(duration(5 * SECOND)))]);
    assert_done(world.pause("a"));
    assert_done(world.pause("a"));
    assert!(world.nothing_ready());
    assert_eq!(world.row().pause.expect("paused").reason, "maintenance");
    world.tick(6 * SECOND);
    assert!(world.activity_events().is_empty());
    assert_done(world.unpause("a"));
    assert!(!world.nothing_ready());
    world.tick(0);
    assert_eq!(world.timed_out().retry_state(), RetryState::Timeout);
    assert_eq!(refusal(&world.unpause("a")), (code::NOT_FOUND, texts::NOT_PENDING));
}

#[test]
fn a_running_activity_stays_paused_after_it_fails() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(500 * MILLISECOND, 0))]);
    let (task, _) = world.poll();
    assert_done(world.pause("a"));
    match world.heartbeat(&task, payloads(2)) {
        answer::Kind::Heartbeat(beat) => assert!(beat.paused && !beat.cancel_requested),
        other => panic!("{other:?}"),
    }
    assert_done(world.fail(task, "stopped"));
    let row = world.row();
    assert_eq!((row.attempt, row.current_retry_interval, row.started_time), (2, SECOND, 0));
    assert_eq!(row.last_failure, application("stopped"));
    world.tick(10 * SECOND);
    assert!(world.nothing_ready());
    assert_done(world.unpause("a"));
    let (second, response) = world.poll();
    assert_eq!((response.attempt, response.heartbeat_details), (2, payloads(2)));
    assert_done(world.complete(second));
    assert_eq!(world.started().last_failure, None);
}

#[test]
fn a_reset_in_backoff_starts_over_at_once() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(100 * SECOND, 0))]);
    let (task, _) = world.poll();
    assert_done(world.heartbeat(&task, payloads(2)));
    assert_done(world.fail(task, "first"));
    assert_done(world.reset(false));
    let row = world.row();
    assert_eq!((row.attempt, row.last_failure.clone(), row.current_retry_interval), (1, None, 100 * SECOND));
    assert_eq!(row.heartbeat_details, payloads(2));
    assert_eq!(world.poll().1.attempt, 1);
}

#[test]
fn a_reset_first_attempt_goes_on_and_hears_of_it() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(3 * SECOND, 0))]);
    let (task, _) = world.poll();
    assert_done(world.heartbeat(&task, payloads(2)));
    assert_done(world.reset(true));
    match world.heartbeat(&task, payloads(3)) {
        answer::Kind::Heartbeat(beat) => assert!(beat.reset),
        other => panic!("{other:?}"),
    }
    assert_done(world.fail(task, "stopped"));
    let row = world.row();
    assert_eq!((row.attempt, row.heartbeat_details, row.last_heartbeat_time), (2, None, 0));
    world.tick(3 * SECOND);
    let (second, _) = world.poll();
    match world.heartbeat(&second, None) {
        answer::Kind::Heartbeat(beat) => assert!(!beat.reset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reset_later_attempt_is_cut_off_until_it_times_out() {
    let mut world = World::new(vec![schedule("a", &|a| a.retry_policy = policy(SECOND, 0))]);
    let (first, _) = world.poll();
    assert_done(world.fail(first.clone(), "first"));
    world.tick(SECOND);
    let (second, _) = world.poll();
    assert_done(world.reset(false));
    assert_eq!(refusal(&world.complete(second)), (code::NOT_FOUND, texts::NOT_RUNNING));
    assert_eq!(refusal(&world.complete(first)), (code::NOT_FOUND, texts::NOT_RUNNING));
    world.tick(10 * SECOND);
    assert_eq!(world.row().attempt, 2);
}

#[test]
fn options_change_by_mask_and_can_be_restored() {
    let mut world = World::new(vec![schedule("a", &|a| {
        a.schedule_to_close_timeout = Some(duration(600 * SECOND));
        a.start_to_close_timeout = Some(duration(60 * SECOND));
        a.retry_policy = policy(100 * SECOND, 9);
    })]);
    let (first, _) = world.poll();
    assert_done(world.fail(first, "first"));
    let given = ActivityOptions {
        start_to_close_timeout: Some(duration(30 * SECOND)),
        heartbeat_timeout: Some(duration(5 * SECOND)),
        task_queue: Some(TaskQueue { name: "other".into(), ..Default::default() }),
        retry_policy: policy(2 * SECOND, 2),
        ..Default::default()
    };
    let mask = ["start_to_close_timeout", "retryPolicy.initialInterval", "task_queue.name"];
    let answered = world.update(&mask, Some(given), false);
    let answer::Kind::UpdateActivityOptions(answer) = answered else { panic!("{answered:?}") };
    let options = answer.response.and_then(|response| response.activity_options).expect("options");
    assert_eq!(options.start_to_close_timeout.as_ref().map(nanos_of), Some(30 * SECOND));
    assert_eq!(options.heartbeat_timeout.as_ref().map(nanos_of), Some(0));
    let changed = options.retry_policy.expect("a policy");
    assert_eq!((changed.initial_interval, changed.maximum_attempts), (Some(duration(2 * SECOND)), 9));
    let row = world.row();
    assert_eq!((row.current_retry_interval, row.last_failure), (4 * SECOND, None));
    world.tick(4 * SECOND);
    let (second, response) = world.poll_queue("other");
    assert_eq!(response.start_to_close_timeout, Some(duration(60 * SECOND)), "the event's, as in Temporal");
    assert_done(world.fail(second, "second"));
    let answered = world.update(&[], None, true);
    assert_done(answered);
    let row = world.row();
    assert_eq!((row.task_queue.as_str(), row.current_retry_interval), ("q", 400 * SECOND));
    assert_eq!(row.retry_due, world.harness.now + 400 * SECOND);
}

#[test]
fn bad_option_changes_say_what_is_missing() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let timeout = |by| Some(ActivityOptions { start_to_close_timeout: Some(duration(by)), ..Default::default() });
    let priority = Some(ActivityOptions {
        priority: Some(Priority { priority_key: -1, ..Default::default() }),
        ..Default::default()
    });
    let path = "start_to_close_timeout";
    let cases: [(&[&str], _, bool, &str); 6] = [
        (&[path], None, false, texts::OPTIONS_MISSING),
        (&[], timeout(SECOND), false, texts::MASK_MISSING),
        (&[path], timeout(SECOND), true, texts::MASK_AND_RESTORE),
        (&[path], timeout(-SECOND), false, "invalid StartToCloseTimeout: negative duration"),
        (&["task_queue.name"], timeout(SECOND), false, texts::QUEUE_MISSING),
        (&["priority.priority_key"], priority, false, "priority key can't be negative"),
    ];
    for (mask, options, restore, text) in cases {
        assert_eq!(refusal(&world.update(mask, options, restore)), (code::INVALID_ARGUMENT, text));
    }
    assert_done(world.update(&["start_delay"], timeout(SECOND), false));
    assert_eq!(world.row().start_to_close, 10 * SECOND);
    assert!(!world.nothing_ready());
}
