//! What the core needs of a store: ordered bytes. RocksDB stands behind it in the server, a map in tests.

use std::collections::BTreeMap;

use crate::Fault;

/// Called for each row of a scan, key then value; `false` ends the scan.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> bool + 'v;

/// Ordered rows of bytes.
pub trait Kv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Visits the rows of `[from, to)` in ascending order of keys.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault>;

    /// Visits the rows of `[from, to)` in descending order of keys.
    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault>;
}

/// A store for tests and benches.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MemoryKv {
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryKv {
    /// Takes over what a [`crate::Txn`] wrote.
    pub fn write(&mut self, writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
        for (key, value) in writes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.rows.range(from.to_vec()..to.to_vec()) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.rows.range(from.to_vec()..to.to_vec()).rev() {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
