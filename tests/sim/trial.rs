//! One run of the simulation: a list of steps in a world, checked every so often, and at the end wound down to nothing.

use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::invariants;
use crate::steps::{self, Step};
use crate::{Checked, Random, Settings, Violation, World};

/// Steps between two checks of everything.
pub const CHECK_EVERY: usize = 512;

/// What to run.
#[derive(Debug, Clone)]
pub struct Trial {
    pub seed: u64,
    pub steps: Vec<Step>,
    pub check_every: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// `Ok`: the digest.
    pub result: Result<u64, Violation>,
    /// Steps carried out before the violation.
    pub steps: usize,
    pub ops: u64,
    pub kinds: std::collections::BTreeMap<String, (u64, u64)>,
    pub trace: Vec<String>,
}

impl Trial {
    pub fn of_seed(seed: u64, count: usize) -> Self {
        let settings = Settings::of_seed(seed);
        let mut random = Random::new(seed);
        let steps = (0..count).map(|_| Step { kind: settings.draw(&mut random), entropy: random.word() }).collect();
        Self { seed, steps, check_every: CHECK_EVERY }
    }

    pub fn run(&self) -> Verdict {
        self.run_in(World::new(Settings::of_seed(self.seed)))
    }

    /// Like [`Trial::run`], and says what was done.
    pub fn run_traced(&self) -> Verdict {
        let mut world = World::new(Settings::of_seed(self.seed));
        world.trace = Some(Vec::new());
        self.run_in(world)
    }

    fn run_in(&self, mut world: World) -> Verdict {
        let mut done = 0;
        let result = catch_unwind(AssertUnwindSafe(|| self.carry_out(&mut world, &mut done)))
            .unwrap_or_else(|panic| Err(Violation { invariant: "no_panic", what: panic_text(panic.as_ref()) }));
        Verdict {
            result: result.map(|()| world.final_digest()),
            steps: done,
            ops: world.ops,
            kinds: std::mem::take(&mut world.ledger.kinds),
            trace: world.trace.take().unwrap_or_default(),
        }
    }

    fn carry_out(&self, world: &mut World, done: &mut usize) -> Checked {
        for step in &self.steps {
            *done += 1;
            steps::carry_out(world, step)?;
            if done.is_multiple_of(self.check_every) {
                invariants::check_all(world, &mut Random::new(step.entropy))?;
            }
        }
        let mut random = Random::new(self.seed ^ 0xe4d);
        invariants::check_all(world, &mut random)?;
        steps::wind_down::carry_out(world, &mut random)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
