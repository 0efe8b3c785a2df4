//! Watches the free space of the data directory, so that writes are refused before the disk is full.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

const CHECK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    Room,
    /// Less is free than the reserve that flushes and votes need.
    Full,
}

/// Checks once a second until the last handle is dropped.
#[derive(Clone)]
pub struct DiskWatch {
    directory: PathBuf,
    reserve_bytes: u64,
    state: watch::Receiver<DiskState>,
    _stop: Arc<watch::Sender<()>>,
}

impl DiskWatch {
    /// Must be called within a tokio runtime. Until the first check there is room.
    pub fn start(directory: &Path, reserve_bytes: u64) -> Self {
        let (report, state) = watch::channel(measure(directory, reserve_bytes));
        let (stop, stopped) = watch::channel(());
        tokio::spawn(check(directory.to_path_buf(), reserve_bytes, report, stopped));
        Self { directory: directory.to_path_buf(), reserve_bytes, state, _stop: Arc::new(stop) }
    }

    /// Whether the reserve stays free if so many bytes more are written. Asks the file system, which may take its time.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        measure(&self.directory, self.reserve_bytes.saturating_add(bytes)) == DiskState::Room
    }

    pub fn state(&self) -> DiskState {
        *self.state.borrow()
    }

    pub fn changes(&self) -> watch::Receiver<DiskState> {
        self.state.clone()
    }
}

async fn check(
    directory: PathBuf,
    reserve_bytes: u64,
    report: watch::Sender<DiskState>,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(CHECK_EVERY) => {}
        }
        let now = measure(&directory, reserve_bytes);
        let changed = report.send_if_modified(|state| std::mem::replace(state, now) != now);
        match (changed, now) {
            (true, DiskState::Full) => {
                tracing::warn!(directory = %directory.display(), reserve_bytes, "disk full: writes are refused")
            }
            (true, DiskState::Room) => tracing::info!("disk has room again: writes are accepted"),
            (false, _) => {}
        }
    }
}

fn measure(directory: &Path, reserve_bytes: u64) -> DiskState {
    match rustix::fs::statvfs(directory) {
        Ok(stat) if stat.f_bavail.saturating_mul(stat.f_frsize) < reserve_bytes => DiskState::Full,
        Ok(_) => DiskState::Room,
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "cannot measure free space");
            DiskState::Room
        }
    }
}
