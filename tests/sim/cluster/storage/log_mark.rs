//! How far a log has come is not noted: disks here lose only what nobody was told of.

use std::io;
use std::path::Path;

use super::{LogId, ShardLog, StoreError};

pub struct LogMark;

impl LogMark {
    pub fn open(_directory: &Path, _log: &ShardLog) -> Result<Self, StoreError> {
        Ok(Self)
    }

    pub fn note(&self, _log: &ShardLog, _applied: Option<LogId>) -> io::Result<()> {
        Ok(())
    }

    pub fn is_behind(&self, _log: &ShardLog, _applied: Option<LogId>) -> bool {
        false
    }
}
