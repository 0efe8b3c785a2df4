//! A partition for tests, made by the node itself: nothing goes to the nodes it is cut off from, nothing of them is
//! taken. It ends by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct Cuts {
    /// Whether there may be one: all that an undisturbed node ever looks at.
    any: AtomicBool,
    until: Mutex<HashMap<u64, Instant>>,
}

impl Cuts {
    pub(super) fn cut(&self, nodes: &[u64], time: Duration) {
        let mut until = self.until.lock().expect("no panic while held");
        let end = Instant::now() + time;
        until.extend(nodes.iter().map(|&node| (node, end)));
        self.any.store(!until.is_empty(), Ordering::Release);
    }

    pub(super) fn is_cut(&self, node: u64) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut until = self.until.lock().expect("no panic while held");
        until.retain(|_, end| Instant::now() < *end);
        self.any.store(!until.is_empty(), Ordering::Release);
        until.contains_key(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_ends_by_itself() {
        let cuts = Cuts::default();
        assert!(!cuts.is_cut(2));
        cuts.cut(&[2], Duration::from_millis(30));
        assert!(cuts.is_cut(2) && !cuts.is_cut(3));
        std::thread::sleep(Duration::from_millis(40));
        assert!(!cuts.is_cut(2) && !cuts.any.load(Ordering::Acquire));
    }
}
