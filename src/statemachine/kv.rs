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

#[cfg(any(test, feature = "testing"))]
impl MemoryKv {
    /// All rows as bytes, lengths first.
    pub fn dump(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in self.rows.iter().flat_map(|(key, value)| [key, value]) {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// The rows of a dump.
    pub fn from_dump(mut bytes: &[u8]) -> Self {
        let mut part = || -> Option<Vec<u8>> {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (part, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            bytes = rest;
            Some(part.to_vec())
        };
        let mut kv = Self::default();
        while let (Some(key), Some(value)) = (part(), part()) {
            kv.rows.insert(key, value);
        }
        kv
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
