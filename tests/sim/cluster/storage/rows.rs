//! Rows with all their versions, so that a reader keeps its view and a crash can take the newest away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sim::digest::Digest;
use statemachine::kv::Visit;
use statemachine::{Fault, Kv};

use super::LogId;

/// Rows that a scan takes at a time.
const PAGE: usize = 32;

pub type Row = (Vec<u8>, Vec<u8>);

/// The values that a key had, each with the version that wrote it.
type Values = Vec<(u64, Option<Vec<u8>>)>;

/// What a version stands for.
#[derive(Debug, Clone)]
pub struct Mark {
    pub applied: LogId,
    pub membership: Option<Bytes>,
    /// Of all rows; the same for the same rows, whatever way they came about.
    pub digest: u64,
}

#[derive(Debug, Default)]
pub struct Rows {
    values: BTreeMap<Vec<u8>, Values>,
    marks: BTreeMap<u64, Mark>,
    version: u64,
    /// Versions up to here are safe.
    durable: u64,
}

fn digest_of(key: &[u8], value: &[u8]) -> u64 {
    let mut digest = Digest::default();
    digest.add(key);
    digest.add(value);
    digest.0
}

impl Rows {
    /// Rows that came from elsewhere, all of them safe.
    pub fn filled(rows: Vec<Row>, applied: Option<LogId>, membership: Option<Bytes>) -> Self {
        let mut filled = Self::default();
        if let Some(applied) = applied {
            filled.write(rows.into_iter().map(|(key, value)| (key, Some(value))), applied, membership);
        }
        filled.durable = filled.version;
        filled
    }

    pub fn mark(&self) -> Option<&Mark> {
        self.marks.last_key_value().map(|(_, mark)| mark)
    }

    /// Writes a new version. Without a membership the last one stays in force.
    pub fn write(
        &mut self,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        applied: LogId,
        membership: Option<Bytes>,
    ) -> u64 {
        let last = self.mark();
        let mut digest = last.map_or(0, |mark| mark.digest);
        let membership = membership.or_else(|| last.and_then(|mark| mark.membership.clone()));
        self.version += 1;
        for (key, value) in rows {
            let values = self.values.entry(key.clone()).or_default();
            if let Some((_, Some(before))) = values.last() {
                digest ^= digest_of(&key, before);
            }
            if let Some(value) = &value {
                digest ^= digest_of(&key, value);
            }
            values.push((self.version, value));
        }
        self.marks.insert(self.version, Mark { applied, membership, digest });
        digest
    }

    pub fn flush(&mut self) {
        self.durable = self.version;
    }

    /// Versions that a crash may take.
    pub fn unsafe_versions(&self) -> u64 {
        self.version - self.durable
    }

    /// Takes the newest versions away.
    pub fn lose(&mut self, versions: u64) {
        self.version -= versions.min(self.unsafe_versions());
        let last = self.version;
        self.durable = last;
        self.marks.retain(|version, _| *version <= last);
        self.values.retain(|_, values| {
            values.retain(|(version, _)| *version <= last);
            !values.is_empty()
        });
    }

    fn at(values: &[(u64, Option<Vec<u8>>)], version: u64) -> Option<&Vec<u8>> {
        values.iter().rev().find(|(written, _)| *written <= version).and_then(|(_, value)| value.as_ref())
    }

    pub fn all(&self) -> Vec<Row> {
        let now = |(key, values): (&Vec<u8>, &Values)| Some((key.clone(), Self::at(values, self.version)?.clone()));
        self.values.iter().filter_map(now).collect()
    }
}

/// The rows as they were when it was taken.
#[derive(Clone)]
pub struct Snapshot {
    rows: Arc<Mutex<Rows>>,
    version: u64,
}

impl Snapshot {
    pub fn new(rows: Arc<Mutex<Rows>>) -> Self {
        let version = rows.lock().unwrap_or_else(PoisonError::into_inner).version;
        Self { rows, version }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some rows of a range, from its front or its back. Nobody who is shown them holds the lock.
    fn page(&self, from: &[u8], to: &[u8], back: bool) -> Vec<Row> {
        if from >= to {
            return Vec::new();
        }
        let rows = self.lock();
        let here = |(key, values): (&Vec<u8>, &Values)| Some((key.clone(), Rows::at(values, self.version)?.clone()));
        let range = rows.values.range(from.to_vec()..to.to_vec());
        match back {
            true => range.rev().filter_map(here).take(PAGE).collect(),
            false => range.filter_map(here).take(PAGE).collect(),
        }
    }
}

impl Kv for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.lock().values.get(key).and_then(|values| Rows::at(values, self.version)).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        let mut from = from.to_vec();
        loop {
            let page = self.page(&from, to, false);
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last.clone();
            from.push(0);
            if !page.iter().all(|(key, value)| visit(key, value)) {
                return Ok(());
            }
        }
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        let mut to = to.to_vec();
        loop {
            let page = self.page(from, &to, true);
            let Some((first, _)) = page.last() else { return Ok(()) };
            to.clone_from(first);
            if !page.iter().all(|(key, value)| visit(key, value)) {
                return Ok(());
            }
        }
    }
}
