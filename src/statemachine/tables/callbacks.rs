//! Completion callbacks, and those of a shard that are to be delivered now. Key layouts:
//!
//! | table         | key                                                                              | value           |
//! |---------------|----------------------------------------------------------------------------------|-----------------|
//! | Callback      | [slot][table] run 16, number u64                                                 | state::Callback |
//! | CallbackReady | [0xFFFF][table] length u16, destination; ready time u64, slot u16, run 16, number u64 | empty      |
//!
//! A destination is a scheme with host and port. It comes first, so that one that does not answer holds up no other.

use super::rows::{read, read_all};
use super::{prefix_end, KeyReader, KeyWriter, RunKey, Table};
use crate::slot::SHARD_WIDE;
use crate::{state, Fault, Kv, Txn};

use prost::Message;

pub fn callback(kv: &dyn Kv, key: RunKey, number: u64) -> Result<Option<state::Callback>, Fault> {
    read(kv, "callback row", &key.in_table(Table::Callback).u64(number).done())
}

/// The callbacks of a run in the order in which they were attached.
pub fn callbacks(kv: &dyn Kv, key: RunKey) -> Result<Vec<state::Callback>, Fault> {
    read_all(kv, "callback row", &key.in_table(Table::Callback).done(), usize::MAX)
}

pub fn put_callback(txn: &mut Txn<'_>, key: RunKey, row: &state::Callback) {
    txn.put(key.in_table(Table::Callback).u64(row.number).done(), row.encode_to_vec());
}

/// A callback that is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallbackKey {
    pub destination: String,
    pub ready_time: i64,
    pub run: RunKey,
    pub number: u64,
}

/// Some of what is to be delivered on a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadyPage {
    pub ready: Vec<CallbackKey>,
    /// The destination to go on after; `None`: there is no more.
    pub next: Option<String>,
}

impl CallbackKey {
    fn of_destination(destination: &str) -> KeyWriter {
        KeyWriter::new(SHARD_WIDE, Table::CallbackReady).text(destination)
    }

    fn encode(&self) -> Vec<u8> {
        Self::of_destination(&self.destination)
            .i64(self.ready_time)
            .u16(self.run.slot)
            .raw(&self.run.run)
            .u64(self.number)
            .done()
    }

    fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = KeyReader::new(key)?;
        let (destination, ready_time) = (reader.text()?, reader.i64()?);
        let run = RunKey { slot: reader.u16()?, run: reader.id()? };
        Ok(Self { destination, ready_time, run, number: reader.u64()? })
    }

    pub fn put(&self, txn: &mut Txn<'_>) {
        txn.put(self.encode(), Vec::new());
        txn.effect(crate::Effect::CallbackReady);
    }

    pub fn delete(&self, txn: &mut Txn<'_>) {
        txn.delete(self.encode());
    }

    /// The first `each` of every destination after `after`, the oldest first, until there are `max`.
    pub fn page(kv: &dyn Kv, after: Option<&str>, each: usize, max: usize) -> Result<ReadyPage, Fault> {
        let all = KeyWriter::new(SHARD_WIDE, Table::CallbackReady).done();
        let end = prefix_end(&all);
        let mut from = after.map_or(all, |destination| prefix_end(&Self::of_destination(destination).done()));
        let mut page = ReadyPage::default();
        while page.ready.len() < max {
            let rows = Self::read(kv, &from, &end, 1)?;
            let Some(first) = rows.first() else { return Ok(page) };
            let to = prefix_end(&Self::of_destination(&first.destination).done());
            page.next = Some(first.destination.clone());
            page.ready.extend(Self::read(kv, &from, &to, each)?);
            from = to;
        }
        Ok(page)
    }

    fn read(kv: &dyn Kv, from: &[u8], to: &[u8], max: usize) -> Result<Vec<Self>, Fault> {
        let mut keys = Vec::new();
        let mut bad = None;
        kv.scan(from, to, &mut |key, _| {
            match Self::decode(key) {
                Ok(key) => keys.push(key),
                Err(fault) => bad = Some(fault),
            }
            bad.is_none() && keys.len() < max
        })?;
        bad.map_or(Ok(keys), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryKv;

    fn key(destination: &str, ready_time: i64, number: u64) -> CallbackKey {
        CallbackKey { destination: destination.into(), ready_time, run: RunKey { slot: 7, run: [1; 16] }, number }
    }

    #[test]
    fn a_page_takes_some_of_every_destination_the_oldest_first() {
        let keys = [key("http://a", 3, 1), key("http://a", 1, 2), key("http://a", 2, 3), key("http://b:80", 1, 4)];
        let mut kv = MemoryKv::default();
        let mut txn = Txn::new(&kv);
        keys.iter().for_each(|key| key.put(&mut txn));
        let writes = txn.into_writes();
        kv.write(writes);
        let whole = CallbackKey::page(&kv, None, 2, 10).expect("no fault");
        assert_eq!(whole.ready, [keys[1].clone(), keys[2].clone(), keys[3].clone()]);
        let first = CallbackKey::page(&kv, None, 2, 1).expect("no fault");
        assert_eq!(first.next.as_deref(), Some("http://a"));
        let rest = CallbackKey::page(&kv, first.next.as_deref(), 2, 10).expect("no fault");
        assert_eq!(rest.ready, [keys[3].clone()]);
    }

    #[test]
    fn the_bytes_of_the_rows_are_for_ever() {
        let ready = key("h", 2, 3);
        let bytes = ready.encode();
        let expected = [
            &[0xff, 0xff, 43, 0, 1, b'h'][..],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 7],
            &[1; 16],
            &[0, 0, 0, 0, 0, 0, 0, 3],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(CallbackKey::decode(&bytes).expect("a key"), ready);
        let row = state::Callback { number: 1, attempt: 2, ready_time: 3, ..Default::default() };
        assert_eq!(row.encode_to_vec(), [8, 1, 48, 2, 72, 3]);
    }
}
