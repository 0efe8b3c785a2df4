//! What stores are opened with. There is always room on these disks.

use std::path::Path;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct StorageConfig {
    pub flush_every: Duration,
    pub flush_log_bytes: u64,
    pub disk_reserve_bytes: u64,
}

#[derive(Clone)]
pub struct Resources {
    pub config: StorageConfig,
}

impl Resources {
    pub fn new(config: StorageConfig) -> Self {
        Self { config }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    Room,
    Full,
}

#[derive(Clone)]
pub struct DiskWatch;

impl DiskWatch {
    pub fn start(_directory: &Path, _reserve_bytes: u64) -> Self {
        Self
    }

    pub fn state(&self) -> DiskState {
        DiskState::Room
    }

    pub fn has_room_for(&self, _bytes: u64) -> bool {
        true
    }
}
