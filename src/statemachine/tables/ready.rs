//! Ready tasks, in the order they should be handed out within a queue. A task stands in one of two tables:
//!
//! | table | key after [0xFFFF][table] | tasks |
//! |-------|---------------------------|-------|
//! | Ready | queue, priority u8, ready time ns u64, slot u16, run 16, scheduled event id u64 | without a fairness key |
//! | Lane  | queue, priority u8, fairness key, ready time …                                 | with one |
//!
//! The queue is [namespace id 16][task type u8][length u16, name]; the value is `state::ReadyTask`. Lanes stand apart so
//! that a page of a queue can have tasks of each of them, however long one is.

use prost::Message;

use super::{id_bytes, id_text, prefix_end, KeyReader, KeyWriter, RunKey, Table};
use crate::effect::{QueueKey, TaskType};
use crate::slot::SHARD_WIDE;
use crate::{op, state, Fault, Kv, Txn};

/// Lanes of one priority level that a page looks at.
const LANES_MAX: usize = 1024;

type Row = (ReadyKey, state::ReadyTask);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadyKey {
    pub queue: QueueKey,
    pub priority: u8,
    /// The fairness key; empty: none.
    pub lane: String,
    pub ready_time: i64,
    pub run: RunKey,
    pub scheduled_event_id: i64,
}

impl ReadyKey {
    fn queue_prefix(table: Table, queue: &QueueKey) -> KeyWriter {
        KeyWriter::new(SHARD_WIDE, table)
            .raw(&id_bytes(&queue.namespace_id).unwrap_or_default())
            .u8(queue.task_type as u8)
            .text(&queue.name)
    }

    fn table(&self) -> Table {
        if self.lane.is_empty() {
            Table::Ready
        } else {
            Table::Lane
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut key = Self::queue_prefix(self.table(), &self.queue).u8(self.priority);
        if !self.lane.is_empty() {
            key = key.text(&self.lane);
        }
        key.i64(self.ready_time).u16(self.run.slot).raw(&self.run.run).i64(self.scheduled_event_id).done()
    }

    pub fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = KeyReader::new(key)?;
        let namespace_id = id_text(&reader.id()?);
        let task_type =
            TaskType::from_number(i32::from(reader.u8()?)).ok_or_else(|| Fault::corrupt("ready key", "type"))?;
        let queue = QueueKey { namespace_id, task_type, name: reader.text()? };
        let priority = reader.u8()?;
        let lane = if is_lane(key) { reader.text()? } else { String::new() };
        let ready_time = reader.i64()?;
        let run = RunKey { slot: reader.u16()?, run: reader.id()? };
        Ok(Self { queue, priority, lane, ready_time, run, scheduled_event_id: reader.i64()? })
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

    /// The first rows of one queue: by priority, then in turn from each lane, then by time. Fewer than `max` are all.
    pub fn page(kv: &dyn Kv, queue: &QueueKey, max: usize) -> Result<Vec<Row>, Fault> {
        let prefix = Self::queue_prefix(Table::Ready, queue).done();
        let plain = read(kv, &prefix, &prefix_end(&prefix), max)?;
        let lanes = lanes(kv, &Self::queue_prefix(Table::Lane, queue).done())?;
        if lanes.is_empty() {
            return Ok(plain);
        }
        let mut share = max.div_ceil(lanes.len() + 1);
        loop {
            let mut rows = vec![plain.clone()];
            for lane in &lanes {
                rows.push(read(kv, lane, &prefix_end(lane), share)?);
            }
            let found: usize = rows.iter().map(Vec::len).sum();
            let cut = rows.iter().skip(1).any(|lane| lane.len() == share);
            if found >= max || !cut {
                return Ok(in_turn(rows, max));
            }
            share *= 2;
        }
    }

    /// The first row of the shard at or after the key `from`, queue by queue; a queue with lanes comes up twice.
    pub fn first_of_shard(kv: &dyn Kv, from: Option<&[u8]>) -> Result<Option<Row>, Fault> {
        for table in [Table::Lane, Table::Ready] {
            let prefix = KeyWriter::new(SHARD_WIDE, table).done();
            let start = from.filter(|from| *from > prefix.as_slice()).unwrap_or(&prefix);
            if let Some(row) = read(kv, start, &prefix_end(&prefix), 1)?.pop() {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Sorts after every row of the queue in the key's table, and not after those of the next.
    pub fn after_queue(&self) -> Vec<u8> {
        prefix_end(&Self::queue_prefix(self.table(), &self.queue).done())
    }

    /// Visits the priority and the ready time of a queue's rows, without reading the rows; `false` ends it.
    pub fn count(kv: &dyn Kv, queue: &QueueKey, visit: &mut dyn FnMut(u8, i64) -> bool) -> Result<(), Fault> {
        let mut bad = None;
        for table in [Table::Ready, Table::Lane] {
            let prefix = Self::queue_prefix(table, queue).done();
            kv.scan(&prefix, &prefix_end(&prefix), &mut |key, _| match Self::decode(key) {
                Ok(key) => visit(key.priority, key.ready_time),
                Err(fault) => {
                    bad = Some(fault);
                    false
                }
            })?;
        }
        bad.map_or(Ok(()), Err)
    }
}

fn is_lane(key: &[u8]) -> bool {
    key.get(2) == Some(&(Table::Lane as u8))
}

fn read(kv: &dyn Kv, from: &[u8], to: &[u8], max: usize) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    let mut bad = None;
    kv.scan(from, to, &mut |key, value| {
        match ReadyKey::decode(key).and_then(|key| Ok((key, super::rows::decode("ready row", value)?))) {
            Ok(row) => rows.push(row),
            Err(fault) => bad = Some(fault),
        }
        bad.is_none() && rows.len() < max
    })?;
    bad.map_or(Ok(rows), Err)
}

/// The prefixes of a queue's lanes, at most so many, by priority.
fn lanes(kv: &dyn Kv, queue: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let (mut from, end) = (queue.to_vec(), prefix_end(queue));
    let mut found = Vec::new();
    while found.len() < LANES_MAX {
        let mut first = None;
        kv.scan(&from, &end, &mut |key, _| {
            first = Some(key.to_vec());
            false
        })?;
        let Some(key) = first else { break };
        let decoded = ReadyKey::decode(&key)?;
        let lane = KeyWriter::resume(queue.to_vec()).u8(decoded.priority).text(&decoded.lane).done();
        from = prefix_end(&lane);
        found.push(lane);
    }
    Ok(found)
}

/// By priority, then the first of each lane, then the second of each.
fn in_turn(lanes: Vec<Vec<Row>>, max: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for lane in lanes {
        let mut turn = (0, 0);
        for row in lane {
            turn = if row.0.priority == turn.0 { (turn.0, turn.1 + 1) } else { (row.0.priority, 0) };
            rows.push((turn, row));
        }
    }
    rows.sort_by_key(|(turn, row)| (*turn, row.0.ready_time));
    rows.into_iter().map(|(_, row)| row).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryKv;

    fn queue(name: &str) -> QueueKey {
        let namespace_id = "32049b68-7872-4094-8e63-d0dd59896a83".into();
        QueueKey { namespace_id, task_type: TaskType::Activity, name: name.into() }
    }

    fn key(name: &str, lane: &str, priority: u8, time: i64) -> ReadyKey {
        ReadyKey {
            queue: queue(name),
            priority,
            lane: lane.into(),
            ready_time: time,
            run: RunKey { slot: 7, run: [9; 16] },
            scheduled_event_id: 5,
        }
    }

    fn store(keys: &[ReadyKey]) -> MemoryKv {
        let empty = MemoryKv::default();
        let mut txn = Txn::new(&empty);
        keys.iter().for_each(|key| key.put(&mut txn, &state::ReadyTask::default()));
        let mut kv = MemoryKv::default();
        kv.write(txn.into_writes());
        kv
    }

    fn times(rows: &[Row]) -> Vec<i64> {
        rows.iter().map(|(key, _)| key.ready_time).collect()
    }

    #[test]
    fn keys_survive_a_round_trip_and_keep_their_bytes() {
        for key in [key("q", "", 3, 10), key("q", "tenant", 1, 10)] {
            assert_eq!(ReadyKey::decode(&key.encode()).expect("a key"), key);
        }
        let lane = key("q", "t", 3, 10).encode();
        assert_eq!(&lane[..3], [0xff, 0xff, 31]);
        assert_eq!(&lane[20..26], [0, 1, b'q', 3, 0, 1], "queue, priority, lane");
    }

    #[test]
    fn every_lane_has_its_share_of_a_page_and_all_rows_come_in_the_end() {
        let mut keys: Vec<_> = (0..100).map(|time| key("q", "many", 3, time)).collect();
        keys.extend((100..103).map(|time| key("q", "few", 3, time)));
        keys.extend([key("q", "", 3, 200), key("q", "late", 4, 1), key("q", "soon", 1, 300), key("qq", "", 1, 0)]);
        let kv = store(&keys);
        let page = ReadyKey::page(&kv, &queue("q"), 6).expect("a page");
        assert_eq!(times(&page), [300, 0, 100, 200, 1, 101], "the first of every lane, then the second");
        assert_eq!(ReadyKey::page(&kv, &queue("q"), 1000).expect("a page").len(), 106);
        let mut counted = 0;
        let count = &mut |_, _| {
            counted += 1;
            true
        };
        ReadyKey::count(&kv, &queue("q"), count).expect("readable");
        assert_eq!(counted, 106);
    }

    #[test]
    fn the_queues_of_a_shard_come_one_after_the_other() {
        let kv = store(&[key("a", "", 3, 1), key("a", "x", 3, 1), key("b", "", 3, 1), key("bb", "y", 1, 1)]);
        let (mut from, mut names) = (None, Vec::new());
        while let Some((first, _)) = ReadyKey::first_of_shard(&kv, from.as_deref()).expect("readable") {
            from = Some(first.after_queue());
            names.push(first.queue.name);
        }
        assert_eq!(names, ["a", "bb", "a", "b"], "those with lanes first");
    }
}
