//! The synchronous core, step by step.

use proto::everstep::peer::v1::QueryTask;
use proto::temporal::api::taskqueue::v1::{RateLimit, RateLimitConfig, TaskQueueConfig};
use statemachine::{op, QueueKey};

use super::support::{queue, sticky_queue, task, Bench, HERE};
use crate::matching::types::{span, Exhausted, Limits, Started, Task};
use crate::matching::words::{Offered, Origin, Place, Polled, Reason};

fn small(buffered_per_queue: usize) -> Limits {
    Limits { buffered_per_queue, low_water: 2, ..Limits::default() }
}

#[test]
fn the_same_task_waits_once() {
    let mut bench = Bench::new(Limits::default());
    assert_eq!(bench.offer("a"), Offered::Kept);
    assert_eq!(bench.offer("a"), Offered::Known);
    assert_eq!(bench.poll("w").as_deref(), Some("a"));
    assert_eq!(bench.poll("w"), None);
}

#[test]
fn a_task_handed_out_is_known_for_two_seconds() {
    let mut bench = Bench::new(Limits::default());
    bench.offer("a");
    assert_eq!(bench.poll("w").as_deref(), Some("a"));
    bench.pass(1999);
    assert_eq!(bench.offer("a"), Offered::Known);
    bench.pass(1);
    assert_eq!(bench.offer("a"), Offered::Kept);
}

#[test]
fn another_attempt_is_another_task() {
    let mut bench = Bench::new(Limits::default());
    bench.offer("a");
    let mut retry = task(&bench.queue, "a", 3, bench.now);
    retry.task.attempt = 2;
    assert_eq!(bench.offer_task(retry), Offered::Kept);
}

#[test]
fn first_priority_then_time_of_readiness() {
    let mut bench = Bench::new(Limits::default());
    for (run, priority, ready) in [("late", 3, 30), ("low", 5, 1), ("early", 3, 10), ("high", 1, 99), ("tie", 3, 30)] {
        assert_eq!(bench.offer_task(task(&queue("q"), run, priority, ready)), Offered::Kept);
    }
    let order: Vec<String> = (0..5).filter_map(|_| bench.poll("w")).collect();
    assert_eq!(order, ["high", "early", "late", "tie", "low"]);
}

#[test]
fn fairness_keys_share_by_weight() {
    let mut bench = Bench::new(Limits::default());
    for number in 0..60 {
        for (key, weight) in [("heavy", 2.0), ("light", 1.0)] {
            let task = task(&queue("q"), &format!("{key}{number}"), 3, number);
            bench.offer_task(task.with_fairness(key.into(), weight));
        }
    }
    let first: Vec<String> = (0..30).filter_map(|_| bench.poll("w")).collect();
    let heavy = first.iter().filter(|run| run.starts_with("heavy")).count();
    assert!((19..=21).contains(&heavy), "{heavy} of 30 are heavy");
}

#[test]
fn pollers_are_served_in_their_order_those_of_this_node_first() {
    let mut bench = Bench::new(Limits::default());
    let far = bench.park("far", Origin::Remote);
    let first = bench.park("first", Origin::Local);
    let second = bench.park("second", Origin::Local);
    for run in ["a", "b", "c"] {
        assert_eq!(bench.offer(run), Offered::Taken);
    }
    let expected = [(first, "a"), (second, "b"), (far, "c")].map(|(poller, run)| (poller, run.to_owned()));
    assert_eq!(bench.served(), expected);
}

#[test]
fn a_poller_that_left_gets_nothing() {
    let mut bench = Bench::new(Limits::default());
    let gone = bench.park("gone", Origin::Local);
    bench.core.leave(bench.now, gone);
    assert_eq!(bench.offer("a"), Offered::Kept);
    assert_eq!(bench.served(), []);
}

#[test]
fn a_task_that_came_back_is_served_at_once() {
    let mut bench = Bench::new(Limits::default());
    bench.offer("a");
    assert_eq!(bench.poll("gone").as_deref(), Some("a"));
    assert_eq!(bench.give_back("a"), Offered::Kept);
    assert_eq!(bench.poll("w").as_deref(), Some("a"));
}

#[test]
fn elsewhere_a_task_meets_only_pollers_of_that_node() {
    let mut bench = Bench::new(Limits::default());
    bench.park("far", Origin::Remote);
    let fresh = task(&bench.queue, "a", 3, 0);
    let offered = bench.core.offer(bench.now, HERE, fresh.clone(), Reason::Ready, Place::Elsewhere);
    assert_eq!(offered, Offered::Away(Box::new(fresh.clone())));
    let near = bench.park("near", Origin::Local);
    let offered = bench.core.offer(bench.now, HERE, fresh, Reason::Ready, Place::Elsewhere);
    assert_eq!(offered, Offered::Taken);
    assert_eq!(bench.served(), [(near, "a".to_owned())]);
}

/// Its machine's clock was an hour ahead, or behind, when the node was started.
#[test]
fn how_long_tasks_wait_is_told_by_the_shards_time() {
    for skew in [-3600, 3600] {
        let mut bench = Bench::new(small(10));
        bench.core.skew = skew * span::SECOND;
        let time = bench.now + bench.core.skew;
        bench.park("w", Origin::Local);
        bench.offer_task(task(&queue("q"), "fresh", 3, time));
        bench.served();
        assert_eq!(bench.pulls, [], "{skew}");
        bench.park("w", Origin::Local);
        bench.offer_task(task(&queue("q"), "first of a page", 3, time - 2 * span::SECOND));
        bench.served();
        assert_eq!(bench.pulls.len(), 1, "{skew}");

        let query = QueryTask { id: 7, deadline: time + 5 * span::SECOND, ..QueryTask::default() };
        bench.offer_task(Task::query(queue("asked"), query, time));
        bench.queue = queue("asked");
        bench.pass(4999);
        bench.core.tick(bench.now, &|_| true);
        assert_eq!(bench.core.describe(bench.now, &bench.queue).buffered, 1, "{skew}");
        bench.pass(1);
        bench.core.tick(bench.now, &|_| true);
        assert_eq!(bench.core.describe(bench.now, &bench.queue).buffered, 0, "{skew}");
    }
}

#[test]
fn a_full_buffer_pulls_when_it_runs_low() {
    let mut bench = Bench::new(small(3));
    for run in ["a", "b", "c"] {
        assert_eq!(bench.offer(run), Offered::Kept);
    }
    assert_eq!(bench.offer("d"), Offered::Full);
    bench.poll("w");
    bench.served();
    assert_eq!(bench.pulls, [], "two are left, which is enough");
    bench.poll("w");
    bench.served();
    assert_eq!(bench.pulls, [(HERE, 3)]);
    let pulled = ["b", "d", "e"].map(|run| task(&queue("q"), run, 3, bench.now)).to_vec();
    bench.core.pulled(bench.now, HERE, &queue("q"), Some(pulled), 3);
    bench.served();
    let rest: Vec<String> = (0..4).filter_map(|_| bench.poll("w")).collect();
    assert_eq!(rest, ["c", "d", "e"], "b was handed out a moment ago");
    bench.pass(20);
    bench.served();
    assert_eq!(bench.pulls.len(), 2, "a full page means that there may be more");
    bench.core.pulled(bench.now, HERE, &queue("q"), Some(Vec::new()), 3);
    bench.pass(1000);
    bench.served();
    assert_eq!(bench.pulls.len(), 2);
}

#[test]
fn an_old_task_tells_that_its_table_has_more() {
    let mut bench = Bench::new(small(3));
    bench.park("w", Origin::Local);
    assert_eq!(bench.offer("fresh"), Offered::Taken);
    assert_eq!(bench.served().len(), 1);
    assert_eq!(bench.pulls, []);
    bench.park("w", Origin::Local);
    let old = task(&bench.queue, "old", 3, bench.now - span::SECOND);
    assert_eq!(bench.offer_task(old), Offered::Taken);
    assert_eq!(bench.served().len(), 1);
    assert_eq!(bench.pulls, [(HERE, 3)]);
}

#[test]
fn a_failed_pull_is_tried_again() {
    let mut bench = Bench::new(small(1));
    bench.offer("a");
    bench.offer("b");
    bench.poll("w");
    bench.served();
    bench.core.pulled(bench.now, HERE, &queue("q"), None, 1);
    bench.pass(20);
    bench.served();
    assert_eq!(bench.pulls, [(HERE, 1), (HERE, 1)]);
}

#[test]
fn a_full_buffer_makes_room_for_a_higher_priority() {
    let mut bench = Bench::new(small(2));
    for run in ["a", "b"] {
        bench.offer(run);
    }
    assert_eq!(bench.offer_task(task(&queue("q"), "urgent", 1, 7)), Offered::Kept);
    assert_eq!(bench.poll("w").as_deref(), Some("urgent"));
    assert_eq!(bench.poll("w").as_deref(), Some("a"));
    bench.served();
    assert_eq!(bench.pulls.len(), 1, "b is to be read again");
}

#[test]
fn pollers_are_bounded() {
    let mut bench = Bench::new(Limits { pollers_per_queue: 1, ..Limits::default() });
    bench.park("w", Origin::Local);
    let poll = crate::matching::words::Poll {
        queue: bench.queue.clone(),
        origin: Origin::Local,
        sticky: false,
        poller: super::support::poller("x"),
        rate: None,
    };
    assert_eq!(bench.core.poll(bench.now, poll), Err(Exhausted::QueuePollers));
}

#[test]
fn one_namespace_leaves_queues_and_pollers_to_others() {
    let limits = Limits { queues_per_namespace: 2, pollers_per_namespace: 3, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let poll = |bench: &mut Bench, namespace: &str, name: &str| {
        let queue = QueueKey { namespace_id: namespace.into(), ..queue(name) };
        let poller = super::support::poller("x");
        bench.core.poll(
            bench.now,
            crate::matching::words::Poll { queue, origin: Origin::Local, sticky: false, poller, rate: None },
        )
    };
    let waits = |polled: Result<Polled, Exhausted>| matches!(polled, Ok(Polled::Parked(_)));
    assert!(waits(poll(&mut bench, "greedy", "a")) && waits(poll(&mut bench, "greedy", "b")));
    assert_eq!(poll(&mut bench, "greedy", "c"), Err(Exhausted::NamespaceQueues));
    let stranger = QueueKey { namespace_id: "greedy".into(), ..queue("c") };
    assert_eq!(bench.offer_task(task(&stranger, "run", 3, 0)), Offered::Full, "it stays in its shard");
    assert!(waits(poll(&mut bench, "greedy", "a")));
    assert_eq!(poll(&mut bench, "greedy", "a"), Err(Exhausted::NamespacePollers));
    let Ok(Polled::Parked(id)) = poll(&mut bench, "modest", "c") else { panic!("another namespace has room") };
    assert!(waits(poll(&mut bench, "modest", "c")));
    // What ends makes room again, queues once nobody has used them for a while.
    bench.core.leave(bench.now, id);
    assert!(waits(poll(&mut bench, "modest", "c")) && waits(poll(&mut bench, "modest", "c")));
    assert_eq!(poll(&mut bench, "modest", "c"), Err(Exhausted::NamespacePollers));
}

#[test]
fn a_dispatch_rate_spreads_tasks_over_time() {
    let mut bench = Bench::new(Limits::default());
    for run in ["a", "b", "c", "d"] {
        bench.offer(run);
    }
    let mut served = 0;
    for number in 0..4 {
        served +=
            usize::from(matches!(bench.try_poll(&format!("w{number}"), Origin::Local, Some(2.0)), Polled::Task(_)));
    }
    assert_eq!(served, 2, "a second's worth at once");
    bench.pass(499);
    assert_eq!(bench.served().len(), 0);
    bench.pass(1);
    assert_eq!(bench.served().len(), 1);
    bench.pass(500);
    assert_eq!(bench.served().len(), 1);
}

#[test]
fn a_rate_of_zero_stops_dispatch() {
    let mut bench = Bench::new(Limits::default());
    bench.try_poll("w", Origin::Local, Some(0.0));
    assert_eq!(bench.offer("a"), Offered::Kept);
    bench.pass(3_600_000);
    assert_eq!(bench.served(), []);
    bench.try_poll("x", Origin::Local, Some(100.0));
    bench.pass(100);
    assert_eq!(bench.served().len(), 1);
}

#[test]
fn a_sticky_task_does_not_wait_where_nobody_polls() {
    let mut bench = Bench::new(Limits::default());
    bench.queue = sticky_queue("sticky");
    let mut sticky = task(&bench.queue, "a", 3, 0);
    sticky.sticky = true;
    assert_eq!(bench.offer_task(sticky.clone()), Offered::Unpolled(Box::new(sticky.clone())));
    let worker = bench.park("w", Origin::Remote);
    bench.core.leave(bench.now, worker);
    assert_eq!(bench.offer_task(sticky.clone()), Offered::Kept);
    bench.pass(9_999);
    assert_eq!(bench.offer_task(sticky.clone()), Offered::Known);
    bench.pass(1);
    assert_eq!(bench.offer_task(sticky.clone()), Offered::Unpolled(Box::new(sticky)));
    assert_eq!(bench.poll("w"), None);
}

#[test]
fn after_homes_moved_a_sticky_task_waits_for_its_worker_to_be_known() {
    let mut bench = Bench::new(Limits::default());
    bench.queue = sticky_queue("sticky");
    let mut sticky = task(&bench.queue, "a", 3, 0);
    sticky.sticky = true;
    bench.core.unsettle(bench.now);
    assert_eq!(bench.offer_task(sticky.clone()), Offered::Kept);
    bench.pass(3_000);
    assert_eq!(bench.offer_task(sticky.clone()), Offered::Unpolled(Box::new(sticky)));
}

#[test]
fn a_worker_shut_down_polls_no_more() {
    let mut bench = Bench::new(Limits::default());
    let normal = bench.park("w", Origin::Local);
    let other = bench.park("x", Origin::Local);
    bench.queue = sticky_queue("sticky");
    let sticky = bench.park("w", Origin::Remote);
    bench.core.shut_down(bench.now, "ns", "sticky", "w-key");
    assert_eq!(bench.served(), [(normal, "empty".to_owned()), (sticky, "empty".to_owned())]);
    let mut waiting = task(&bench.queue, "a", 3, 0);
    waiting.sticky = true;
    assert!(matches!(bench.offer_task(waiting), Offered::Unpolled(_)), "its sticky queue is forgotten");
    assert_eq!(bench.try_poll("w", Origin::Local, None), Polled::ShutDown);
    bench.pass(30_000);
    assert!(matches!(bench.try_poll("w", Origin::Local, None), Polled::Parked(_)));
    bench.queue = queue("q");
    assert_eq!(bench.offer("b"), Offered::Taken);
    assert_eq!(bench.served(), [(other, "b".to_owned())]);
}

/// It would wait out its minute, and an SDK that trusts the server to end its polls would wait with it.
#[test]
fn a_worker_shut_down_while_its_poll_is_reserved_does_not_wait_again() {
    let mut bench = Bench::new(Limits::default());
    let poller = bench.park("w", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &queue("q")).expect("one waits");
    bench.core.shut_down(bench.now, "ns", "sticky", "w-key");
    assert_eq!(bench.served(), [], "its task may be on its way");
    bench.core.release(bench.now, reserved.id);
    assert_eq!(bench.served(), [(poller, "empty".to_owned())]);
    assert_eq!(bench.offer("a"), Offered::Kept, "nobody waits");
}

#[test]
fn a_sticky_poll_that_ends_with_its_worker_does_not_count_as_one() {
    let mut bench = Bench::new(Limits::default());
    bench.pass(4_000);
    bench.queue = sticky_queue("sticky");
    let poller = bench.park("w", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &sticky_queue("sticky")).expect("one waits");
    bench.core.shut_down(bench.now, "ns", "sticky", "w-key");
    bench.core.release(bench.now, reserved.id);
    assert_eq!(bench.served(), [(poller, "empty".to_owned())]);
    let mut waiting = task(&bench.queue, "a", 3, 0);
    waiting.sticky = true;
    assert!(matches!(bench.offer_task(waiting), Offered::Unpolled(_)));
}

#[test]
fn a_reservation_gets_its_task_or_waits_again() {
    let mut bench = Bench::new(Limits::default());
    let first = bench.park("first", Origin::Local);
    let second = bench.park("second", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &queue("q")).expect("two wait");
    assert_eq!(reserved.poller.identity, "first");
    assert!(bench.core.is_reserved(first));
    assert_eq!(bench.offer("a"), Offered::Taken);
    assert_eq!(bench.served(), [(second, "a".to_owned())], "the reserved one is out");
    assert_eq!(bench.offer("b"), Offered::Kept);
    bench.core.release(bench.now, reserved.id);
    assert_eq!(bench.served(), [(first, "b".to_owned())]);

    let third = bench.park("third", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &queue("q")).expect("one waits");
    let late = task(&queue("q"), "forwarded", 3, 0);
    assert!(bench.core.deliver(bench.now, third, late).is_err(), "a reserved poller takes nothing else");
    assert_eq!(bench.core.fulfil(bench.now, started(reserved.id)), Ok(()));
    assert_eq!(bench.served(), [(third, format!("started {}", reserved.id))]);
    assert!(bench.core.fulfil(bench.now, started(reserved.id)).is_err());
    assert_eq!(bench.core.fulfil(bench.now, started(7)), Ok(()), "another node's reservation");
}

#[test]
fn a_reserved_poller_may_leave() {
    let mut bench = Bench::new(Limits::default());
    let poller = bench.park("w", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &queue("q")).expect("one waits");
    bench.core.leave(bench.now, poller);
    assert!(bench.core.fulfil(bench.now, started(reserved.id)).is_err());
    assert_eq!(bench.offer("a"), Offered::Kept);
}

#[test]
fn what_was_started_for_a_poller_that_left_goes_to_another_one() {
    let mut bench = Bench::new(Limits::default());
    let first = bench.park("first", Origin::Local);
    let second = bench.park("second", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &queue("q")).expect("two wait");
    bench.core.leave(bench.now, first);
    assert_eq!(bench.core.fulfil(bench.now, started(reserved.id)), Ok(()));
    assert_eq!(bench.served(), [(second, format!("started {}", reserved.id))]);
}

#[test]
fn a_poller_whose_proposal_has_no_outcome_asks_again() {
    let mut bench = Bench::new(Limits::default());
    let poller = bench.park("w", Origin::Local);
    let reserved = bench.core.reserve(bench.now, &queue("q")).expect("one waits");
    bench.core.abandon(bench.now, reserved.id);
    assert_eq!(bench.served(), [(poller, "empty".to_owned())]);
    assert!(bench.core.fulfil(bench.now, started(reserved.id)).is_err(), "it can be given back");
}

fn started(id: u64) -> Started {
    let answer = op::ReservationAnswer { id, ..Default::default() };
    Started { shard: 1, answer, queries: Default::default() }
}

#[test]
fn only_a_local_poller_of_a_queue_without_a_rate_is_reserved() {
    let mut bench = Bench::new(Limits::default());
    bench.park("far", Origin::Remote);
    assert_eq!(bench.core.reserve(bench.now, &queue("q")), None);
    bench.try_poll("limited", Origin::Local, Some(5.0));
    assert_eq!(bench.core.reserve(bench.now, &queue("q")), None, "its dispatch is counted at home");
}

#[test]
fn a_queue_that_moved_away_lets_go() {
    let mut bench = Bench::new(Limits::default());
    bench.offer("a");
    bench.core.tick(bench.now, &|_| false);
    assert_eq!(bench.poll("w"), None);
    let far = bench.park("far", Origin::Remote);
    bench.core.tick(bench.now, &|_| false);
    assert_eq!(bench.served(), [(far, "moved".to_owned())]);
    assert_eq!(bench.offer("a"), Offered::Taken, "it was not handed out before");
}

#[test]
fn unused_queues_are_forgotten() {
    let mut bench = Bench::new(Limits { queues: 1, ..Limits::default() });
    assert_eq!(bench.offer("a"), Offered::Kept);
    bench.poll("w");
    let other = task(&queue("other"), "b", 3, 0);
    assert_eq!(bench.offer_task(other.clone()), Offered::Full);
    bench.pass(span::IDLE_QUEUE / span::SECOND * 1000);
    bench.core.tick(bench.now, &|_| true);
    assert_eq!(bench.offer_task(other), Offered::Kept);
}

#[test]
fn a_queue_tells_who_polls_and_how_fast_it_moves() {
    let mut bench = Bench::new(Limits::default());
    for number in 0..60 {
        bench.offer(&format!("{number}"));
    }
    for _ in 0..30 {
        bench.poll("w");
    }
    let described = bench.core.describe(bench.now, &queue("q"));
    assert_eq!((described.buffered, described.added[&3], described.dispatched[&3]), (30, 2.0, 1.0));
    assert_eq!(described.sightings.len(), 1);
    assert!(bench.core.has_recent_poller(bench.now, &queue("q"), 1));
    bench.pass(30_000);
    assert!(!bench.core.has_recent_poller(bench.now, &queue("q"), span::STICKY_WINDOW));
    assert_eq!(bench.core.describe(bench.now, &queue("q")).dispatched[&3], 0.0);
    bench.pass(270_000);
    assert_eq!(bench.core.describe(bench.now, &queue("q")).sightings, []);
}

#[test]
fn fairness_keys_share_a_queue_by_their_weights() {
    let mut bench = Bench::new(Limits::default());
    let keyed = |run: &str, key: &str, weight| task(&queue("q"), run, 3, 0).with_fairness(key.into(), weight);
    for number in 0..8 {
        bench.offer_task(keyed(&format!("many-{number}"), "many", 1.0));
    }
    for number in 0..4 {
        bench.offer_task(keyed(&format!("few-{number}"), "few", 1.0));
    }
    bench.offer_task(task(&queue("q"), "urgent", 1, 9));
    let order: Vec<_> = (0..9).filter_map(|_| bench.poll("w")).collect();
    assert_eq!(
        order,
        ["urgent", "many-0", "few-0", "many-1", "few-1", "many-2", "few-2", "many-3", "few-3"],
        "priority first, then in turn"
    );
}

#[test]
fn a_key_without_room_takes_that_of_the_key_with_most() {
    let mut bench = Bench::new(Limits { buffered_per_queue: 4, ..Limits::default() });
    let keyed = |run: &str, key: &str| task(&queue("q"), run, 3, 0).with_fairness(key.into(), 1.0);
    for run in ["a", "b", "c", "d"] {
        assert_eq!(bench.offer_task(keyed(run, "many")), Offered::Kept);
    }
    assert_eq!(bench.offer_task(keyed("e", "many")), Offered::Full);
    assert_eq!(bench.offer_task(keyed("x", "few")), Offered::Kept);
    assert_eq!(bench.offer_task(keyed("y", "few")), Offered::Kept);
    assert_eq!(bench.offer_task(keyed("z", "few")), Offered::Full, "both have the same by now");
}

#[test]
fn the_settings_of_a_queue_go_before_what_its_workers_ask_for() {
    let mut bench = Bench::new(Limits::default());
    let rate =
        |rate: f32| RateLimitConfig { rate_limit: Some(RateLimit { requests_per_second: rate }), ..Default::default() };
    let config = TaskQueueConfig { queue_rate_limit: Some(rate(2.0)), ..Default::default() };
    bench.core.configure(bench.now, queue("q"), config.into());
    for number in 0..10 {
        bench.offer(&format!("{number}"));
    }
    assert_eq!(bench.hand_outs(), 2, "a second's worth at once");
    bench.pass(1000);
    assert_eq!(bench.hand_outs(), 2);
    let stopped = TaskQueueConfig { queue_rate_limit: Some(rate(0.0)), ..Default::default() };
    bench.core.configure(bench.now, queue("q"), stopped.into());
    bench.pass(5000);
    assert_eq!(bench.hand_outs(), 0, "a rate of zero stops the queue");
    bench.core.configure(bench.now, queue("q"), TaskQueueConfig::default().into());
    assert_eq!(bench.hand_outs(), 6, "without settings nothing limits it");
}

#[test]
fn each_fairness_key_has_the_rate_of_its_weight() {
    let mut bench = Bench::new(Limits::default());
    let limit = RateLimitConfig { rate_limit: Some(RateLimit { requests_per_second: 1.0 }), ..Default::default() };
    let config = TaskQueueConfig {
        fairness_keys_rate_limit_default: Some(limit),
        fairness_weight_overrides: [("gold".to_owned(), 3.0)].into(),
        ..Default::default()
    };
    bench.core.configure(bench.now, queue("q"), config.into());
    for number in 0..10 {
        for key in ["gold", "tin"] {
            let run = format!("{key}-{number}");
            bench.offer_task(task(&queue("q"), &run, 3, 0).with_fairness(key.into(), 1.0));
        }
    }
    assert_eq!(bench.hand_outs(), 4, "three of gold, one of tin");
    bench.pass(1000);
    assert_eq!(bench.hand_outs(), 4);
}

#[test]
fn a_queue_that_is_behind_asks_for_more_pollers_but_not_too_often() {
    let mut bench = Bench::new(Limits::default());
    for number in 0..40 {
        bench.offer(&format!("{number}"));
    }
    bench.pass(1000);
    let asks = |polled: Polled| matches!(polled, Polled::Task(task) if task.more_pollers);
    let asked = (0..30).filter(|_| asks(bench.try_poll("w", Origin::Local, None))).count();
    assert_eq!(asked, 10);
}
