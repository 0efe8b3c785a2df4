//! A shard's rows, decoded and sorted by the run they belong to: what invariants look at.

use std::collections::BTreeMap;

use prost::Message;
use proto::temporal::api::history::v1::{History, HistoryEvent};
use statemachine::slot::SHARD_WIDE;
use statemachine::state::{
    Activity, BufferedEvent, Child, Current, External, Outbox, ReadyTask, Run, Timer, Update, Visible,
};
use statemachine::tables::{DeadlineKey, KeyReader, ReadyKey, RunKey, Table, VisibleKey};
use statemachine::{Fault, MemoryKv};

use crate::{Checked, Violation};

/// All rows of one run.
#[derive(Debug, Default)]
pub struct RunRows<'k> {
    pub key: Option<RunKey>,
    pub row: Option<Run>,
    /// The run row as it is stored.
    pub bytes: &'k [u8],
    pub batches: Vec<(i64, &'k [u8])>,
    pub activities: Vec<Activity>,
    pub activity_ids: Vec<(String, i64)>,
    pub timers: Vec<Timer>,
    pub children: Vec<Child>,
    pub externals: Vec<External>,
    pub updates: Vec<Update>,
    pub buffered: Vec<BufferedEvent>,
    pub signal_ids: usize,
}

impl RunRows<'_> {
    pub fn events(&self) -> Checked<Vec<HistoryEvent>> {
        let mut events = Vec::new();
        for (_, bytes) in &self.batches {
            events.extend(decode::<History>(bytes)?.events);
        }
        Ok(events)
    }

    pub fn is_open(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.close_time == 0)
    }
}

#[derive(Debug, Default)]
pub struct ShardView<'k> {
    pub by_run: BTreeMap<RunKey, RunRows<'k>>,
    /// All run rows.
    pub runs: Vec<Run>,
    /// Namespace id, workflow id and row.
    pub currents: Vec<([u8; 16], String, Current)>,
    pub deadlines: Vec<(DeadlineKey, String)>,
    pub ready: Vec<(ReadyKey, ReadyTask)>,
    pub visible: Vec<(VisibleKey, Visible)>,
    pub outbox: Vec<Outbox>,
    /// The last outbox id given out.
    pub sent: u64,
    pub time: i64,
    /// By shard: everything below is applied, and what is applied above.
    pub inbox: BTreeMap<u32, (u64, Vec<u64>)>,
}

pub fn decode<M: Message + Default>(bytes: &[u8]) -> Checked<M> {
    M::decode(bytes).map_err(|error| Violation { invariant: "rows_decode", what: error.to_string() })
}

fn fault(fault: Fault) -> Violation {
    Violation { invariant: "rows_decode", what: fault.to_string() }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl<'k> ShardView<'k> {
    pub fn read(kv: &'k MemoryKv) -> Checked<Self> {
        let mut view = Self::default();
        for (key, value) in &kv.rows {
            let slot = number(&key[..2]) as u16;
            if slot == SHARD_WIDE {
                view.shard_row(key[2], key, value)?;
            } else {
                view.slot_row(slot, key[2], &key[3..], value)?;
            }
        }
        view.deadlines = DeadlineKey::due(kv, i64::MAX - 1, usize::MAX).map_err(fault)?;
        Ok(view)
    }

    fn shard_row(&mut self, table: u8, key: &'k [u8], value: &'k [u8]) -> Checked {
        let rest = &key[3..];
        if table == Table::Ready as u8 || table == Table::Lane as u8 {
            self.ready.push((ReadyKey::decode(key).map_err(fault)?, decode(value)?));
        } else if table == Table::Visible as u8 {
            self.visible.push((VisibleKey::decode(key).map_err(fault)?, decode(value)?));
        } else if table == Table::Outbox as u8 && rest.is_empty() {
            self.sent = number(value);
        } else if table == Table::Outbox as u8 {
            self.outbox.push(decode(value)?);
        } else if table == Table::Inbox as u8 {
            let (from, id) = rest.split_at(4);
            let inbox = self.inbox.entry(number(from) as u32).or_default();
            if id.is_empty() {
                inbox.0 = number(value);
            } else {
                inbox.1.push(number(id));
            }
        } else if table == Table::ShardTime as u8 {
            self.time = number(value) as i64;
        }
        Ok(())
    }

    fn slot_row(&mut self, slot: u16, table: u8, rest: &'k [u8], value: &'k [u8]) -> Checked {
        let (id, entity) = rest.split_at(16);
        let mut run = [0; 16];
        run.copy_from_slice(id);
        if table == Table::Current as u8 {
            self.currents.push((run, String::from_utf8_lossy(entity).into_owned(), decode(value)?));
            return Ok(());
        }
        let key = RunKey { slot, run };
        let rows = self.by_run.entry(key).or_default();
        rows.key = Some(key);
        let text = || String::from_utf8_lossy(entity).into_owned();
        match table {
            t if t == Table::Run as u8 => {
                rows.row = Some(decode(value)?);
                rows.bytes = value;
                self.runs.extend(rows.row.clone());
            }
            t if t == Table::History as u8 => {
                let first = KeyReader::new(&rest[13..]).and_then(|mut reader| reader.i64()).map_err(fault)?;
                rows.batches.push((first, value));
            }
            t if t == Table::Activity as u8 => rows.activities.push(decode(value)?),
            t if t == Table::ActivityId as u8 => rows.activity_ids.push((text(), number(value) as i64)),
            t if t == Table::Timer as u8 => rows.timers.push(decode(value)?),
            t if t == Table::Child as u8 => rows.children.push(decode(value)?),
            t if t == Table::External as u8 => rows.externals.push(decode(value)?),
            t if t == Table::Update as u8 => rows.updates.push(decode(value)?),
            t if t == Table::Buffered as u8 => rows.buffered.push(decode(value)?),
            t if t == Table::SignalId as u8 => rows.signal_ids += 1,
            _ => {}
        }
        Ok(())
    }
}
