//! Small histories for the checkers' tests.

use serde_json::{json, Value};

use crate::history::{Event, History, Nanos, Op, Outcome, Run};

pub fn op(invoke: Nanos, complete: Nanos, outcome: Outcome) -> Op {
    Op {
        id: invoke,
        workload: "w".into(),
        process: 100,
        node: 1,
        f: "f".into(),
        key: "k".into(),
        input: Value::Null,
        invoke,
        complete,
        outcome,
        output: Value::Null,
        error: String::new(),
    }
}

/// An acknowledged operation of a workload.
pub fn done(workload: &str, f: &str, at: Nanos, input: Value, output: Value) -> Op {
    Op { workload: workload.into(), f: f.into(), input, output, ..op(at, at + 1, Outcome::Ok) }
}

/// Events numbered from 1, a second apart.
pub fn run(workload: &str, status: &str, events: &[(&str, Value)]) -> Run {
    let event = |(at, (kind, facts)): (usize, &(&str, Value))| {
        let mut facts = if facts.is_null() { json!({}) } else { facts.clone() };
        facts["print"] = format!("{at}").into();
        Event { id: at as i64 + 1, time: at as i64 * 1_000_000_000, kind: (*kind).into(), facts }
    };
    Run {
        workload: workload.into(),
        key: "k".into(),
        run_id: "r".into(),
        status: status.into(),
        events: events.iter().enumerate().map(event).collect(),
        differences: Vec::new(),
    }
}

pub fn history(ops: Vec<Op>, runs: Vec<Run>) -> History {
    History { ops, runs, ..History::default() }
}
