//! The newest entries of one shard's log, in memory.

use std::collections::VecDeque;

use super::LogEntry;

/// Consecutive entries that end with the log's last. Those not yet written to the database are never dropped.
#[derive(Default)]
pub(super) struct Tail {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    /// Entries below this index are in the database.
    written: u64,
}

impl Tail {
    /// Index of the first entry held.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.id.index)
    }

    /// The last index below which all is in the database, of what was appended since the log was opened.
    pub(super) fn last_written(&self) -> Option<u64> {
        self.written.checked_sub(1)
    }

    pub(super) fn push(&mut self, entry: LogEntry) {
        self.bytes += entry.weight();
        self.entries.push_back(entry);
    }

    /// Entries up to `index` are in the database.
    pub(super) fn mark_written(&mut self, index: u64, bytes_max: usize) {
        self.written = self.written.max(index + 1);
        while self.bytes > bytes_max && self.entries.front().is_some_and(|entry| entry.id.index < self.written) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.weight();
        }
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate(&mut self, index: u64) {
        while self.entries.back().is_some_and(|entry| entry.id.index >= index) {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry.weight();
            }
        }
        self.written = self.written.min(index);
    }

    /// Drops the entries up to `index`.
    pub(super) fn purge(&mut self, index: u64) {
        while self.entries.front().is_some_and(|entry| entry.id.index <= index) {
            self.pop_front();
        }
    }

    /// Adds entries of `[from, to)` to `found`, at least one if `found` is empty, until they weigh `bytes_max`.
    pub(super) fn read(&self, from: u64, to: u64, bytes_max: usize, bytes: &mut usize, found: &mut Vec<LogEntry>) {
        let Some(first) = self.first() else { return };
        if from < first {
            return;
        }
        let start = usize::try_from(from - first).unwrap_or(usize::MAX).min(self.entries.len());
        for entry in self.entries.range(start..) {
            if entry.id.index >= to || (*bytes >= bytes_max && !found.is_empty()) {
                return;
            }
            *bytes += entry.weight();
            found.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LogId;
    use bytes::Bytes;

    fn tail(indexes: std::ops::Range<u64>) -> Tail {
        let mut tail = Tail::default();
        for index in indexes {
            tail.push(LogEntry { id: LogId { term: 1, leader: 1, index }, kind: 1, payload: Bytes::from(vec![0; 36]) });
        }
        tail
    }

    fn read(tail: &Tail, from: u64, to: u64, bytes_max: usize) -> Vec<u64> {
        let mut found = Vec::new();
        tail.read(from, to, bytes_max, &mut 0, &mut found);
        found.iter().map(|entry| entry.id.index).collect()
    }

    #[test]
    fn reads_until_the_bytes_are_spent_but_one_at_least() {
        let tail = tail(5..10);
        assert_eq!(read(&tail, 6, 9, 1 << 20), [6, 7, 8]);
        assert_eq!(read(&tail, 6, 99, 150), [6, 7]);
        assert_eq!(read(&tail, 6, 99, 1), [6]);
        assert_eq!(read(&tail, 4, 99, 1 << 20), [0u64; 0]);
    }

    #[test]
    fn only_written_entries_are_dropped() {
        let mut tail = tail(1..11);
        tail.mark_written(4, 200);
        assert_eq!(tail.first(), Some(5));
        tail.mark_written(10, 200);
        assert_eq!(tail.first(), Some(9));
    }

    #[test]
    fn truncation_takes_the_written_mark_back() {
        let mut tail = tail(1..6);
        tail.mark_written(5, 1 << 20);
        tail.truncate(3);
        assert_eq!(tail.written, 3);
        assert_eq!(read(&tail, 1, 9, 1 << 20), [1, 2]);
    }
}
