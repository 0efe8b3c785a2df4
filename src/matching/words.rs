//! What goes into the core and what comes out of it.

use std::collections::BTreeMap;

use statemachine::{op, QueueKey};

use super::sightings::Sighting;
use super::types::{Started, Task};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PollerId(pub(super) u64);

/// Whose poller it is: one that called this node, or one that another node registered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Local,
    Remote,
}

/// Whether this node is the queue's home now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Home,
    Elsewhere,
}

#[derive(Debug, Clone)]
pub(super) struct Poll {
    pub(super) queue: QueueKey,
    pub(super) origin: Origin,
    /// As the client says; not known of another node's.
    pub(super) sticky: bool,
    pub(super) poller: op::Poller,
    pub(super) rate: Option<f64>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Polled {
    Task(Box<Task>),
    Parked(PollerId),
    /// What was promised to it.
    Started(Box<Started>),
    /// Its worker was shut down.
    ShutDown,
}

/// Why a task is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Ready,
    /// It was handed out and came back unstarted.
    Returned,
}

#[derive(Debug, PartialEq)]
pub(super) enum Offered {
    Taken,
    Kept,
    Known,
    Full,
    /// Nobody polls this sticky queue.
    Unpolled(Box<Task>),
    /// Nobody here takes it and this is not its home.
    Away(Box<Task>),
}

/// What a poll ends with.
#[derive(Debug, PartialEq)]
pub(super) enum Delivery {
    Task(Box<Task>),
    Started(Box<Started>),
    Empty,
    /// This node is not the queue's home any more.
    Moved,
}

#[derive(Debug, PartialEq)]
pub(super) enum Output {
    Serve {
        poller: PollerId,
        delivery: Delivery,
    },
    Pull {
        queue: QueueKey,
        node: u64,
        max: usize,
    },
    /// It was started for a poll that did not come.
    GiveBack(Box<Started>),
}

/// What one node knows of a queue.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) sightings: Vec<Sighting>,
    pub(super) last_poll: Option<i64>,
    pub(super) buffered: usize,
    pub(super) oldest: Option<i64>,
    /// Per second, by priority.
    pub(super) added: BTreeMap<i32, f32>,
    pub(super) dispatched: BTreeMap<i32, f32>,
    /// The rate that workers ask for.
    pub(super) asked: Option<f64>,
}
