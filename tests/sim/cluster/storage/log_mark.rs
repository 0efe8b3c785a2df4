//! How far a shard's log has come for certain, noted beside it. A note here survives every crash.

use std::path::Path;
use std::sync::Arc;

use super::disk::{self, Disk};
use super::{LogId, ShardLog, StoreError};

pub struct LogMark {
    disk: Arc<Disk>,
    shard: u32,
}

impl LogMark {
    pub fn open(directory: &Path, log: &ShardLog) -> Result<Self, StoreError> {
        let (disk, shard) = (disk::of(directory), log.shard());
        let (noted, end) = (disk.noted(shard), log.bounds().1.map(|id| id.index));
        if noted > end {
            return Err(StoreError::corrupt("log", format!("shard {shard} ends at {end:?} and had come to {noted:?}")));
        }
        Ok(Self { disk, shard })
    }

    pub fn note(&self, _log: &ShardLog, applied: Option<LogId>) -> std::io::Result<()> {
        self.disk.note(self.shard, self.certain(applied).max(self.disk.noted(self.shard)));
        Ok(())
    }

    pub fn is_behind(&self, _log: &ShardLog, applied: Option<LogId>) -> bool {
        self.certain(applied) > self.disk.noted(self.shard)
    }

    fn certain(&self, applied: Option<LogId>) -> Option<u64> {
        self.disk.synced(self.shard).min(applied.map(|id| id.index))
    }
}
