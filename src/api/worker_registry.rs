//! Workers that told of themselves, by heartbeats. In memory, on the node that they reached, and forgotten when they
//! fall silent (SEMANTICS B18).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proto::temporal::api::worker::v1::WorkerHeartbeat;

/// Temporal's matching.workerRegistry: how long a silent worker is remembered.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Workers remembered on one node; at the limit those silent for longest go first.
const WORKERS_MAX: usize = 100_000;

/// (namespace id, worker instance key)
type Key = (String, String);

#[derive(Default)]
pub struct WorkerRegistry {
    workers: Mutex<BTreeMap<Key, Seen>>,
}

struct Seen {
    heartbeat: WorkerHeartbeat,
    at: Instant,
}

impl WorkerRegistry {
    pub fn record(&self, namespace_id: &str, heartbeats: Vec<WorkerHeartbeat>) {
        let at = Instant::now();
        let mut workers = self.workers.lock().expect("no panic while held");
        for heartbeat in heartbeats {
            let key = (namespace_id.to_owned(), heartbeat.worker_instance_key.clone());
            workers.insert(key, Seen { heartbeat, at });
        }
        if workers.len() > WORKERS_MAX {
            make_room(&mut workers);
        }
    }

    pub fn find(&self, namespace_id: &str, instance_key: &str) -> Option<WorkerHeartbeat> {
        let workers = self.workers.lock().expect("no panic while held");
        let seen = workers.get(&(namespace_id.to_owned(), instance_key.to_owned()))?;
        seen.is_fresh().then(|| seen.heartbeat.clone())
    }

    /// At most `max` workers of the namespace, by instance key, after the one named.
    pub fn page(&self, namespace_id: &str, after: &str, max: usize) -> Vec<WorkerHeartbeat> {
        use std::ops::Bound::{Excluded, Unbounded};
        let workers = self.workers.lock().expect("no panic while held");
        let from = (namespace_id.to_owned(), after.to_owned());
        let of_namespace = workers.range((Excluded(from), Unbounded)).take_while(|((id, _), _)| id == namespace_id);
        of_namespace.filter(|(_, seen)| seen.is_fresh()).take(max).map(|(_, seen)| seen.heartbeat.clone()).collect()
    }
}

impl Seen {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < SILENCE_MAX
    }
}

fn make_room(workers: &mut BTreeMap<Key, Seen>) {
    workers.retain(|_, seen| seen.is_fresh());
    let too_many = workers.len().saturating_sub(WORKERS_MAX * 9 / 10);
    let mut by_age: Vec<(Instant, Key)> = workers.iter().map(|(key, seen)| (seen.at, key.clone())).collect();
    by_age.sort();
    for (_, key) in by_age.into_iter().take(too_many) {
        workers.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(key: &str, sdk_version: &str) -> WorkerHeartbeat {
        WorkerHeartbeat { worker_instance_key: key.into(), sdk_version: sdk_version.into(), ..Default::default() }
    }

    #[test]
    fn the_last_heartbeat_of_each_worker_is_kept_apart_by_namespace() {
        let registry = WorkerRegistry::default();
        registry.record("a", vec![heartbeat("w1", "1"), heartbeat("w2", "1")]);
        registry.record("a", vec![heartbeat("w1", "2")]);
        registry.record("b", vec![heartbeat("w3", "1")]);
        assert_eq!(registry.find("a", "w1").map(|found| found.sdk_version), Some("2".into()));
        assert_eq!(registry.find("b", "w1"), None);
        let keys = |page: Vec<WorkerHeartbeat>| page.into_iter().map(|w| w.worker_instance_key).collect::<Vec<_>>();
        assert_eq!(keys(registry.page("a", "", 10)), ["w1", "w2"]);
        assert_eq!(keys(registry.page("a", "w1", 10)), ["w2"]);
    }
}
