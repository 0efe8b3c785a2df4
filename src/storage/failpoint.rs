//! Named places where a test can make the process die, wait or see an I/O error.
//!
//! `EVERSTEP_FAILPOINTS="log.before_sync=abort(3);state.before_flush=delay(20);apply.before_write=eio"`: actions are
//! `abort`, `panic`, `eio` and `delay(ms)`; a number in `abort`, `panic` or `eio` is the hit on which to act (1 is the
//! first). Without the variable a place costs one atomic load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

const VARIABLE: &str = "EVERSTEP_FAILPOINTS";
const UNREAD: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNREAD);
static POINTS: OnceLock<Mutex<BTreeMap<String, Point>>> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Panic,
    Eio,
    Delay,
}

struct Point {
    action: Action,
    number: u64,
    hits: u64,
}

/// Every place there is, for tests that go through all of them.
pub const NAMES: &[&str] = &[
    "log.before_append",
    "log.after_append",
    "log.before_vote",
    "log.after_vote",
    "log.before_sync",
    "log.after_sync",
    "log.before_purge",
    "log.after_purge",
    "apply.before_write",
    "apply.after_write",
    "state.before_flush",
    "state.after_flush",
    "state.before_checkpoint",
    "state.after_checkpoint",
    "install.before_links",
    "install.after_links",
    "install.before_marker",
    "install.after_marker",
];

/// Passes the place `name`; an error means the caller must act as if its I/O had failed.
#[inline]
pub fn hit(name: &'static str) -> std::io::Result<()> {
    match STATE.load(Ordering::Relaxed) {
        OFF => Ok(()),
        _ => hit_slow(name),
    }
}

#[cold]
fn hit_slow(name: &'static str) -> std::io::Result<()> {
    let points = POINTS.get_or_init(|| Mutex::new(parse(&std::env::var(VARIABLE).unwrap_or_default())));
    let (action, number) = {
        let mut points = points.lock().expect("no failpoint panics while holding the list");
        STATE.store(if points.is_empty() { OFF } else { ON }, Ordering::Relaxed);
        let Some(point) = points.get_mut(name) else { return Ok(()) };
        point.hits += 1;
        if point.action != Action::Delay && point.number > 0 && point.hits != point.number {
            return Ok(());
        }
        (point.action, point.number)
    };
    match action {
        Action::Abort => std::process::abort(),
        Action::Panic => panic!("failpoint {name}"),
        Action::Eio => Err(std::io::Error::other(format!("failpoint {name}"))),
        Action::Delay => {
            std::thread::sleep(Duration::from_millis(number));
            Ok(())
        }
    }
}

fn parse(text: &str) -> BTreeMap<String, Point> {
    let mut points = BTreeMap::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        match parse_point(part) {
            Some((name, point)) => {
                points.insert(name, point);
            }
            None => tracing::warn!(part, "{VARIABLE}: not understood"),
        }
    }
    points
}

fn parse_point(part: &str) -> Option<(String, Point)> {
    let (name, action) = part.split_once('=')?;
    let (word, number) = match action.split_once('(') {
        Some((word, rest)) => (word, rest.strip_suffix(')')?.parse().ok()?),
        None => (action, 0),
    };
    let action = match word {
        "abort" => Action::Abort,
        "panic" => Action::Panic,
        "eio" => Action::Eio,
        "delay" => Action::Delay,
        _ => return None,
    };
    Some((name.to_owned(), Point { action, number, hits: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_points() {
        let points = parse("a=abort; b=delay(20);c=eio(3);nonsense;d=what");
        assert_eq!(points.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((points["b"].action, points["b"].number), (Action::Delay, 20));
        assert_eq!((points["c"].action, points["c"].number), (Action::Eio, 3));
    }
}
