//! Scheduling: what a command may say, and what the worker gets of it.

use super::*;

#[test]
fn bad_schedule_attributes_fail_the_task() {
    fn name(length: usize) -> Option<TaskQueue> {
        Some(TaskQueue { name: "q".repeat(length), ..Default::default() })
    }
    let cases: Vec<(Given<'_>, &str)> = vec![
        (
            &|a| a.start_to_close_timeout = None,
            "a valid StartToClose or ScheduleToCloseTimeout is not set on ScheduleActivityTaskCommand. ActivityId=a ActivityType=Act",
        ),
        (&|a| a.start_to_close_timeout = Some(duration(-SECOND)), "invalid StartToCloseTimeout: negative duration"),
        (&|a| a.activity_id.clear(), "activityId is not set"),
        (&|a| a.activity_id = "i".repeat(1001), "activityId exceeds length limit. Length=1001 Limit=1000"),
        (&|a| a.activity_type = None, "activityType is not set"),
        (&|a| a.task_queue = None, "taskQueue is not set"),
        (&|a| a.task_queue = name(0), "missing task queue name"),
        (&|a| a.task_queue = name(1001), "taskQueue length exceeds limit"),
        (
            &|a| a.task_queue = Some(TaskQueue { name: "/_sys/mine".into(), ..Default::default() }),
            "task queue name cannot start with reserved prefix /_sys/",
        ),
        (&|a| a.retry_policy = policy(-SECOND, 0), "invalid InitialInterval set on retry policy: negative duration"),
        (
            &|a| a.priority = Some(Priority { priority_key: -1, ..Default::default() }),
            "invalid priorities: priority key can't be negative",
        ),
    ];
    for (change, text) in cases {
        let mut world = World { harness: Harness::default(), task: None };
        world.start(None);
        world.take_task();
        let answered = world.answer(vec![schedule("a", change)]);
        let expected = format!("BadScheduleActivityAttributes: {text}");
        assert_eq!(refusal(&answered), (code::INVALID_ARGUMENT, expected.as_str()));
    }
}

#[test]
fn pending_activities_have_unique_ids_and_a_limit() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    world.signal();
    world.take_task();
    let twice = world.answer(vec![schedule("a", &|_| {})]);
    let text = "ScheduleActivityDuplicateId: invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: a";
    assert_eq!(refusal(&twice), (code::INVALID_ARGUMENT, text));

    let mut world = World { harness: Harness::default(), task: None };
    world.start(None);
    world.take_task();
    let answered = world.answer((0..2001).map(|n| schedule(&format!("a{n}"), &|_| {})).collect());
    let text = "PendingActivitiesLimitExceeded: the number of pending activities, 2000, has reached the per-workflow limit of 2000";
    assert_eq!(refusal(&answered), (code::INVALID_ARGUMENT, text));
    assert!(world.nothing_ready());
}

#[test]
fn oversized_input_ends_the_workflow() {
    let mut world = World { harness: Harness::default(), task: None };
    world.start(None);
    world.take_task();
    let answered = world.answer(vec![schedule("a", &|a| a.input = payloads(TOO_BIG))]);
    let text = "BadScheduleActivityAttributes: ScheduleActivityTaskCommandAttributes.Input exceeds size limit.";
    assert_eq!(refusal(&answered), (code::INVALID_ARGUMENT, text));
    assert!(!world.harness.run("w").expect("a run").is_open());
}

#[test]
fn a_task_carries_what_was_scheduled() {
    let mut world = World { harness: Harness::default(), task: None };
    world.start(Some(Priority { priority_key: 4, fairness_key: "tenant".into(), fairness_weight: 2.0 }));
    world.take_task();
    world.answer(vec![schedule("a", &|a| {
        a.input = payloads(3);
        a.priority = Some(Priority { priority_key: 2, ..Default::default() });
        a.retry_policy = policy(2 * SECOND, 4);
        a.schedule_to_close_timeout = Some(duration(50 * SECOND));
    })]);
    let (_, response) = world.poll();
    assert_eq!(response.input, payloads(3));
    assert_eq!(
        response.priority,
        Some(Priority { priority_key: 2, fairness_key: "tenant".into(), fairness_weight: 2.0 })
    );
    assert_eq!(response.schedule_to_close_timeout, Some(duration(50 * SECOND)));
    assert_eq!(response.heartbeat_timeout, Some(duration(0)));
    assert_eq!(response.retry_policy.expect("filled in").maximum_interval, Some(duration(200 * SECOND)));
    assert_eq!(world.row().priority.expect("its own").fairness_key, "");
}

#[test]
fn an_eager_task_comes_with_the_answer() {
    let mut world = World { harness: Harness::default(), task: None };
    world.start(None);
    world.take_task();
    let answered = world.answer(vec![schedule("a", &|a| {
        a.request_eager_execution = true;
        a.input = payloads(3);
    })]);
    let answer::Kind::CompleteWorkflowTask(done) = answered else { panic!("{answered:?}") };
    let eager = done.activities.into_iter().next().expect("a task");
    let response = eager.response.as_ref().expect("a response");
    assert_eq!((&response.input, &response.retry_policy), (&payloads(3), &None));
    assert!(world.nothing_ready());
    assert_eq!(world.taken_along(), std::slice::from_ref(&eager), "a repeated call finds the task again");
    assert_done(world.fail(eager.task, "first"));
    assert_eq!(world.taken_along(), []);
    world.tick(SECOND);
    let (second, response) = world.poll();
    assert!(response.attempt == 2 && response.retry_policy.is_some());
    assert_done(world.complete(second));
}
