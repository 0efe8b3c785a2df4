//! What each namespace has of a node's matching: queues in use and parked pollers. One namespace cannot take so much that
//! nothing is left for others.

use std::collections::HashMap;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) queues: usize,
    pub(super) pollers: usize,
}

/// By namespace id; those that have nothing are not kept.
#[derive(Debug, Default)]
pub(super) struct Shares {
    of: HashMap<String, Share>,
}

impl Shares {
    pub(super) fn of(&self, namespace_id: &str) -> Share {
        self.of.get(namespace_id).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, namespace_id: &str, what: fn(&mut Share) -> &mut usize) {
        *what(self.of.entry(namespace_id.to_owned()).or_default()) += 1;
    }

    pub(super) fn remove(&mut self, namespace_id: &str, what: fn(&mut Share) -> &mut usize) {
        let share = self.of.get_mut(namespace_id).expect("what goes was counted");
        *what(share) -= 1;
        if *share == Share::default() {
            self.of.remove(namespace_id);
        }
    }
}

/// Parts of a share, to count in.
pub(super) fn queues(share: &mut Share) -> &mut usize {
    &mut share.queues
}

pub(super) fn pollers(share: &mut Share) -> &mut usize {
    &mut share.pollers
}
