//! Messages to other shards, and which of other shards' messages were applied here. Key layouts after [0xFFFF][table]:
//!
//! | table  | key                     | value                                  |
//! |--------|-------------------------|----------------------------------------|
//! | Outbox | (none)                  | the last id given out, u64             |
//! | Outbox | id u64                  | state::Outbox                          |
//! | Inbox  | from shard u32          | ids below this are all applied, u64    |
//! | Inbox  | from shard u32, id u64  | empty: applied                         |

use prost::Message;

use super::rows::{decode, read};
use super::{prefix_end, KeyReader, KeyWriter, Table};
use crate::slot::SHARD_WIDE;
use crate::{state, Fault, Kv, Txn};

fn outbox_key(id: u64) -> Vec<u8> {
    KeyWriter::new(SHARD_WIDE, Table::Outbox).u64(id).done()
}

fn inbox_key(from_shard: u32) -> KeyWriter {
    KeyWriter::new(SHARD_WIDE, Table::Inbox).raw(&from_shard.to_be_bytes())
}

fn number(kv: &dyn Kv, key: &[u8]) -> Result<u64, Fault> {
    let Some(bytes) = kv.get(key)? else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(bytes.as_slice()).map_err(|_| Fault::corrupt("counter row", "length"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Gives out the next id of this shard's messages; none is given out twice.
pub fn next_outbox_id(txn: &mut Txn<'_>) -> Result<u64, Fault> {
    let key = KeyWriter::new(SHARD_WIDE, Table::Outbox).done();
    let id = number(txn, &key)? + 1;
    txn.put(key, id.to_be_bytes().to_vec());
    Ok(id)
}

pub fn outbox(kv: &dyn Kv, id: u64) -> Result<Option<state::Outbox>, Fault> {
    read(kv, "outbox row", &outbox_key(id))
}

pub fn put_outbox(txn: &mut Txn<'_>, row: &state::Outbox) {
    txn.put(outbox_key(row.id), row.encode_to_vec());
}

pub fn delete_outbox(txn: &mut Txn<'_>, id: u64) {
    txn.delete(outbox_key(id));
}

/// Undelivered messages with ids above `after`, oldest first, at most `max`.
pub fn outbox_after(kv: &dyn Kv, after: u64, max: usize) -> Result<Vec<state::Outbox>, Fault> {
    let to = prefix_end(&KeyWriter::new(SHARD_WIDE, Table::Outbox).done());
    let mut rows = Vec::new();
    let mut bad = None;
    kv.scan(&outbox_key(after.saturating_add(1)), &to, &mut |_, value| {
        match decode("outbox row", value) {
            Ok(row) => rows.push(row),
            Err(fault) => bad = Some(fault),
        }
        bad.is_none() && rows.len() < max
    })?;
    bad.map_or(Ok(rows), Err)
}

/// The least id of an undelivered message: older ones are all applied at their targets. 0: there is none.
pub fn outbox_floor(kv: &dyn Kv) -> Result<u64, Fault> {
    let to = prefix_end(&KeyWriter::new(SHARD_WIDE, Table::Outbox).done());
    let mut first = None;
    kv.scan(&outbox_key(0), &to, &mut |key, _| {
        first = Some(KeyReader::new(key).and_then(|mut reader| reader.u64()));
        false
    })?;
    first.unwrap_or(Ok(0))
}

/// Whether a message of another shard was applied here.
pub fn is_delivered(kv: &dyn Kv, from_shard: u32, id: u64) -> Result<bool, Fault> {
    Ok(id < number(kv, &inbox_key(from_shard).done())? || kv.get(&inbox_key(from_shard).u64(id).done())?.is_some())
}

pub fn put_delivered(txn: &mut Txn<'_>, from_shard: u32, id: u64) {
    txn.put(inbox_key(from_shard).u64(id).done(), Vec::new());
}

/// Everything below `floor` is known to be applied: one number stands for it.
pub fn raise_floor(txn: &mut Txn<'_>, from_shard: u32, floor: u64) -> Result<(), Fault> {
    let key = inbox_key(from_shard).done();
    let before = number(txn, &key)?;
    if floor <= before {
        return Ok(());
    }
    let mut keys = Vec::new();
    txn.scan(&inbox_key(from_shard).u64(before).done(), &inbox_key(from_shard).u64(floor).done(), &mut |key, _| {
        keys.push(key.to_vec());
        true
    })?;
    for key in keys {
        txn.delete(key);
    }
    txn.put(key, floor.to_be_bytes().to_vec());
    Ok(())
}
