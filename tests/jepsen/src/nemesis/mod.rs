//! Who breaks things: `plan` says what and when (from a seed, without doing anything), `act` does it and takes it back.

mod act;
mod broken_disk;
mod damage;
pub mod plan;
mod run;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::history::Nanos;

pub use run::{run, Broken};

/// Kinds of faults. Those that a run's plan may choose from are given on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// kill -9 of one node.
    Kill,
    /// kill -9 of a majority at once.
    KillMajority,
    /// kill -9 of all nodes at once.
    KillAll,
    /// SIGSTOP of one node, and SIGCONT.
    Pause,
    /// SIGSTOP of a majority, and SIGCONT.
    PauseMajority,
    /// One node alone.
    Isolate,
    /// Two sides.
    Halves,
    /// Two sides that both reach one node.
    Bridge,
    /// Every node reaches only its neighbours.
    Ring,
    /// One node is not heard by the others.
    Mute,
    /// One node does not hear the others.
    Deaf,
    /// Clients do not reach one node.
    NoClients,
    /// Everything between nodes is late (proxy mode only).
    Slow,
    /// Packets between nodes are lost.
    Lossy,
    /// SIGTERM of one node, and a start.
    Restart,
    /// SIGTERM of one node after the other.
    Rolling,
    /// One node leads nothing for a while.
    Drain,
    /// A shard's leadership moves.
    Transfer,
    /// A new node joins and takes the place of one that is up, or was killed (netns mode if the network breaks as well).
    Replace,
    /// Two nodes join, and two leave.
    Resize,
    /// One node's wall clock jumps.
    Clock,
    /// The same, for longer than a jump has to last until a node may follow it.
    ClockWrong,
    /// Power cut of one node: kill -9, and what it had not synced is gone.
    LoseUnsynced,
    /// Power cut of a majority at once.
    LoseUnsyncedMajority,
    /// Power cut of all nodes at once.
    LoseUnsyncedAll,
    /// One node's disk is full.
    DiskFull,
    /// One node's disk answers with I/O errors. The node has to end itself, and is started again or replaced.
    Eio,
    /// One node's disk does not answer a sync for seconds.
    FsyncStall,
    /// A stopped node's files are damaged. It refuses to start or recovers, and is replaced.
    Corrupt,
}

impl Kind {
    /// Whether it is done to links between nodes.
    pub fn is_of_network(self) -> bool {
        let cuts = matches!(self, Self::Isolate | Self::Halves | Self::Bridge | Self::Ring | Self::Mute | Self::Deaf);
        cuts || matches!(self, Self::Slow | Self::Lossy)
    }

    /// Whether it needs disks that can be broken.
    pub fn is_of_disk(self) -> bool {
        let cuts = matches!(self, Self::LoseUnsynced | Self::LoseUnsyncedMajority | Self::LoseUnsyncedAll);
        cuts || matches!(self, Self::DiskFull | Self::Eio | Self::FsyncStall)
    }

    /// Whether it takes its effect while it is made, and not when it has been made.
    pub fn is_gradual(self) -> bool {
        let members = matches!(self, Self::Replace | Self::Resize | Self::Transfer | Self::Drain);
        members || matches!(self, Self::Rolling | Self::Restart | Self::DiskFull | Self::Eio | Self::Corrupt)
    }

    /// Whether it may be made while the other one holds: it is still known what has to happen then, and each can be taken
    /// back by itself.
    pub fn joins(self, other: Self) -> bool {
        match (self, other) {
            (Self::Clock | Self::ClockWrong, Self::Clock | Self::ClockWrong) => false,
            (Self::Clock | Self::ClockWrong | Self::NoClients, other) => self != other,
            // What such a disk has to lead to is judged by what the other nodes can do about it.
            (_, Self::DiskFull | Self::Corrupt) => false,
            (network, other) if network.is_of_network() => !other.is_of_network(),
            // Those leave no node that could be struck, or choose the nodes that leave in the end.
            (_, Self::KillAll | Self::LoseUnsyncedAll | Self::Rolling | Self::Resize) => false,
            (Self::Kill | Self::Pause | Self::Restart | Self::LoseUnsynced | Self::FsyncStall, _) => true,
            _ => false,
        }
    }

    /// Whether it is done to a node's process or to its disk: one such fault at a time for each node.
    pub fn is_of_process(self) -> bool {
        let elsewhere = matches!(self, Self::Clock | Self::ClockWrong | Self::NoClients | Self::Drain | Self::Transfer);
        !self.is_of_network() && !elsewhere
    }

    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A fault as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    pub kind: Kind,
    /// What exactly: nodes, pairs, amounts.
    pub what: String,
    /// The nodes that it was aimed at.
    pub nodes: Vec<u64>,
    /// Data shards that these nodes led when it began.
    pub led: Vec<u32>,
    pub begin: Nanos,
    /// When it was taken back.
    pub end: Nanos,
    /// When every node was up again and every shard led; 0 if that was not seen.
    pub whole: Nanos,
    /// Another one held at the same time.
    pub combined: bool,
}
