//! Which fault comes when: the same seed gives the same list.

use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// From the end of one fault to the next, at least; the cluster must be whole again as well.
pub const BETWEEN: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Schedule {
    /// kill -9 of the node that leads most shards, again and again.
    KillLeaders,
    /// A node stands still for 1 to 4 seconds (SIGSTOP).
    Pauses,
    /// A node is cut off from the others for 3 to 6 seconds; needs `chaos = true` on the nodes.
    Partitions,
    /// Every node in turn stops in order (SIGTERM) and comes back; nodes elsewhere are drained instead.
    Rolling,
    /// All of these that can be done here, and transfers of leaderships.
    Mix,
}

/// What a cluster lets be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// The nodes are processes of this machine.
    pub processes: bool,
    /// All nodes honour cuts.
    pub cuts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillLeader,
    Pause(Duration),
    CutOff(Duration),
    /// Stops the nth node in order.
    Stop(usize),
    /// Drains the nth node for a while.
    Drain(usize, Duration),
    Transfer,
}

impl Schedule {
    /// Faults without end, or why there can be none.
    pub fn faults(self, seed: u64, means: Means) -> Result<Faults, String> {
        let processes = "kills, pauses and restarts need nodes that run on this machine";
        let cuts = "partitions need `chaos = true` in the configuration of every node";
        match self {
            Self::KillLeaders | Self::Pauses if !means.processes => Err(processes.into()),
            Self::Partitions if !means.cuts => Err(cuts.into()),
            _ => Ok(Faults { schedule: self, means, random: StdRng::seed_from_u64(seed), count: 0 }),
        }
    }
}

pub struct Faults {
    schedule: Schedule,
    means: Means,
    random: StdRng,
    count: usize,
}

impl Iterator for Faults {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        let nth = self.count;
        self.count += 1;
        Some(match self.schedule {
            Schedule::KillLeaders => Fault::KillLeader,
            Schedule::Pauses => self.pause(),
            Schedule::Partitions => self.cut(),
            Schedule::Rolling => self.roll(nth),
            Schedule::Mix => self.any(nth),
        })
    }
}

impl Faults {
    fn pause(&mut self) -> Fault {
        Fault::Pause(Duration::from_millis(self.random.random_range(1000..=4000)))
    }

    fn cut(&mut self) -> Fault {
        Fault::CutOff(Duration::from_millis(self.random.random_range(3000..=6000)))
    }

    fn roll(&mut self, nth: usize) -> Fault {
        match self.means.processes {
            true => Fault::Stop(nth),
            false => Fault::Drain(nth, Duration::from_secs(5)),
        }
    }

    fn any(&mut self, nth: usize) -> Fault {
        let mut kinds = vec!["roll", "transfer"];
        if self.means.processes {
            kinds.extend(["kill", "kill", "pause", "pause"]);
        }
        if self.means.cuts {
            kinds.extend(["cut", "cut"]);
        }
        match kinds.choose(&mut self.random) {
            Some(&"kill") => Fault::KillLeader,
            Some(&"pause") => self.pause(),
            Some(&"cut") => self.cut(),
            Some(&"transfer") => Fault::Transfer,
            _ => self.roll(nth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Means = Means { processes: true, cuts: true };

    #[test]
    fn a_seed_is_a_list() {
        let list = |seed| Schedule::Mix.faults(seed, ALL).expect("possible").take(40).collect::<Vec<_>>();
        assert_eq!(list(7), list(7));
        assert_ne!(list(7), list(8));
        let kinds = |wanted: fn(&Fault) -> bool| list(7).iter().filter(|fault| wanted(fault)).count();
        assert!(kinds(|fault| matches!(fault, Fault::KillLeader)) > 0);
        assert!(kinds(|fault| matches!(fault, Fault::CutOff(_))) > 0);
        assert!(kinds(|fault| matches!(fault, Fault::Transfer)) > 0);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let none = Means { processes: false, cuts: false };
        for schedule in [Schedule::KillLeaders, Schedule::Pauses, Schedule::Partitions] {
            assert!(schedule.faults(1, none).is_err(), "{schedule:?}");
        }
        let mut rolling = Schedule::Rolling.faults(1, none).expect("drains are possible everywhere");
        assert_eq!(rolling.next(), Some(Fault::Drain(0, Duration::from_secs(5))));
        let mix = Schedule::Mix.faults(1, none).expect("drains and transfers remain");
        assert!(mix.take(30).all(|fault| matches!(fault, Fault::Drain(..) | Fault::Transfer)));
    }
}
