//! Tables of the system shard, and the clock row that every shard has. Key layouts after [0xFFFF][table]:
//!
//! | table         | key            | value             |
//! |---------------|----------------|-------------------|
//! | Cluster       | (none)         | state::Cluster    |
//! | Node          | node id u64    | state::Node       |
//! | SlotRange     | first slot u16 | state::SlotRange  |
//! | Namespace     | id 16          | state::Namespace  |
//! | NamespaceName | name           | id 16             |
//! | QueueConfig   | namespace id 16, task type u8, name | state::QueueConfig |
//! | SystemCall    | 0, op id / 1, number u64 | state::SystemCall / op id |
//! | ShardTime     | (none)         | time of the last op, ns u64 |
//! | NamespaceHere | namespace id 16 | state::NamespaceHere, on data shards |

use prost::Message;

use super::rows::{decode, read, read_all};
use super::{id_bytes, id_text, prefix_end, KeyWriter, Table};
use crate::slot::SHARD_WIDE;
use crate::{state, Fault, Kv, QueueKey, Txn};

/// Calls remembered; a call is tried again for half a minute, so this many are enough for some dozens a second.
const CALLS_MAX: u64 = 1024;

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

pub fn node(kv: &dyn Kv, node_id: u64) -> Result<Option<state::Node>, Fault> {
    read(kv, "node row", &key(Table::Node).u64(node_id).done())
}

pub fn delete_node(txn: &mut Txn<'_>, node_id: u64) {
    txn.delete(key(Table::Node).u64(node_id).done());
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

/// Removes a deleted namespace for good.
pub fn delete_namespace(txn: &mut Txn<'_>, row: &state::Namespace) {
    let id = id_bytes(&row.id).unwrap_or_default();
    delete_namespace_name(txn, row.info.as_ref().map(|info| info.name.as_str()).unwrap_or_default());
    txn.delete(key(Table::Namespace).raw(&id).done());
}

fn here_key(namespace_id: &str) -> Vec<u8> {
    key(Table::NamespaceHere).raw(&id_bytes(namespace_id).unwrap_or_default()).done()
}

/// What this data shard knows of a namespace beside what ops bring.
pub fn namespace_here(kv: &dyn Kv, namespace_id: &str) -> Result<state::NamespaceHere, Fault> {
    Ok(read(kv, "namespace-here row", &here_key(namespace_id))?.unwrap_or_default())
}

pub fn put_namespace_here(txn: &mut Txn<'_>, namespace_id: &str, row: &state::NamespaceHere) {
    txn.put(here_key(namespace_id), row.encode_to_vec());
}

fn queue_config_key(queue: &QueueKey) -> Vec<u8> {
    key(Table::QueueConfig)
        .raw(&id_bytes(&queue.namespace_id).unwrap_or_default())
        .u8(queue.task_type as u8)
        .raw(queue.name.as_bytes())
        .done()
}

pub fn queue_config(kv: &dyn Kv, queue: &QueueKey) -> Result<Option<state::QueueConfig>, Fault> {
    read(kv, "queue config row", &queue_config_key(queue))
}

pub fn put_queue_config(txn: &mut Txn<'_>, queue: &QueueKey, row: &state::QueueConfig) {
    txn.put(queue_config_key(queue), row.encode_to_vec());
}

pub fn delete_queue_config(txn: &mut Txn<'_>, queue: &QueueKey) {
    txn.delete(queue_config_key(queue));
}

/// The settings of a namespace's queues, at most `max`; of all namespaces without an id.
pub fn queue_configs(kv: &dyn Kv, namespace_id: Option<&str>, max: usize) -> Result<Vec<state::QueueConfig>, Fault> {
    let prefix = match namespace_id {
        Some(id) => key(Table::QueueConfig).raw(&id_bytes(id).unwrap_or_default()).done(),
        None => key(Table::QueueConfig).done(),
    };
    read_all(kv, "queue config row", &prefix, max)
}

/// The answer to a call that was applied before, unless that was long ago.
pub fn system_call(kv: &dyn Kv, op_id: &[u8]) -> Result<Option<state::SystemCall>, Fault> {
    read(kv, "system call row", &key(Table::SystemCall).u8(0).raw(op_id).done())
}

/// Remembers a call, and forgets the oldest beyond the limit.
pub fn put_system_call(txn: &mut Txn<'_>, row: &state::SystemCall) -> Result<(), Fault> {
    let numbers = key(Table::SystemCall).u8(1).done();
    let mut last = None;
    txn.scan_back(&numbers, &prefix_end(&numbers), &mut |key, _| {
        last = Some(key.to_vec());
        false
    })?;
    let number = match last {
        Some(key) => super::KeyReader::new(&key[1..])?.u64()? + 1,
        None => 0,
    };
    let by_number = |number: u64| key(Table::SystemCall).u8(1).u64(number).done();
    if let Some(oldest) = number.checked_sub(CALLS_MAX) {
        if let Some(op_id) = txn.get(&by_number(oldest))? {
            txn.delete(key(Table::SystemCall).u8(0).raw(&op_id).done());
            txn.delete(by_number(oldest));
        }
    }
    txn.put(by_number(number), row.op_id.to_vec());
    txn.put(key(Table::SystemCall).u8(0).raw(&row.op_id).done(), row.encode_to_vec());
    Ok(())
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
