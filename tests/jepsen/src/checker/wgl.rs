//! Linearizability after Wing and Gong, with Lowe's cache: is there one order of the operations, each at a moment between
//! its invocation and its completion, that a sequential model allows?
//!
//! Unknown operations may take effect at any time after their invocation, or never. Keys are checked apart, which is
//! sound as linearizability is local. The search is exponential in the worst case and is given up after a number of steps.

use std::collections::HashSet;
use std::hash::Hash;

use crate::history::{Nanos, Op, Outcome};

/// What the operations mean, one after the other.
pub trait Model {
    type State: Clone + Eq + Hash;

    fn initial(&self) -> Self::State;

    /// The state after the operation, or `None` if it cannot have had this outcome in this state. For an unknown
    /// operation: the state if it took effect now.
    fn step(&self, state: &Self::State, op: &Op) -> Option<Self::State>;
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Linearizable,
    /// No order exists. The operations of the shortest prefix in time that has none, the last ones only.
    Not {
        example: Vec<String>,
    },
    /// Too many orders to try.
    GaveUp,
}

const STEPS_MAX: u64 = 3_000_000;
const EXAMPLE_LINES: usize = 14;

/// Operations of one key, in order of invocation.
pub fn check<M: Model>(model: &M, ops: &[&Op]) -> Answer {
    match search(model, ops, Nanos::MAX) {
        Some(true) => return Answer::Linearizable,
        None => return Answer::GaveUp,
        Some(false) => {}
    }
    // The first completion whose prefix has no order. A prefix of a linearizable history is linearizable, so the
    // property is monotone and can be bisected.
    let mut ends: Vec<Nanos> = ops.iter().filter(|op| op.outcome != Outcome::Info).map(|op| op.complete).collect();
    ends.sort_unstable();
    let first = ends.partition_point(|&end| search(model, ops, end) != Some(false));
    let end = ends.get(first).copied().unwrap_or(Nanos::MAX);
    let mut shown: Vec<&&Op> = ops.iter().filter(|op| op.invoke <= end).collect();
    shown.sort_by_key(|op| if op.outcome == Outcome::Info { op.invoke } else { op.complete });
    let skipped = shown.len().saturating_sub(EXAMPLE_LINES);
    let mut example: Vec<String> = shown[skipped..].iter().map(|op| op.line()).collect();
    if skipped > 0 {
        example.insert(0, format!("({skipped} earlier operations are not shown; they have an order)"));
    }
    example.push("no order of these operations is possible with the last one".into());
    Answer::Not { example }
}

/// Whether what happened up to `end` has an order; what completed later counts as unknown.
fn search<M: Model>(model: &M, ops: &[&Op], end: Nanos) -> Option<bool> {
    let ops: Vec<(&Op, Nanos)> = ops
        .iter()
        .filter(|op| op.invoke <= end)
        .map(|op| (*op, if op.outcome == Outcome::Info || op.complete > end { Nanos::MAX } else { op.complete }))
        .collect();
    let definite = ops.iter().filter(|(_, complete)| *complete != Nanos::MAX).count();
    let mut seen: HashSet<(Vec<u64>, M::State)> = HashSet::new();
    let mut stack = vec![(vec![0_u64; ops.len().div_ceil(64)], model.initial(), definite)];
    let mut steps = 0;
    while let Some((done, state, left)) = stack.pop() {
        if left == 0 {
            return Some(true);
        }
        steps += 1;
        if steps > STEPS_MAX {
            return None;
        }
        for at in candidates(&ops, &done) {
            let (op, complete) = ops[at];
            let Some(next) = stepped(model, &state, op, complete) else { continue };
            let mut with = done.clone();
            with[at / 64] |= 1 << (at % 64);
            let left = left - usize::from(complete != Nanos::MAX);
            if seen.insert((with.clone(), next.clone())) {
                stack.push((with, next, left));
            }
        }
    }
    Some(false)
}

/// A completed operation that is cut off by the end of the prefix is unknown: its outcome must not be relied on.
fn stepped<M: Model>(model: &M, state: &M::State, op: &Op, complete: Nanos) -> Option<M::State> {
    if complete == Nanos::MAX && op.outcome == Outcome::Fail {
        return None; // It changed nothing, so there is nothing to place.
    }
    model.step(state, op)
}

/// Operations that may come next: invoked before every completion that is still to come. The last invoked first, so
/// that the stack tries the first invoked first.
fn candidates(ops: &[(&Op, Nanos)], done: &[u64]) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    let mut earliest = Nanos::MAX;
    for (at, (op, complete)) in ops.iter().enumerate() {
        if op.invoke > earliest {
            break;
        }
        if done[at / 64] & (1 << (at % 64)) == 0 {
            earliest = earliest.min(*complete);
            open.push(at);
        }
    }
    open.retain(|&at| ops[at].0.invoke <= earliest);
    // Unknown operations are tried last: most of them never took effect or soon after they were sent.
    open.sort_by_key(|&at| std::cmp::Reverse((ops[at].1 == Nanos::MAX, at)));
    open
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checker::testing::op;

    /// A register of one number.
    struct Register;

    impl Model for Register {
        type State = i64;

        fn initial(&self) -> i64 {
            0
        }

        fn step(&self, state: &i64, op: &Op) -> Option<i64> {
            match op.f.as_str() {
                "write" => Some(op.number("v")),
                _ => (op.number("v") == *state).then_some(*state),
            }
        }
    }

    /// Name, value, invocation, completion, outcome.
    type Row<'a> = (&'a str, i64, Nanos, Nanos, Outcome);

    fn history(rows: &[Row]) -> Vec<Op> {
        let row = |&(f, v, invoke, complete, outcome): &Row| Op {
            f: f.into(),
            input: json!({ "v": v }),
            ..op(invoke, complete, outcome)
        };
        rows.iter().map(row).collect()
    }

    fn answer(rows: &[Row]) -> Answer {
        let ops = history(rows);
        check(&Register, &ops.iter().collect::<Vec<_>>())
    }

    use Outcome::{Info, Ok};

    #[test]
    fn good_histories() {
        assert_eq!(answer(&[]), Answer::Linearizable);
        assert_eq!(answer(&[("write", 1, 0, 10, Ok), ("read", 1, 11, 12, Ok)]), Answer::Linearizable);
        // Concurrent with the write: either value.
        assert_eq!(
            answer(&[("write", 1, 0, 10, Ok), ("read", 0, 5, 6, Ok), ("read", 1, 7, 8, Ok)]),
            Answer::Linearizable
        );
        // An unknown write may take effect late, or never.
        assert_eq!(
            answer(&[("write", 1, 0, 3, Info), ("read", 0, 5, 6, Ok), ("read", 1, 7, 8, Ok)]),
            Answer::Linearizable
        );
        assert_eq!(answer(&[("write", 1, 0, 3, Info), ("read", 0, 5, 6, Ok)]), Answer::Linearizable);
        // Two concurrent writes, seen in the order against their invocation.
        assert_eq!(
            answer(&[("write", 1, 0, 10, Ok), ("write", 2, 1, 9, Ok), ("read", 2, 2, 4, Ok), ("read", 1, 11, 12, Ok)]),
            Answer::Linearizable
        );
    }

    #[test]
    fn bad_histories() {
        let bad: &[&[Row]] = &[
            // A stale read.
            &[("write", 1, 0, 10, Ok), ("read", 0, 11, 12, Ok)],
            // A value from nowhere.
            &[("write", 1, 0, 10, Ok), ("read", 2, 11, 12, Ok)],
            // New, then old.
            &[("write", 1, 0, 20, Ok), ("read", 1, 2, 4, Ok), ("read", 0, 5, 6, Ok)],
            // An unknown write does not come undone.
            &[("write", 1, 0, 3, Info), ("read", 1, 5, 6, Ok), ("read", 0, 7, 8, Ok)],
            // Nor does it happen before it was asked for.
            &[("read", 1, 0, 1, Ok), ("write", 1, 2, 3, Info)],
        ];
        for rows in bad {
            let Answer::Not { example } = answer(rows) else { panic!("{rows:?}") };
            assert!(example.len() >= 2, "{example:?}");
        }
    }

    #[test]
    fn the_example_ends_with_the_operation_that_has_no_place() {
        let mut rows = vec![("write", 1, 0, 1, Ok), ("read", 0, 2, 3, Ok)];
        rows.extend((0..30).map(|n| ("write", n, 10 + 2 * n as Nanos, 11 + 2 * n as Nanos, Ok)));
        let Answer::Not { example } = answer(&rows) else { panic!() };
        assert_eq!(example.len(), 3, "{example:?}");
        assert!(example[1].contains("read"), "{example:?}");
    }

    #[test]
    fn many_concurrent_operations_are_decided() {
        // Ten processes that overlap all the time: 400 operations.
        let mut rows = Vec::new();
        for round in 0..40 {
            for process in 0..10 {
                rows.push((
                    "write",
                    round * 10 + process,
                    (round * 100 + process) as Nanos,
                    (round * 100 + 90) as Nanos,
                    Ok,
                ));
            }
        }
        rows.push(("read", 399, 5000, 5001, Ok));
        assert_eq!(answer(&rows), Answer::Linearizable);
        rows.push(("read", 7, 5002, 5003, Ok));
        assert!(matches!(answer(&rows[10..]), Answer::Not { .. } | Answer::GaveUp));
    }

    /// All orders of small histories, tried one by one: the search says the same.
    #[test]
    fn agrees_with_trying_every_order() {
        use rand::{rngs::StdRng, Rng, SeedableRng};
        let (mut good, mut bad) = (0, 0);
        for seed in 0..600 {
            let mut random = StdRng::seed_from_u64(seed);
            let rows: Vec<_> = (0..5)
                .map(|_| {
                    let invoke = random.random_range(0..12);
                    let f = if random.random_bool(0.5) { "write" } else { "read" };
                    let outcome = if f == "write" && random.random_bool(0.2) { Info } else { Ok };
                    (f, random.random_range(0..3), invoke, invoke + random.random_range(1..6), outcome)
                })
                .collect();
            let mut ops = history(&rows);
            ops.sort_by_key(|op| op.invoke);
            let refs: Vec<&Op> = ops.iter().collect();
            let expected = any_order(&refs, &mut Vec::new(), 0);
            assert_eq!(check(&Register, &refs) == Answer::Linearizable, expected, "{rows:?}");
            if expected {
                good += 1
            } else {
                bad += 1
            }
        }
        assert!(good > 50 && bad > 50, "{good} good, {bad} bad");
    }

    fn any_order(ops: &[&Op], placed: &mut Vec<usize>, state: i64) -> bool {
        if (0..ops.len()).all(|at| placed.contains(&at) || ops[at].outcome == Info) {
            return true;
        }
        (0..ops.len()).any(|at| {
            let free = !placed.contains(&at);
            let before = |other: usize| ops[other].outcome == Ok && ops[other].complete < ops[at].invoke;
            if !free || (0..ops.len()).any(|other| before(other) && !placed.contains(&other)) {
                return false;
            }
            let Some(next) = Register.step(&state, ops[at]) else { return false };
            placed.push(at);
            let found = any_order(ops, placed, next);
            placed.pop();
            found
        })
    }
}
