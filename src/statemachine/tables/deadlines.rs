//! Deadlines: every internal due time of a shard, in order.
//! Key [0xFFFF][table][due ns u64][kind u8][slot u16][run 16][entity u64][stamp u64]; the value names the entity
//! where a number does not (a timer's id).

use super::{prefix_end, KeyReader, KeyWriter, RunKey, Table};
use crate::slot::SHARD_WIDE;
use crate::{Fault, Kv, Txn};

/// What is due. Numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DeadlineKind {
    /// The first workflow task's start delay, cron wait or retry backoff is over. Entity 0.
    FirstTask = 1,
    /// A started workflow task was not answered in time. Entity: scheduled event id.
    TaskStartToClose = 2,
    /// A sticky (or speculative) workflow task was not picked up. Entity: scheduled event id.
    TaskScheduleToStart = 3,
    /// The earliest of an activity's timeouts. Entity: scheduled event id.
    ActivityTimeout = 4,
    /// An activity's backoff is over. Entity: scheduled event id.
    ActivityRetry = 5,
    /// A user timer. Entity: started event id; value: timer id.
    Timer = 6,
    /// The run or the chain has taken too long. Entity 0.
    RunTimeout = 7,
    /// A closed run has been kept long enough. Entity 0.
    Retention = 8,
    /// A completion callback is to be tried again. Entity: its number.
    CallbackRetry = 9,
}

impl DeadlineKind {
    fn from_number(number: u8) -> Option<Self> {
        use DeadlineKind::*;
        let kinds = [
            FirstTask,
            TaskStartToClose,
            TaskScheduleToStart,
            ActivityTimeout,
            ActivityRetry,
            Timer,
            RunTimeout,
            Retention,
            CallbackRetry,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == number)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadlineKey {
    pub due: i64,
    pub kind: DeadlineKind,
    pub run: RunKey,
    pub entity: i64,
    pub stamp: u64,
}

impl DeadlineKey {
    fn encode(&self) -> Vec<u8> {
        KeyWriter::new(SHARD_WIDE, Table::Deadline)
            .i64(self.due)
            .u8(self.kind as u8)
            .u16(self.run.slot)
            .raw(&self.run.run)
            .i64(self.entity)
            .u64(self.stamp)
            .done()
    }

    fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = KeyReader::new(key)?;
        let due = reader.i64()?;
        let kind = DeadlineKind::from_number(reader.u8()?).ok_or_else(|| Fault::corrupt("deadline key", "kind"))?;
        let run = RunKey { slot: reader.u16()?, run: reader.id()? };
        Ok(Self { due, kind, run, entity: reader.i64()?, stamp: reader.u64()? })
    }

    pub fn put(&self, txn: &mut Txn<'_>, name: &str) {
        txn.put(self.encode(), name.as_bytes().to_vec());
        txn.effect(crate::Effect::DeadlineSet { due: self.due });
    }

    pub fn delete(&self, txn: &mut Txn<'_>) {
        txn.delete(self.encode());
    }

    /// Rows due at or before `now`, earliest first, at most `max`, each with its name.
    pub fn due(kv: &dyn Kv, now: i64, max: usize) -> Result<Vec<(Self, String)>, Fault> {
        let from = KeyWriter::new(SHARD_WIDE, Table::Deadline).done();
        let to = KeyWriter::new(SHARD_WIDE, Table::Deadline).i64(now.saturating_add(1)).done();
        Self::read(kv, &from, &to, max)
    }

    /// The earliest row of the shard.
    pub fn first(kv: &dyn Kv) -> Result<Option<Self>, Fault> {
        let from = KeyWriter::new(SHARD_WIDE, Table::Deadline).done();
        Ok(Self::read(kv, &from, &prefix_end(&from), 1)?.pop().map(|(key, _)| key))
    }

    fn read(kv: &dyn Kv, from: &[u8], to: &[u8], max: usize) -> Result<Vec<(Self, String)>, Fault> {
        let mut rows = Vec::new();
        let mut bad = None;
        kv.scan(from, to, &mut |key, value| {
            match Self::decode(key) {
                Ok(key) => rows.push((key, String::from_utf8_lossy(value).into_owned())),
                Err(fault) => bad = Some(fault),
            }
            bad.is_none() && rows.len() < max
        })?;
        bad.map_or(Ok(rows), Err)
    }
}
