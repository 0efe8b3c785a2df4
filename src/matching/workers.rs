//! Workers that told of themselves, by heartbeats. In memory on the node that a heartbeat reached, and forgotten when
//! they fall silent (SEMANTICS B18); whoever asks about workers asks all nodes, and the latest word counts.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Mutex;

use futures::future::join_all;
use proto::everstep::peer::v1 as peer;
use proto::everstep::peer::v1::find_workers_response::Seen as WireSeen;
use proto::temporal::api::worker::v1::WorkerHeartbeat;
use tokio::time::timeout;

use super::service::{Matching, CALL_TIMEOUT};
use super::topology::{Call, Reply};
use super::types::span;

/// Temporal's matching.workerRegistry: how long a silent worker is remembered.
const SILENCE_MAX: i64 = 300 * span::SECOND;
/// Workers remembered on one node; at the limit those silent for longest go first.
const WORKERS_MAX: usize = 100_000;
/// Workers of one answer of a node.
const PAGE_MAX: usize = 1000;

/// (namespace id, worker instance key)
type Key = (String, String);

#[derive(Default)]
pub(super) struct Workers {
    seen: Mutex<BTreeMap<Key, Seen>>,
}

#[derive(Clone)]
struct Seen {
    heartbeat: WorkerHeartbeat,
    at: i64,
}

/// Some workers of a namespace, by instance key, and whether there may be others after them.
#[derive(Debug, Default, PartialEq)]
pub struct WorkerPage {
    pub workers: Vec<WorkerHeartbeat>,
    /// Where the next page begins; `None` after the last.
    pub after: Option<String>,
}

impl Workers {
    fn record(&self, now: i64, namespace_id: &str, heartbeats: Vec<WorkerHeartbeat>) {
        let mut seen = self.seen.lock().expect("no panic while held");
        for heartbeat in heartbeats {
            let key = (namespace_id.to_owned(), heartbeat.worker_instance_key.clone());
            seen.insert(key, Seen { heartbeat, at: now });
        }
        if seen.len() > WORKERS_MAX {
            make_room(now, &mut seen);
        }
    }

    fn find(&self, now: i64, request: &peer::FindWorkersRequest) -> Vec<Seen> {
        let key = |name: &str| (request.namespace_id.clone(), name.to_owned());
        let range = match request.only.as_str() {
            "" => (Excluded(key(&request.after)), Unbounded),
            only => (Included(key(only)), Included(key(only))),
        };
        let max = (request.max as usize).clamp(1, PAGE_MAX);
        let seen = self.seen.lock().expect("no panic while held");
        let of_namespace = seen.range(range).take_while(|((id, _), _)| *id == request.namespace_id);
        of_namespace.map(|(_, seen)| seen).filter(|seen| seen.is_fresh(now)).take(max).cloned().collect()
    }
}

impl Seen {
    fn is_fresh(&self, now: i64) -> bool {
        self.at + SILENCE_MAX > now
    }
}

fn make_room(now: i64, seen: &mut BTreeMap<Key, Seen>) {
    seen.retain(|_, seen| seen.is_fresh(now));
    let too_many = seen.len().saturating_sub(WORKERS_MAX * 9 / 10);
    let mut by_age: Vec<(i64, Key)> = seen.iter().map(|(key, seen)| (seen.at, key.clone())).collect();
    by_age.sort();
    for (_, key) in by_age.into_iter().take(too_many) {
        seen.remove(&key);
    }
}

impl Matching {
    /// What workers said of themselves, for the next five minutes.
    pub fn record_workers(&self, namespace_id: &str, heartbeats: Vec<WorkerHeartbeat>) {
        self.shared.workers.record(self.now(), namespace_id, heartbeats);
    }

    /// What the worker said last, to whichever node.
    pub async fn worker(&self, namespace_id: &str, instance_key: &str) -> Option<WorkerHeartbeat> {
        let request = peer::FindWorkersRequest {
            namespace_id: namespace_id.into(),
            only: instance_key.into(),
            max: 1,
            ..Default::default()
        };
        merge(self.find_everywhere(request).await, 1).workers.pop()
    }

    /// Workers of the namespace after the one named, of all nodes that answer.
    pub async fn workers(&self, namespace_id: &str, after: &str) -> WorkerPage {
        let max = PAGE_MAX as u32;
        let request = peer::FindWorkersRequest {
            namespace_id: namespace_id.into(),
            after: after.into(),
            max,
            ..Default::default()
        };
        merge(self.find_everywhere(request).await, PAGE_MAX)
    }

    async fn find_everywhere(&self, request: peer::FindWorkersRequest) -> Vec<Vec<WireSeen>> {
        let this = self.shared.topology.this_node();
        let others = self.shared.topology.alive_nodes().into_iter().filter(|&node| node != this);
        let calls = others
            .map(|node| timeout(CALL_TIMEOUT, self.shared.topology.call(node, Call::FindWorkers(request.clone()))));
        let answers = join_all(calls).await.into_iter().filter_map(|answer| match answer {
            Ok(Ok(Reply::FindWorkers(response))) => Some(response.workers),
            _ => None,
        });
        answers.chain([self.find_workers_here(&request).workers]).collect()
    }

    pub(super) fn find_workers_here(&self, request: &peer::FindWorkersRequest) -> peer::FindWorkersResponse {
        let now = self.now();
        let (found, skew) = (self.shared.workers.find(now, request), self.time() - now);
        let workers = found.into_iter().map(|seen| WireSeen { heartbeat: Some(seen.heartbeat), at: seen.at + skew });
        peer::FindWorkersResponse { workers: workers.collect() }
    }
}

/// The latest word of each worker. Beyond the end of a full page its node may know more, so all are cut there.
fn merge(pages: Vec<Vec<WireSeen>>, max: usize) -> WorkerPage {
    let key = |seen: &WireSeen| seen.heartbeat.as_ref().map(|one| one.worker_instance_key.clone()).unwrap_or_default();
    let full = pages.iter().filter(|page| page.len() >= max);
    let after = full.filter_map(|page| page.last().map(key)).min();
    let mut latest: BTreeMap<String, WireSeen> = BTreeMap::new();
    for seen in pages.into_iter().flatten() {
        let name = key(&seen);
        if after.as_ref().is_some_and(|after| name > *after) {
            continue;
        }
        if latest.get(&name).is_none_or(|known| known.at < seen.at) {
            latest.insert(name, seen);
        }
    }
    WorkerPage { workers: latest.into_values().filter_map(|seen| seen.heartbeat).collect(), after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(key: &str, sdk_version: &str) -> WorkerHeartbeat {
        WorkerHeartbeat { worker_instance_key: key.into(), sdk_version: sdk_version.into(), ..Default::default() }
    }

    fn found(workers: &Workers, now: i64, namespace_id: &str, after: &str, only: &str) -> Vec<String> {
        let (after, only) = (after.to_owned(), only.to_owned());
        let request = peer::FindWorkersRequest { namespace_id: namespace_id.into(), after, only, max: 10 };
        let version = |seen: Seen| format!("{}:{}", seen.heartbeat.worker_instance_key, seen.heartbeat.sdk_version);
        workers.find(now, &request).into_iter().map(version).collect()
    }

    #[test]
    fn the_last_heartbeat_of_each_worker_is_kept_apart_by_namespace_until_it_falls_silent() {
        let workers = Workers::default();
        workers.record(1, "a", vec![heartbeat("w1", "1"), heartbeat("w2", "1")]);
        workers.record(2, "a", vec![heartbeat("w1", "2")]);
        workers.record(2, "b", vec![heartbeat("w3", "1")]);
        assert_eq!(found(&workers, 3, "a", "", ""), ["w1:2", "w2:1"]);
        assert_eq!(found(&workers, 3, "a", "w1", ""), ["w2:1"]);
        assert_eq!(found(&workers, 3, "a", "", "w2"), ["w2:1"]);
        assert!(found(&workers, 3, "b", "", "w1").is_empty());
        assert_eq!(found(&workers, 1 + SILENCE_MAX, "a", "", ""), ["w1:2"]);
    }

    #[test]
    fn pages_of_several_nodes_make_one_and_the_latest_word_counts() {
        let seen = |key, version, at| WireSeen { heartbeat: Some(heartbeat(key, version)), at };
        let here = vec![seen("a", "1", 1), seen("b", "1", 5)];
        let there = vec![seen("b", "2", 9), seen("d", "1", 1), seen("e", "1", 1)];
        let page = merge(vec![here, there], 2);
        let said: Vec<_> = page.workers.iter().map(|one| (&*one.worker_instance_key, &*one.sdk_version)).collect();
        assert_eq!(said, [("a", "1"), ("b", "2")]);
        assert_eq!(page.after, Some("b".into()), "the first node may know others from there on");
        assert_eq!(merge(vec![vec![], vec![seen("a", "1", 1)]], 2).after, None);
    }
}
