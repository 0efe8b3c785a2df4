//! Ready tasks, in the order they should be handed out within a queue. Key [0xFFFF][table][namespace id 16]
//! [task type u8][queue: length u16, bytes][priority u8][ready time ns u64][slot u16][run 16][scheduled event id u64];
//! value `state::ReadyTask`.

use prost::Message;

use super::{id_bytes, id_text, prefix_end, KeyReader, KeyWriter, RunKey, Table};
use crate::effect::{QueueKey, TaskType};
use crate::slot::SHARD_WIDE;
use crate::{op, state, Fault, Kv, Txn};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadyKey {
    pub queue: QueueKey,
    pub priority: u8,
    pub ready_time: i64,
    pub run: RunKey,
    pub scheduled_event_id: i64,
}

impl ReadyKey {
    fn queue_prefix(queue: &QueueKey) -> KeyWriter {
        KeyWriter::new(SHARD_WIDE, Table::Ready)
            .raw(&id_bytes(&queue.namespace_id).unwrap_or_default())
            .u8(queue.task_type as u8)
            .text(&queue.name)
    }

    pub fn encode(&self) -> Vec<u8> {
        Self::queue_prefix(&self.queue)
            .u8(self.priority)
            .i64(self.ready_time)
            .u16(self.run.slot)
            .raw(&self.run.run)
            .i64(self.scheduled_event_id)
            .done()
    }

    pub fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = KeyReader::new(key)?;
        let namespace_id = id_text(&reader.id()?);
        let task_type =
            TaskType::from_number(i32::from(reader.u8()?)).ok_or_else(|| Fault::corrupt("ready key", "type"))?;
        let queue = QueueKey { namespace_id, task_type, name: reader.text()? };
        let priority = reader.u8()?;
        let ready_time = reader.i64()?;
        let run = RunKey { slot: reader.u16()?, run: reader.id()? };
        Ok(Self { queue, priority, ready_time, run, scheduled_event_id: reader.i64()? })
    }

    /// The key of the row a task reference names; `None` if its ids are no UUIDs or its type is unknown.
    pub fn of_task(task: &op::TaskRef) -> Option<Self> {
        Some(Self {
            queue: QueueKey {
                namespace_id: task.namespace_id.clone(),
                task_type: TaskType::from_number(task.task_type)?,
                name: task.queue.clone(),
            },
            priority: u8::try_from(task.priority).ok()?,
            ready_time: task.ready_time,
            run: RunKey::new(&task.namespace_id, &task.workflow_id, &task.run_id)?,
            scheduled_event_id: task.scheduled_event_id,
        })
    }

    /// The reference that a row stands for.
    pub fn to_task(&self, row: &state::ReadyTask) -> op::TaskRef {
        op::TaskRef {
            namespace_id: self.queue.namespace_id.clone(),
            workflow_id: row.workflow_id.clone(),
            run_id: id_text(&self.run.run),
            task_type: self.queue.task_type as i32,
            scheduled_event_id: self.scheduled_event_id,
            stamp: row.stamp,
            attempt: row.attempt,
            workflow_type: row.workflow_type.clone(),
            ready_time: self.ready_time,
            priority: i32::from(self.priority),
            queue: self.queue.name.clone(),
            ..Default::default()
        }
    }

    pub fn put(&self, txn: &mut Txn<'_>, row: &state::ReadyTask) {
        txn.put(self.encode(), row.encode_to_vec());
    }

    pub fn delete(&self, txn: &mut Txn<'_>) {
        txn.delete(self.encode());
    }

    /// A page of one queue's rows in hand-out order, after the key `after` (an encoded key) if given.
    pub fn page(
        kv: &dyn Kv,
        queue: &QueueKey,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<(Self, state::ReadyTask)>, Fault> {
        let prefix = Self::queue_prefix(queue).done();
        Self::read(kv, after, &prefix, max)
    }

    /// A page of all rows of the shard, queue by queue.
    pub fn page_of_shard(
        kv: &dyn Kv,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<(Self, state::ReadyTask)>, Fault> {
        Self::read(kv, after, &KeyWriter::new(SHARD_WIDE, Table::Ready).done(), max)
    }

    fn read(
        kv: &dyn Kv,
        after: Option<&[u8]>,
        prefix: &[u8],
        max: usize,
    ) -> Result<Vec<(Self, state::ReadyTask)>, Fault> {
        let from = after.map_or_else(
            || prefix.to_vec(),
            |after| {
                let mut from = after.to_vec();
                from.push(0);
                from
            },
        );
        let mut rows = Vec::new();
        let mut bad = None;
        kv.scan(&from, &prefix_end(prefix), &mut |key, value| {
            match Self::decode(key).and_then(|key| Ok((key, super::rows::decode("ready row", value)?))) {
                Ok(row) => rows.push(row),
                Err(fault) => bad = Some(fault),
            }
            bad.is_none() && rows.len() < max
        })?;
        bad.map_or(Ok(rows), Err)
    }
}
