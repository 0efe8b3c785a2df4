//! Tells this node's caches that rows of the system shard changed.

use tokio::sync::watch;

/// Versions of what the system shard holds, as this replica has applied it. Cheap to bump from an apply thread.
pub struct ChangeFeed {
    cluster: watch::Sender<u64>,
    namespaces: watch::Sender<u64>,
}

impl ChangeFeed {
    pub fn new() -> Self {
        Self { cluster: watch::Sender::new(1), namespaces: watch::Sender::new(1) }
    }

    /// The cluster record, a node or the slot map changed.
    pub fn cluster_changed(&self) {
        self.cluster.send_modify(|version| *version += 1);
    }

    pub fn namespaces_changed(&self) {
        self.namespaces.send_modify(|version| *version += 1);
    }

    pub(super) fn cluster(&self) -> watch::Receiver<u64> {
        self.cluster.subscribe()
    }

    pub(super) fn cluster_version(&self) -> u64 {
        *self.cluster.borrow()
    }

    pub(super) fn namespaces_version(&self) -> u64 {
        *self.namespaces.borrow()
    }
}

impl Default for ChangeFeed {
    fn default() -> Self {
        Self::new()
    }
}
