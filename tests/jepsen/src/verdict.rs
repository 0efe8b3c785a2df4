//! What a run says in the end, and the exit code for it (semantics.md).

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// Something that Everstep must never do, found by a checker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The checker that found it.
    pub checker: String,
    /// What it is about: a workflow id, a shard.
    pub key: String,
    pub what: String,
    /// The fewest operations that show it, one line each.
    pub example: Vec<String>,
}

impl Violation {
    pub fn new(checker: &str, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { checker: checker.into(), key: key.into(), what: what.into(), example: Vec::new() }
    }
}

/// What one checker looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Checked {
    pub checker: String,
    /// How many things were compared; a checker that compared nothing shows nothing.
    pub compared: u64,
    pub violations: Vec<Violation>,
}

impl Checked {
    pub fn new(checker: &str) -> Self {
        Self { checker: checker.into(), ..Self::default() }
    }

    pub fn violation(&mut self, key: &str, what: impl Into<String>) {
        self.violations.push(Violation::new(&self.checker, key, what));
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    /// Everstep did what it must not do.
    Violation,
    /// The run shows nothing, for these reasons: something of ours failed, or a fault hit no operation.
    HarnessFailure(Vec<String>),
}

impl Verdict {
    /// A violation counts even if the harness failed elsewhere: what was seen was seen.
    pub fn of(violations: bool, failures: Vec<String>) -> Self {
        match (violations, failures.is_empty()) {
            (true, _) => Self::Violation,
            (false, true) => Self::Pass,
            (false, false) => Self::HarnessFailure(failures),
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Pass => 0,
            Self::Violation => 1,
            Self::HarnessFailure(_) => 2,
        })
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Violation => "VIOLATION",
            Self::HarnessFailure(_) => "harness failure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_outweighs_a_failure_of_the_harness() {
        assert_eq!(Verdict::of(true, vec!["no fault hit anything".into()]), Verdict::Violation);
        assert_eq!(Verdict::of(false, Vec::new()), Verdict::Pass);
        assert_ne!(Verdict::of(false, vec!["x".into()]), Verdict::Pass);
    }
}
