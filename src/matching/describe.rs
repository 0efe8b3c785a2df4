//! What DescribeTaskQueue tells: who polls, how much waits, how fast it moves; merged over the nodes.

use std::collections::BTreeMap;

use futures::future::join_all;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::describe_queue_response::Poller;
use proto::temporal::api::common::v1::WorkerVersionCapabilities;
use proto::temporal::api::deployment::v1::WorkerDeploymentOptions;
use statemachine::QueueKey;
use tokio::time::timeout;

use super::service::{Matching, CALL_TIMEOUT};
use super::topology::{Call, ReadyBacklog, Reply};
use super::wire;

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
    pub backlog: i64,
    /// Ready time of the task that waits longest.
    pub oldest: Option<i64>,
    /// Per second, over the last thirty.
    pub add_rate: f32,
    pub dispatch_rate: f32,
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
        let known = self.with_inner(|inner, now| inner.core.describe(now, queue));
        let ready = match (self.source(), detail) {
            (Some(source), Detail::All) => timeout(CALL_TIMEOUT, source.backlog(queue)).await.unwrap_or_default(),
            (None, _) | (_, Detail::Polls) => ReadyBacklog::default(),
        };
        let pollers = known.sightings.into_iter().map(|seen| Poller {
            identity: seen.poller.identity,
            last_access: seen.last_access,
            rate: seen.rate,
            version: seen.poller.version,
            deployment: seen.poller.deployment,
        });
        peer::DescribeQueueResponse {
            pollers: pollers.collect(),
            last_poll: known.last_poll.unwrap_or_default(),
            buffered: known.buffered as i64,
            oldest_buffered: known.oldest.unwrap_or_default(),
            ready: ready.tasks,
            oldest_ready: ready.oldest,
            add_rate: known.add_rate,
            dispatch_rate: known.dispatch_rate,
        }
    }
}

/// How much a description tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    All,
    Polls,
}

fn merge(all: Vec<peer::DescribeQueueResponse>) -> QueueInfo {
    let mut pollers: BTreeMap<String, Poller> = BTreeMap::new();
    let mut info = QueueInfo::default();
    let (mut buffered, mut ready) = (0, 0);
    for one in all {
        buffered += one.buffered;
        ready += one.ready;
        info.add_rate += one.add_rate;
        info.dispatch_rate += one.dispatch_rate;
        info.last_poll = info.last_poll.max(Some(one.last_poll).filter(|&time| time > 0));
        for oldest in [one.oldest_buffered, one.oldest_ready] {
            if oldest > 0 {
                info.oldest = Some(info.oldest.map_or(oldest, |before| before.min(oldest)));
            }
        }
        for poller in one.pollers {
            let known = pollers.get(&poller.identity);
            if known.is_none_or(|known| known.last_access < poller.last_access) {
                pollers.insert(poller.identity.clone(), poller);
            }
        }
    }
    // What is buffered is ready too; the tables are asked a moment later and may lack what was just handed out.
    info.backlog = buffered.max(ready);
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
