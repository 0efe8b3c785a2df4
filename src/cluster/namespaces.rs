//! Namespaces by name and by id, from the local system shard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use statemachine::{state, tables, Fault, Kv};
use tokio::sync::watch;
use tokio::time::{timeout_at, Instant};

use super::{ChangeFeed, RouteError, Router, Target, SYSTEM_SHARD};

/// How long a call may wait for a node that starts, and a miss for a namespace registered elsewhere a moment ago.
const PATIENCE: Duration = Duration::from_secs(5);
/// Cached namespaces; at the limit the cache starts anew.
const CACHED_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    #[error("there is no such namespace")]
    NotFound,
    #[error(transparent)]
    Route(#[from] RouteError),
}

pub struct Namespaces {
    router: Arc<Router>,
    feed: Arc<ChangeFeed>,
    cache: Mutex<Cache>,
    opened: watch::Sender<bool>,
}

#[derive(Default)]
struct Cache {
    version: u64,
    by_name: HashMap<String, Arc<state::Namespace>>,
    by_id: HashMap<String, Arc<state::Namespace>>,
}

/// One of the two ways to name a namespace.
#[derive(Clone, Copy)]
enum Key<'a> {
    Name(&'a str),
    Id(&'a str),
}

impl Namespaces {
    pub fn new(router: Arc<Router>) -> Self {
        let feed = router.feed.clone();
        Self { router, feed, cache: Mutex::default(), opened: watch::Sender::new(false) }
    }

    /// The namespaces that the cluster begins with are there. Until then every caller waits, because a client that
    /// connects to a server that starts takes NotFound for an answer.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Never says NotFound of a namespace whose registration was acknowledged before, whichever node did it.
    pub async fn by_name(&self, name: &str) -> Result<Arc<state::Namespace>, NamespaceError> {
        self.find(Key::Name(name)).await
    }

    pub async fn by_id(&self, id: &str) -> Result<Arc<state::Namespace>, NamespaceError> {
        self.find(Key::Id(id)).await
    }

    async fn find(&self, key: Key<'_>) -> Result<Arc<state::Namespace>, NamespaceError> {
        let deadline = Instant::now() + PATIENCE;
        if !*self.opened.borrow() {
            let opened = timeout_at(deadline, self.opened.subscribe().wait_for(|opened| *opened)).await.is_ok();
            opened.then_some(()).ok_or_else(|| RouteError::unavailable("the cluster is not bootstrapped yet"))?;
        }
        if let Some(namespace) = self.look_up(key)? {
            return Ok(namespace);
        }
        self.router.read(Target::System, deadline).await?;
        self.look_up(key)?.ok_or(NamespaceError::NotFound)
    }

    /// From the cache or this node's replica.
    fn look_up(&self, key: Key<'_>) -> Result<Option<Arc<state::Namespace>>, RouteError> {
        let version = self.feed.namespaces_version();
        if let Some(cached) = self.cache.lock().expect("no panic while held").get(version, key) {
            return Ok(Some(cached));
        }
        let Some(rows) = self.router.local(SYSTEM_SHARD) else {
            return Err(RouteError::unavailable("the node starts"));
        };
        let found = key.read(&rows).map_err(|fault| RouteError::unavailable(fault.to_string()))?.map(Arc::new);
        if let Some(found) = &found {
            self.cache.lock().expect("no panic while held").insert(version, found);
        }
        Ok(found)
    }
}

impl Key<'_> {
    fn read(self, rows: &dyn Kv) -> Result<Option<state::Namespace>, Fault> {
        match self {
            Self::Name(name) => tables::namespace_by_name(rows, name),
            Self::Id(id) => tables::namespace(rows, id),
        }
    }
}

impl Cache {
    fn get(&mut self, version: u64, key: Key<'_>) -> Option<Arc<state::Namespace>> {
        if self.version < version {
            *self = Self { version, ..Self::default() };
        }
        match key {
            Key::Name(name) => self.by_name.get(name).cloned(),
            Key::Id(id) => self.by_id.get(id).cloned(),
        }
    }

    /// `version` was current before the row was read: a row that changed meanwhile is dropped with the next look.
    fn insert(&mut self, version: u64, namespace: &Arc<state::Namespace>) {
        if self.version != version {
            return;
        }
        if self.by_id.len() >= CACHED_MAX {
            *self = Self { version, ..Self::default() };
        }
        let name = namespace.info.as_ref().map(|info| info.name.clone()).unwrap_or_default();
        self.by_name.insert(name, namespace.clone());
        self.by_id.insert(namespace.id.clone(), namespace.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_empties_the_cache_and_an_old_row_is_not_kept() {
        let namespace = Arc::new(state::Namespace { id: "id".into(), ..Default::default() });
        let mut cache = Cache::default();
        assert!(cache.get(1, Key::Id("id")).is_none());
        cache.insert(1, &namespace);
        assert!(cache.get(1, Key::Id("id")).is_some());
        assert!(cache.get(2, Key::Id("id")).is_none());
        cache.insert(1, &namespace);
        assert!(cache.get(2, Key::Id("id")).is_none());
    }
}
