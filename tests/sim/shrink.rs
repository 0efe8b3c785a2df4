//! Cuts a failing list of steps down to one from which no step can be left out: delta debugging.

use crate::{Trial, Violation};

/// Runs spent on one failure.
const TRIES_MAX: usize = 3000;
/// Lists up to this long are checked after every step.
const SHORT: usize = 300;

/// The shortest list found that violates the same invariant, and the violation.
pub fn shrink(trial: &Trial, violation: &Violation) -> (Trial, Violation) {
    let mut best = (trial.clone(), violation.clone());
    let mut tries = 0;
    // Where it first shows.
    for check_every in [16, 1] {
        let trial = Trial { check_every, ..best.0.clone() };
        let verdict = trial.run();
        if let Err(found) = verdict.result {
            if found.invariant == violation.invariant {
                let steps = trial.steps[..verdict.steps].to_vec();
                best = (Trial { steps, ..trial }, found);
            }
        }
    }
    let mut chunk = best.0.steps.len() / 2;
    while chunk > 0 && tries < TRIES_MAX {
        let mut at = 0;
        let mut any = false;
        while at < best.0.steps.len() && tries < TRIES_MAX {
            tries += 1;
            match without(&best.0, at, chunk, violation.invariant) {
                Some(shorter) => {
                    best = shorter;
                    any = true;
                }
                None => at += chunk,
            }
        }
        chunk = if any && chunk == 1 { 1 } else { chunk / 2 };
    }
    best
}

/// The trial without some steps, if it fails in the same way.
fn without(trial: &Trial, at: usize, count: usize, invariant: &str) -> Option<(Trial, Violation)> {
    let mut steps = trial.steps.clone();
    steps.drain(at..(at + count).min(trial.steps.len()));
    let check_every = if steps.len() <= SHORT { 1 } else { 16 };
    let shorter = Trial { steps, check_every, ..trial.clone() };
    let verdict = shorter.run();
    let found = verdict.result.err().filter(|found| found.invariant == invariant)?;
    let steps = shorter.steps[..verdict.steps].to_vec();
    Some((Trial { steps, ..shorter }, found))
}
