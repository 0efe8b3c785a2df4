//! What is printed in the end.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{json, Value};

use super::journal::{Entry, Operation};
use super::verify::{Kind, Violation};

/// One fault, from its beginning until the cluster was whole again.
#[derive(Debug, Clone)]
pub struct Happened {
    pub what: String,
    pub from: Instant,
    pub to: Instant,
}

/// Why there were no more faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Done,
    Interrupted,
    /// The cluster did not become whole again after the last fault.
    NotWhole(String),
    /// A fault could not be done.
    NotInflicted(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Violation,
    /// Nothing wrong was seen, but less was done than was asked for.
    Incomplete,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Violation => "VIOLATION",
            Self::Incomplete => "INCOMPLETE",
        }
    }
}

pub struct Report {
    pub schedule: String,
    pub seed: u64,
    pub nodes: usize,
    pub began: Instant,
    pub ended: Instant,
    pub workflows: usize,
    pub faults: Vec<Happened>,
    pub end: End,
    pub entries: Vec<Entry>,
    pub violations: Vec<Violation>,
}

/// Operations of a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    operations: usize,
    failed: usize,
    /// Tries without an answer that told; each was repeated.
    unknown: u64,
    longest: Duration,
}

impl Tally {
    fn of<'e>(entries: impl Iterator<Item = &'e Entry>) -> Self {
        entries.fold(Self::default(), |tally, entry| Self {
            operations: tally.operations + 1,
            failed: tally.failed + usize::from(entry.failed),
            unknown: tally.unknown + u64::from(entry.unknown),
            longest: tally.longest.max(entry.took()),
        })
    }

    fn json(&self) -> Value {
        json!({
            "operations": self.operations,
            "failed": self.failed,
            "unknown": self.unknown,
            "longest_pause_ms": u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Report {
    pub fn verdict(&self) -> Verdict {
        let wrong = !self.violations.is_empty() || self.all().failed > 0;
        match &self.end {
            _ if wrong => Verdict::Violation,
            End::NotWhole(_) => Verdict::Violation,
            End::NotInflicted(_) => Verdict::Incomplete,
            End::Done | End::Interrupted if self.faults.is_empty() => Verdict::Incomplete,
            End::Done | End::Interrupted => Verdict::Pass,
        }
    }

    /// Why there were no more faults, if there should have been.
    fn stopped(&self) -> Option<String> {
        match &self.end {
            End::Done if self.faults.is_empty() => Some("no fault was done".into()),
            End::Done => None,
            End::Interrupted => Some("interrupted".into()),
            End::NotWhole(why) => Some(why.clone()),
            End::NotInflicted(why) => Some(format!("a fault could not be done: {why}")),
        }
    }

    fn all(&self) -> Tally {
        Tally::of(self.entries.iter())
    }

    fn during(&self, fault: &Happened) -> Tally {
        Tally::of(self.entries.iter().filter(|entry| entry.is_within(fault.from, fault.to)))
    }

    fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    /// The fault during which the violation's operation was acknowledged.
    fn blamed(&self, violation: &Violation) -> Option<&Happened> {
        let at = violation.at?;
        self.faults.iter().find(|fault| fault.from <= at && at <= fault.to)
    }

    fn violations_of(&self, fault: &Happened) -> usize {
        let blamed = |violation: &&Violation| self.blamed(violation).is_some_and(|blamed| blamed.from == fault.from);
        self.violations.iter().filter(blamed).count()
    }

    pub fn json(&self) -> Value {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let kinds = Operation::ALL.map(|operation| {
            let of_kind = self.entries.iter().filter(|entry| entry.operation == operation);
            (operation.name(), of_kind.count())
        });
        json!({
            "schedule": self.schedule,
            "seed": self.seed,
            "nodes": self.nodes,
            "seconds": (self.ended - self.began).as_secs_f64(),
            "passed": self.verdict() == Verdict::Pass,
            "verdict": self.verdict().word(),
            "stopped": self.stopped(),
            "workflows": self.workflows,
            "operations": kinds.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "all": self.all().json(),
            "lost": self.count(Kind::Lost),
            "doubled": self.count(Kind::Doubled),
            "differing": self.count(Kind::Differs),
            "other": self.count(Kind::Other),
            "faults": self.faults.iter().map(|fault| json!({
                "fault": fault.what,
                "at_ms": millis(fault.from - self.began),
                "until_whole_ms": millis(fault.to - fault.from),
                "seen": self.during(fault).json(),
                "violations": self.violations_of(fault),
            })).collect::<Vec<_>>(),
            "violations": self.violations.iter().map(|violation| json!({
                "workflow": violation.workflow_id,
                "what": violation.what,
                "during": self.blamed(violation).map(|fault| fault.what.clone()),
            })).collect::<Vec<_>>(),
        })
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let seconds = (self.ended - self.began).as_secs_f64();
        let (nodes, seed) = (self.nodes, self.seed);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "schedule {}, seed {seed}, {seconds:.0} s, {nodes} nodes\n", self.schedule);
        let _ = writeln!(
            text,
            "{:>8}  {:<34} {:>6} {:>6} {:>8} {:>9}",
            "at", "fault", "calls", "failed", "unknown", "longest"
        );
        for fault in &self.faults {
            let (at, seen) = ((fault.from - self.began).as_secs_f64(), self.during(fault));
            let _ = writeln!(
                text,
                "{at:>6.1} s  {:<34} {:>6} {:>6} {:>8} {:>7.2} s",
                fault.what,
                seen.operations,
                seen.failed,
                seen.unknown,
                seen.longest.as_secs_f64()
            );
        }
        let all = self.all();
        let kinds = Operation::ALL.map(|operation| {
            let count = self.entries.iter().filter(|entry| entry.operation == operation).count();
            format!("{count} {}", operation.name())
        });
        let _ = writeln!(text, "\n{} workflows: {}", self.workflows, kinds.join(", "));
        let _ = writeln!(
            text,
            "calls {}, failed {}, tries with an unknown outcome {}",
            all.operations, all.failed, all.unknown
        );
        let _ = writeln!(text, "longest pause of a call {:.2} s", all.longest.as_secs_f64());
        let _ = writeln!(
            text,
            "lost {}, doubled {}, histories that differ {}, other {}",
            self.count(Kind::Lost),
            self.count(Kind::Doubled),
            self.count(Kind::Differs),
            self.count(Kind::Other)
        );
        for violation in self.violations.iter().take(50) {
            let during = self.blamed(violation).map(|fault| format!(" (during: {})", fault.what)).unwrap_or_default();
            let _ = writeln!(text, "  {}: {}{during}", violation.workflow_id, violation.what);
        }
        if let Some(why) = self.stopped() {
            let _ = writeln!(text, "stopped early: {why}");
        }
        let _ = writeln!(text, "{}", self.verdict().word());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let entry = |from, to, unknown| Entry {
            operation: Operation::Signal,
            begun: at(from),
            ended: at(to),
            unknown,
            failed: false,
        };
        Report {
            schedule: "mix".into(),
            seed: 7,
            nodes: 3,
            began,
            ended: at(10_000),
            workflows: 1,
            faults: vec![Happened { what: "kill -9 node 2".into(), from: at(1000), to: at(3000) }],
            entries: vec![entry(0, 10, 0), entry(900, 2100, 4), entry(2990, 3100, 0), entry(5000, 5001, 0)],
            end: End::Done,
            violations: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_stops_early_is_told_as_that() {
        let ended = |end: End| Report { end, ..report() };
        assert_eq!(ended(End::Interrupted).verdict(), Verdict::Pass);
        let stuck = ended(End::NotWhole("not whole again".into()));
        assert_eq!(stuck.verdict(), Verdict::Violation);
        assert!(stuck.text().ends_with("stopped early: not whole again\nVIOLATION\n"), "{}", stuck.text());
        let refused = ended(End::NotInflicted("node 2 is gone".into()));
        assert_eq!((refused.verdict(), &refused.json()["verdict"]), (Verdict::Incomplete, &json!("INCOMPLETE")));
        assert_eq!(Report { faults: Vec::new(), ..report() }.verdict(), Verdict::Incomplete, "it shows nothing");
    }

    #[test]
    fn what_a_fault_did_is_counted_where_it_did_it() {
        let report = report();
        let seen = report.during(&report.faults[0]);
        assert_eq!((seen.operations, seen.unknown, seen.longest), (2, 4, Duration::from_millis(1200)));
        assert_eq!(report.verdict(), Verdict::Pass);
        let text = report.text();
        assert!(
            text.contains("   1.0 s  kill -9 node 2 ") && text.contains("longest pause of a call 1.20 s"),
            "{text}"
        );
        assert!(text.ends_with("PASS\n"));
    }

    #[test]
    fn a_violation_names_its_fault_and_fails_the_run() {
        let mut report = report();
        report.violations.push(Violation {
            kind: Kind::Lost,
            workflow_id: "w".into(),
            what: "signal 3 was acknowledged and is missing".into(),
            at: Some(report.began + Duration::from_millis(1500)),
        });
        assert_eq!(report.verdict(), Verdict::Violation);
        assert!(report.text().contains("is missing (during: kill -9 node 2)"));
        let json = report.json();
        assert_eq!(
            (&json["lost"], &json["passed"], &json["faults"][0]["violations"]),
            (&json!(1), &json!(false), &json!(1))
        );
    }
}
