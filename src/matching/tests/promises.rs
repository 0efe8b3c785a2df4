//! Tasks started for polls that are still to come.

use statemachine::op;

use super::support::{queue, Bench};
use crate::matching::types::{span, Limits, Reservation, Started};
use crate::matching::words::{Delivery, Offered, Origin, Output, Polled};

/// A worker that got so many tasks within the last tenth of a second, each at once; it is away now.
fn busy(polls: usize) -> Bench {
    let mut bench = Bench::new(Limits::default());
    polls_are_served(&mut bench, polls, 0);
    bench
}

/// So many polls of the worker, each of which waits so many milliseconds for its task.
fn polls_are_served(bench: &mut Bench, polls: usize, wait: i64) {
    for _ in 0..polls {
        bench.park("w", Origin::Local);
    }
    bench.pass(wait);
    for number in 0..polls {
        assert_eq!(bench.offer(&format!("{}-{number}", bench.now)), Offered::Taken);
    }
    bench.core.take_outputs();
    bench.pass(100);
}

fn reserve(bench: &mut Bench) -> Option<Reservation> {
    bench.core.reserve(bench.now, &queue("q"))
}

fn started(id: u64) -> Started {
    let answer = op::ReservationAnswer { id, ..Default::default() };
    Started { shard: 1, answer, queries: Default::default() }
}

fn given_back(bench: &mut Bench) -> Vec<u64> {
    let outputs = bench.core.take_outputs().into_iter();
    let ids = outputs.filter_map(|output| match output {
        Output::GiveBack(started) => Some(started.answer.id),
        Output::Serve { .. } | Output::Pull { .. } => None,
    });
    ids.collect()
}

fn poll_gets(bench: &mut Bench, identity: &str) -> Option<u64> {
    match bench.try_poll(identity, Origin::Local, None) {
        Polled::Started(started) => Some(started.answer.id),
        Polled::Task(_) | Polled::Parked(_) | Polled::ShutDown => None,
    }
}

#[test]
fn the_next_poll_of_a_busy_worker_is_promised_and_a_quarter_stays_free() {
    let mut bench = busy(20);
    let promised: Vec<_> = std::iter::from_fn(|| reserve(&mut bench)).collect();
    assert_eq!(promised.len(), 15);
    assert_eq!(promised[0].poller.identity, "w");
    assert_ne!(promised[0].poller.request_id, promised[1].poller.request_id, "each hand-out has its own");
    bench.core.release(bench.now, promised[0].id);
    assert!(reserve(&mut bench).is_some(), "one made no task");
    assert_eq!(reserve(&mut bench), None);
}

/// However fast they are kept: what waits at the home would never be asked for.
#[test]
fn a_poll_is_free_now_and_then() {
    let mut bench = busy(20);
    let mut kept = 0;
    bench.park("w", Origin::Local);
    assert_eq!(bench.offer("first"), Offered::Taken);
    while let Some(promised) = reserve(&mut bench) {
        bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
        assert_eq!(poll_gets(&mut bench, "w"), Some(promised.id));
        bench.pass(2);
        kept += 1;
    }
    assert_eq!(kept, 101, "for a fifth of a second");
    bench.park("w", Origin::Local);
    assert_eq!(bench.offer("second"), Offered::Taken);
    assert!(reserve(&mut bench).is_some());
}

/// Where tasks wait for polls, no poll ever waits; one that took such a task was free.
#[test]
fn a_poll_that_takes_a_task_that_waited_was_free() {
    let mut bench = busy(20);
    for round in 0..10 {
        assert_eq!(bench.offer(&round.to_string()), Offered::Kept);
        assert_eq!(bench.poll("w"), Some(round.to_string()));
        for _ in 0..20 {
            let promised = reserve(&mut bench).expect("it is fast");
            bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
            assert_eq!(poll_gets(&mut bench, "w"), Some(promised.id));
            bench.pass(2);
        }
    }
}

#[test]
fn a_slow_worker_and_one_that_fell_silent_are_promised_nothing() {
    let mut bench = busy(7);
    assert_eq!(reserve(&mut bench), None);
    let mut bench = busy(20);
    bench.pass(100);
    assert_eq!(reserve(&mut bench), None);
}

/// Its polls wait at other nodes too, and the next one may come there.
#[test]
fn a_worker_whose_polls_have_to_wait_is_promised_nothing() {
    let mut bench = Bench::new(Limits::default());
    polls_are_served(&mut bench, 20, 6);
    assert_eq!(reserve(&mut bench), None);
    polls_are_served(&mut bench, 20, 5);
    assert!(reserve(&mut bench).is_some());
}

#[test]
fn polls_that_go_along_with_proposals_count_too() {
    let mut bench = Bench::new(Limits::default());
    for _ in 0..8 {
        bench.park("w", Origin::Local);
        let reserved = reserve(&mut bench).expect("one waits");
        bench.core.fulfil(bench.now, started(reserved.id)).expect("it waits for it");
    }
    bench.pass(100);
    assert!(reserve(&mut bench).is_some());
}

#[test]
fn a_worker_whose_polls_go_away_is_not_relied_on() {
    let mut bench = busy(20);
    let poller = bench.park("w", Origin::Local);
    bench.core.leave(bench.now, poller);
    assert_eq!(reserve(&mut bench), None);
}

#[test]
fn what_was_started_waits_for_a_poll_of_that_very_worker() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    assert_eq!(poll_gets(&mut bench, "another"), None);
    assert_eq!(poll_gets(&mut bench, "w"), Some(promised.id));
    assert_eq!(poll_gets(&mut bench, "w"), None);
    bench.pass(1000);
    assert!(given_back(&mut bench).is_empty());
}

#[test]
fn a_poll_that_came_before_the_entry_was_applied_gets_it() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    bench.park("another", Origin::Local);
    let poller = bench.park("w", Origin::Local);
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is taken");
    assert_eq!(bench.served(), [(poller, format!("started {}", promised.id))]);
}

/// It was reserved for a proposal that made no task, while another proposal relied on the worker's next poll.
#[test]
fn a_poll_that_waits_again_gets_what_was_started_for_the_next_one() {
    let mut bench = busy(20);
    let poller = bench.park("w", Origin::Local);
    let reserved = reserve(&mut bench).expect("one waits");
    let promised = reserve(&mut bench).expect("promised");
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    bench.core.take_outputs();
    bench.core.release(bench.now, reserved.id);
    let delivery = Delivery::Started(Box::new(started(promised.id)));
    assert_eq!(bench.core.take_outputs(), [Output::Serve { poller, delivery }]);
}

#[test]
fn a_promise_that_is_not_kept_goes_back_and_no_other_is_made_for_a_while() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    bench.pass(249);
    assert!(given_back(&mut bench).is_empty());
    bench.pass(1);
    assert_eq!(given_back(&mut bench), [promised.id]);
    polls_are_served(&mut bench, 20, 0);
    assert_eq!(reserve(&mut bench), None);
    bench.pass(1000);
    polls_are_served(&mut bench, 20, 0);
    assert!(reserve(&mut bench).is_some());
}

#[test]
fn what_one_mishap_breaks_counts_as_one() {
    let mut bench = busy(20);
    for _ in 0..5 {
        let promised = reserve(&mut bench).expect("promised");
        bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
        bench.pass(1);
    }
    for _ in 0..1_250 {
        bench.pass(1);
    }
    assert_eq!(given_back(&mut bench).len(), 5);
    polls_are_served(&mut bench, 20, 0);
    assert!(reserve(&mut bench).is_some(), "the pause was a second");
}

#[test]
fn a_more_urgent_task_has_its_turn_first() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    bench.pass(1);
    let urgent = super::support::task(&queue("q"), "urgent", 1, bench.now);
    assert_eq!(bench.offer_task(urgent), Offered::Kept);
    assert_eq!(reserve(&mut bench), None, "the next poll is for that one");
    assert_eq!(bench.poll("w").as_deref(), Some("urgent"));
    assert_eq!(poll_gets(&mut bench, "w"), Some(promised.id));
}

/// Older SDKs name the sticky queue only.
#[test]
fn a_sticky_queue_that_is_shut_down_promises_nothing() {
    let mut bench = Bench::new(Limits::default());
    bench.queue = super::support::sticky_queue("sticky");
    polls_are_served(&mut bench, 20, 0);
    let key = bench.queue.clone();
    let promised = bench.core.reserve(bench.now, &key).expect("promised");
    bench.core.shut_down(bench.now, "ns", "sticky", "");
    assert!(bench.core.fulfil(bench.now, started(promised.id)).is_err());
    assert_eq!(bench.core.reserve(bench.now, &key), None);
}

#[test]
fn tasks_that_wait_longer_have_their_turn_first_and_count() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    assert_eq!(bench.offer("a"), Offered::Kept);
    bench.pass(1);
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    assert_eq!(bench.poll("w"), Some("a".to_owned()));
    assert_eq!(poll_gets(&mut bench, "w"), Some(promised.id));
    for number in 0..15 {
        bench.offer(&format!("{number}"));
    }
    assert_eq!(reserve(&mut bench), None, "the polls to come have enough to do");
}

#[test]
fn a_worker_that_stops_gives_back_at_once_what_was_started_for_it() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    let late = reserve(&mut bench).expect("promised");
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    bench.core.shut_down(bench.now, "ns", "sticky", "another-key");
    assert!(given_back(&mut bench).is_empty());
    bench.core.shut_down(bench.now, "ns", "sticky", "w-key");
    assert_eq!(given_back(&mut bench), [promised.id]);
    assert!(bench.core.fulfil(bench.now, started(late.id)).is_err(), "nobody will come for it");
    assert_eq!(reserve(&mut bench), None);
}

#[test]
fn a_node_that_stops_gives_back_at_once() {
    let mut bench = busy(20);
    let promised = reserve(&mut bench).expect("promised");
    let late = reserve(&mut bench).expect("promised");
    bench.core.fulfil(bench.now, started(promised.id)).expect("it is kept");
    bench.core.leave_node(bench.now);
    assert_eq!(given_back(&mut bench), [promised.id]);
    assert!(bench.core.fulfil(bench.now, started(late.id)).is_err(), "nobody will come for it");
    assert_eq!(reserve(&mut bench), None);
}

#[test]
fn a_poll_hurries_home_while_tasks_waited_there() {
    let mut bench = Bench::new(Limits::default());
    let calm = bench.park("w", Origin::Local);
    bench.core.goes_home(bench.now, calm);
    let hurries = |bench: &Bench| bench.core.hurries_home(bench.now, &queue("q"));
    assert!(!hurries(&bench));
    let mut waited = super::support::task(&queue("q"), "a", 3, bench.now);
    waited.ready_time -= span::SECOND / 50;
    bench.core.deliver(bench.now, calm, waited).expect("it waits");
    assert!(matches!(bench.core.take_outputs()[..], [Output::Serve { delivery: Delivery::Task(_), .. }]));
    bench.park("w", Origin::Local);
    assert!(hurries(&bench));
}

/// One is always there to find out, and it is the last of its node to be taken for something else.
#[test]
fn a_poll_hurries_home_if_none_of_its_node_was_there_for_a_while() {
    let mut bench = Bench::new(Limits::default());
    let hurries = |bench: &Bench| bench.core.hurries_home(bench.now, &queue("q"));
    let scout = bench.park("w", Origin::Local);
    assert!(hurries(&bench));
    bench.core.goes_home(bench.now, scout);
    bench.pass(1000);
    assert!(!hurries(&bench), "it is still there");
    let other = bench.park("w", Origin::Local);
    assert_eq!(bench.offer("a"), Offered::Taken);
    assert_eq!(bench.served(), [(other, "a".to_owned())]);
    assert_eq!(bench.offer("b"), Offered::Taken);
    assert_eq!(bench.served(), [(scout, "b".to_owned())]);
    let scout = bench.park("w", Origin::Local);
    assert!(hurries(&bench));
    bench.core.goes_home(bench.now, scout);
    bench.core.leave(bench.now, scout);
    bench.pass(9);
    assert!(!hurries(&bench), "one was there a moment ago");
    bench.pass(1);
    assert!(hurries(&bench));
}

#[test]
fn a_poll_that_waits_again_waits_at_its_home_as_before() {
    let mut bench = Bench::new(Limits::default());
    let scout = bench.park("w", Origin::Local);
    bench.core.goes_home(bench.now, scout);
    let reserved = reserve(&mut bench).expect("it waits");
    bench.core.release(bench.now, reserved.id);
    let other = bench.park("w", Origin::Local);
    assert_eq!(bench.offer("a"), Offered::Taken);
    assert_eq!(bench.served(), [(other, "a".to_owned())]);
}
