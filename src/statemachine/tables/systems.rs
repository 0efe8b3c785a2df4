//! Tables of the system shard, and the clock row that every shard has. Key layouts after [0xFFFF][table]:
//!
//! | table         | key            | value             |
//! |---------------|----------------|-------------------|
//! | Cluster       | (none)         | state::Cluster    |
//! | Node          | node id u64    | state::Node       |
//! | SlotRange     | first slot u16 | state::SlotRange  |
//! | Namespace     | id 16          | state::Namespace  |
//! | NamespaceName | name           | id 16             |
//! | ShardTime     | (none)         | time of the last op, ns u64 |

use prost::Message;

use super::rows::{decode, read, read_all};
use super::{id_bytes, id_text, prefix_end, KeyWriter, Table};
use crate::slot::SHARD_WIDE;
use crate::{state, Fault, Kv, Txn};

fn key(table: Table) -> KeyWriter {
    KeyWriter::new(SHARD_WIDE, table)
}

pub fn cluster(kv: &dyn Kv) -> Result<Option<state::Cluster>, Fault> {
    read(kv, "cluster row", &key(Table::Cluster).done())
}

pub fn put_cluster(txn: &mut Txn<'_>, row: &state::Cluster) {
    txn.put(key(Table::Cluster).done(), row.encode_to_vec());
}

pub fn nodes(kv: &dyn Kv) -> Result<Vec<state::Node>, Fault> {
    read_all(kv, "node row", &key(Table::Node).done(), usize::MAX)
}

pub fn put_node(txn: &mut Txn<'_>, row: &state::Node) {
    txn.put(key(Table::Node).u64(row.node_id).done(), row.encode_to_vec());
}

/// The slot map, by first slot.
pub fn slot_ranges(kv: &dyn Kv) -> Result<Vec<state::SlotRange>, Fault> {
    read_all(kv, "slot row", &key(Table::SlotRange).done(), usize::MAX)
}

pub fn put_slot_range(txn: &mut Txn<'_>, row: &state::SlotRange) {
    txn.put(key(Table::SlotRange).u16(row.first_slot as u16).done(), row.encode_to_vec());
}

pub fn namespace(kv: &dyn Kv, id: &str) -> Result<Option<state::Namespace>, Fault> {
    let Some(id) = id_bytes(id) else { return Ok(None) };
    read(kv, "namespace row", &key(Table::Namespace).raw(&id).done())
}

pub fn namespace_by_name(kv: &dyn Kv, name: &str) -> Result<Option<state::Namespace>, Fault> {
    let Some(id) = kv.get(&key(Table::NamespaceName).raw(name.as_bytes()).done())? else { return Ok(None) };
    let id = <[u8; 16]>::try_from(id.as_slice()).map_err(|_| Fault::corrupt("namespace name row", "length"))?;
    namespace(kv, &id_text(&id))
}

/// A page of namespaces in order of their names, after the name `after`.
pub fn namespaces(kv: &dyn Kv, after: Option<&str>, max: usize) -> Result<Vec<state::Namespace>, Fault> {
    let prefix = key(Table::NamespaceName).done();
    let mut from = prefix.clone();
    if let Some(after) = after {
        from.extend_from_slice(after.as_bytes());
        from.push(0);
    }
    let mut ids = Vec::new();
    kv.scan(&from, &prefix_end(&prefix), &mut |_, id| {
        ids.push(id.to_vec());
        ids.len() < max
    })?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(bytes) = kv.get(&key(Table::Namespace).raw(&id).done())? {
            rows.push(decode("namespace row", &bytes)?);
        }
    }
    Ok(rows)
}

pub fn put_namespace(txn: &mut Txn<'_>, row: &state::Namespace) {
    let id = id_bytes(&row.id).unwrap_or_default();
    let name = row.info.as_ref().map(|info| info.name.as_str()).unwrap_or_default();
    txn.put(key(Table::NamespaceName).raw(name.as_bytes()).done(), id.to_vec());
    txn.put(key(Table::Namespace).raw(&id).done(), row.encode_to_vec());
}

/// Frees a namespace's name; its row stays under the id.
pub fn delete_namespace_name(txn: &mut Txn<'_>, name: &str) {
    txn.delete(key(Table::NamespaceName).raw(name.as_bytes()).done());
}

/// Time of the last op applied on this shard.
pub fn shard_time(kv: &dyn Kv) -> Result<i64, Fault> {
    let Some(bytes) = kv.get(&key(Table::ShardTime).done())? else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(bytes.as_slice()).map_err(|_| Fault::corrupt("shard time row", "length"))?;
    Ok(i64::from_be_bytes(bytes))
}

pub fn put_shard_time(txn: &mut Txn<'_>, now: i64) {
    txn.put(key(Table::ShardTime).done(), now.to_be_bytes().to_vec());
}
