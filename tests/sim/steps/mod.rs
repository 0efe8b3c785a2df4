//! What can happen. A step is a kind and a number from which everything else about it is drawn, given the world it
//! meets: one file for each party that acts.

pub mod activities;
pub mod clients;
pub mod commands;
pub mod delivery;
pub mod faults;
pub mod operators;
pub mod tasks;
pub mod time;
pub mod wind_down;

use crate::{Checked, Random, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub kind: StepKind,
    pub entropy: u64,
}

macro_rules! kinds {
    ($($kind:ident $weight:literal $vital:literal => $run:path,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum StepKind { $($kind),* }

        pub const STEP_KINDS: &[StepKind] = &[$(StepKind::$kind),*];

        impl StepKind {
            /// How often it is drawn, before a seed changes that.
            pub fn weight(self) -> u64 {
                match self { $(Self::$kind => $weight),* }
            }

            /// No world does without it.
            pub fn is_vital(self) -> bool {
                match self { $(Self::$kind => $vital),* }
            }
        }

        pub fn carry_out(world: &mut World, step: &Step) -> Checked {
            let random = &mut Random::new(step.entropy);
            world.now += random.between(0, world.settings.pace);
            match step.kind { $(StepKind::$kind => $run(world, random)),* }
        }
    };
}

kinds! {
    Start 12 true => clients::start,
    Signal 10 false => clients::signal,
    SignalWithStart 3 false => clients::signal_with_start,
    Cancel 3 false => clients::cancel,
    Terminate 2 false => clients::terminate,
    Delete 1 false => clients::delete,
    Update 6 false => clients::update,
    UpdateWithStart 3 false => clients::update_with_start,
    PollWorkflow 24 true => tasks::poll,
    CompleteTask 24 true => tasks::complete,
    FailTask 3 false => tasks::fail,
    LoseTask 1 false => tasks::lose,
    ReturnTask 1 false => tasks::give_back,
    Unqueue 1 false => tasks::unqueue,
    ResetSticky 1 false => tasks::reset_sticky,
    PollActivity 14 true => activities::poll,
    CompleteActivity 9 true => activities::complete,
    FailActivity 6 false => activities::fail,
    CancelActivity 3 false => activities::cancel,
    Heartbeat 3 false => activities::heartbeat,
    ActivityById 2 false => activities::by_id,
    PauseActivity 2 false => operators::pause,
    UnpauseActivity 2 false => operators::unpause,
    ResetActivity 2 false => operators::reset,
    UpdateActivityOptions 2 false => operators::update_options,
    Retention 1 false => operators::retention,
    Advance 10 true => time::advance,
    Jump 1 false => time::jump,
    Tick 10 true => time::tick,
    Deliver 24 true => delivery::deliver,
    Acknowledge 8 true => delivery::acknowledge,
    Straggle 2 false => delivery::straggle,
    Repeat 5 false => faults::repeat,
    StaleTask 5 false => faults::stale,
    Recover 6 true => faults::recover,
    RestartFollower 1 false => faults::restart_follower,
    Reopen 1 false => faults::reopen,
    Elect 1 false => faults::elect,
}
