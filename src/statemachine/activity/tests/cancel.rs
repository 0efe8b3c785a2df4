//! Cancelling by command.

use super::*;

#[test]
fn a_cancel_request_ends_retries_and_is_made_once() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let (task, _) = world.poll();
    assert_eq!(refusal(&world.cancel(task.clone())), (code::INVALID_ARGUMENT, texts::CANCEL_NOT_REQUESTED));
    world.signal();
    world.take_task();
    assert_done(world.answer(vec![request_cancel(5)]));
    world.signal();
    world.take_task();
    let text = "BadRequestCancelActivityAttributes: invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: 5";
    assert_eq!(refusal(&world.answer(vec![request_cancel(5)])), (code::INVALID_ARGUMENT, text));
    assert_done(world.fail(task, "boom"));
    world.take_task();
    assert_eq!(world.failed().retry_state(), RetryState::CancelRequested);
}

#[test]
fn an_activity_whose_end_is_held_back_may_still_be_asked_to_cancel() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    let (task, _) = world.poll();
    world.signal();
    world.take_task();
    assert_done(world.complete(task));
    assert_done(world.answer(vec![request_cancel(5)]));
    let kinds: Vec<_> = world.events().into_iter().skip(8).map(|event| event.attributes).collect();
    assert!(matches!(kinds[1], Some(Attributes::ActivityTaskCancelRequestedEventAttributes(_))), "{kinds:?}");
    assert!(matches!(kinds[3], Some(Attributes::ActivityTaskCompletedEventAttributes(_))), "{kinds:?}");
}

#[test]
fn an_unstarted_activity_is_cancelled_after_all_other_events() {
    let mut world = World::new(vec![schedule("a", &|_| {})]);
    world.signal();
    world.take_task();
    assert_done(world.answer(vec![request_cancel(5), schedule("b", &|_| {})]));
    let events = world.events();
    let Some(Attributes::ActivityTaskCanceledEventAttributes(canceled)) = &events[11].attributes else {
        panic!("{:?}", events[11])
    };
    assert_eq!((canceled.latest_cancel_requested_event_id, canceled.started_event_id), (10, 0));
    let details = canceled.details.clone().expect("details");
    assert_eq!(details.payloads[0].data.as_ref(), b"\"ACTIVITY_ID_NOT_STARTED\"");
    assert_eq!(canceled.identity, "worker");
}
