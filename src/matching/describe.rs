//! What DescribeTaskQueue tells: who polls, how much waits, how fast it moves; merged over the nodes.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::describe_queue_response::{Level as WireLevel, Poller};
use proto::temporal::api::common::v1::WorkerVersionCapabilities;
use proto::temporal::api::deployment::v1::WorkerDeploymentOptions;
use statemachine::QueueKey;
use tokio::time::timeout;

use super::service::{Matching, CALL_TIMEOUT};
use super::topology::{Call, Level, ReadyBacklog, Reply};
use super::wire;
use super::words::Place;

/// A worker that polled within the last five minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct PollerInfo {
    pub identity: String,
    pub last_access: i64,
    /// Its `max_tasks_per_second`; 0 if it gave none.
    pub rate: f64,
    pub version: Option<WorkerVersionCapabilities>,
    pub deployment: Option<WorkerDeploymentOptions>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueInfo {
    /// By identity.
    pub pollers: Vec<PollerInfo>,
    pub last_poll: Option<i64>,
    /// `max_tasks_per_second` of the latest poll that had one.
    pub asked_rate: Option<f64>,
    /// By priority.
    pub levels: BTreeMap<i32, QueueLevel>,
}

/// The tasks of one priority.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueueLevel {
    /// Ready and not handed out.
    pub backlog: i64,
    /// Ready time of the one that waits longest, 0 without one.
    pub oldest: i64,
    /// Per second, over the last thirty.
    pub add_rate: f32,
    pub dispatch_rate: f32,
}

impl QueueLevel {
    fn add(&mut self, other: &Self) {
        self.backlog += other.backlog;
        let known = [self.oldest, other.oldest].into_iter().filter(|&time| time > 0);
        self.oldest = known.min().unwrap_or_default();
        self.add_rate += other.add_rate;
        self.dispatch_rate += other.dispatch_rate;
    }
}

impl QueueInfo {
    /// Over all priorities.
    pub fn total(&self) -> QueueLevel {
        let mut total = QueueLevel::default();
        self.levels.values().for_each(|level| total.add(level));
        total
    }
}

impl Matching {
    /// What all nodes that answer know of the queue.
    pub async fn describe(&self, queue: &QueueKey) -> QueueInfo {
        let this = self.shared.topology.this_node();
        let others = self.shared.topology.alive_nodes().into_iter().filter(|&node| node != this);
        let calls = others.map(|node| {
            let request = peer::DescribeQueueRequest { queue: Some(wire::queue(queue)), polls_only: false };
            timeout(CALL_TIMEOUT, self.shared.topology.call(node, Call::DescribeQueue(request)))
        });
        let (here, answers) = tokio::join!(self.describe_here(queue, Detail::All), join_all(calls));
        let mut all = vec![here];
        for answer in answers {
            if let Ok(Ok(Reply::DescribeQueue(response))) = answer {
                all.push(*response);
            }
        }
        merge(all)
    }

    pub(super) async fn describe_here(&self, queue: &QueueKey, detail: Detail) -> peer::DescribeQueueResponse {
        let (known, skew) = self.with_inner(|inner, now| (inner.core.describe(now, queue), inner.core.skew));
        let ready = match (self.source(), detail) {
            (Some(source), Detail::All) => timeout(CALL_TIMEOUT, source.backlog(queue)).await.unwrap_or_default(),
            (None, _) | (_, Detail::Polls) => ReadyBacklog::default(),
        };
        let pollers = known.sightings.into_iter().map(|seen| Poller {
            identity: seen.poller.identity,
            last_access: seen.last_access + skew,
            rate: seen.rate,
            version: seen.poller.version,
            deployment: seen.poller.deployment,
        });
        peer::DescribeQueueResponse {
            pollers: pollers.collect(),
            last_poll: known.last_poll.map_or(0, |last_poll| last_poll + skew),
            buffered: known.buffered as i64,
            oldest_buffered: known.oldest.unwrap_or_default(),
            ready: ready.total().tasks,
            oldest_ready: ready.total().oldest,
            add_rate: known.added.values().sum(),
            dispatch_rate: known.dispatched.values().sum(),
            levels: levels(&ready, &known.added, &known.dispatched),
            asked_rate: known.asked.filter(|_| self.place(queue) == Place::Home),
        }
    }
}

/// How much a description tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    All,
    Polls,
}

fn levels(ready: &ReadyBacklog, added: &BTreeMap<i32, f32>, dispatched: &BTreeMap<i32, f32>) -> Vec<WireLevel> {
    let priorities: BTreeSet<i32> = ready.levels.keys().chain(added.keys()).chain(dispatched.keys()).copied().collect();
    let level = |priority: i32| {
        let Level { tasks, oldest } = ready.levels.get(&priority).copied().unwrap_or_default();
        let rate = |rates: &BTreeMap<i32, f32>| rates.get(&priority).copied().unwrap_or_default();
        WireLevel { priority, tasks, oldest, add_rate: rate(added), dispatch_rate: rate(dispatched) }
    };
    priorities.into_iter().map(level).collect()
}

fn merge(all: Vec<peer::DescribeQueueResponse>) -> QueueInfo {
    let mut pollers: BTreeMap<String, Poller> = BTreeMap::new();
    let mut info = QueueInfo::default();
    for one in all {
        info.asked_rate = info.asked_rate.or(one.asked_rate);
        info.last_poll = info.last_poll.max(Some(one.last_poll).filter(|&time| time > 0));
        for WireLevel { priority, tasks: backlog, oldest, add_rate, dispatch_rate } in one.levels {
            // Queries have no priority and are no tasks to count.
            if priority > 0 {
                let level = QueueLevel { backlog, oldest, add_rate, dispatch_rate };
                info.levels.entry(priority).or_default().add(&level);
            }
        }
        for poller in one.pollers {
            let known = pollers.get(&poller.identity);
            if known.is_none_or(|known| known.last_access < poller.last_access) {
                pollers.insert(poller.identity.clone(), poller);
            }
        }
    }
    info.pollers = pollers
        .into_values()
        .map(|poller| PollerInfo {
            identity: poller.identity,
            last_access: poller.last_access,
            rate: poller.rate,
            version: poller.version,
            deployment: poller.deployment,
        })
        .collect();
    info
}
