//! An overlay of writes over a store: what one batch of log entries changes before it is written in one go.

use std::collections::BTreeMap;

use crate::kv::{Kv, Visit};
use crate::{Effect, Fault};

/// What a key is to hold; `None` deletes it.
type Change = Option<Vec<u8>>;

/// Writes of a batch of proposals, readable at once, with a savepoint per proposal so that a Reject leaves nothing.
pub struct Txn<'a> {
    base: &'a dyn Kv,
    writes: BTreeMap<Vec<u8>, Change>,
    /// What each key held in `writes` before the open savepoint changed it.
    undo: Vec<(Vec<u8>, Option<Change>)>,
    effects: Vec<Effect>,
}

/// How far a transaction had come; see [`Txn::mark`].
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    writes: usize,
    effects: usize,
}

impl<'a> Txn<'a> {
    pub fn new(base: &'a dyn Kv) -> Self {
        Self { base, writes: BTreeMap::new(), undo: Vec::new(), effects: Vec::new() }
    }

    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.set(key, Some(value));
    }

    pub fn delete(&mut self, key: Vec<u8>) {
        self.set(key, None);
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.writes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Keeps what was written since the last savepoint and returns its effects.
    pub fn keep(&mut self) -> Vec<Effect> {
        self.undo.clear();
        std::mem::take(&mut self.effects)
    }

    /// Takes back what was written since the last savepoint.
    pub fn roll_back(&mut self) {
        self.roll_back_to(Mark { writes: 0, effects: 0 });
    }

    /// A point within the open savepoint to go back to.
    pub fn mark(&self) -> Mark {
        Mark { writes: self.undo.len(), effects: self.effects.len() }
    }

    /// Takes back what was written since the mark.
    pub fn roll_back_to(&mut self, mark: Mark) {
        self.effects.truncate(mark.effects);
        while self.undo.len() > mark.writes {
            let Some((key, before)) = self.undo.pop() else { break };
            match before {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
        }
    }

    /// All writes of the batch, in key order; `None` deletes.
    pub fn into_writes(self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.writes
    }
}

impl Kv for Txn<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        let overlay = self.writes.range(from.to_vec()..to.to_vec());
        merge(overlay, |written, key| written < key, visit, |visit| self.base.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        let overlay = self.writes.range(from.to_vec()..to.to_vec()).rev();
        merge(overlay, |written, key| written > key, visit, |visit| self.base.scan_back(from, to, visit))
    }
}

/// Visits the rows of a store with an overlay's changes among them. Both come in the same order, in which `is_before`
/// says that a written key stands before a stored one.
fn merge<'w>(
    overlay: impl Iterator<Item = (&'w Vec<u8>, &'w Change)>,
    is_before: impl Fn(&[u8], &[u8]) -> bool,
    visit: &mut Visit<'_>,
    scan_base: impl FnOnce(&mut Visit<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut overlay = overlay.peekable();
    let mut open = true;
    scan_base(&mut |key, value| {
        while let Some((written, change)) = overlay.next_if(|(written, _)| is_before(written, key)) {
            if let Some(change) = change {
                open = visit(written, change);
                if !open {
                    return false;
                }
            }
        }
        open = match overlay.next_if(|(written, _)| written.as_slice() == key) {
            Some((_, Some(change))) => visit(key, change),
            Some((_, None)) => true,
            None => visit(key, value),
        };
        open
    })?;
    for (written, change) in overlay {
        if !open {
            break;
        }
        if let Some(change) = change {
            open = visit(written, change);
        }
    }
    Ok(())
}
