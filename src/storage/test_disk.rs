//! The disk of tests: it loses power, which leaves what was synced, and it stalls. The log's thread and the state stores
//! tell it when what they wrote is on disk, and it copies their directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

/// By the directory they are watched under.
static DISKS: Mutex<BTreeMap<PathBuf, Arc<Disk>>> = Mutex::new(BTreeMap::new());

struct Disk {
    directory: PathBuf,
    /// What a power cut leaves.
    kept: PathBuf,
    /// The next turn to give out to who copies, and whose turn it is: the log's thread would never let others in.
    turns: Mutex<(u64, u64)>,
    next: Condvar,
    stall: Mutex<Stall>,
    stalled: Condvar,
}

#[derive(Default)]
struct Stall {
    on: bool,
    /// Syncs that wait for it to end.
    waiting: usize,
}

/// What is in this directory is on disk.
pub fn synced(directory: &Path) {
    let found = disks().values().find(|disk| directory.starts_with(&disk.directory)).cloned();
    if let Some(disk) = found {
        disk.synced(directory);
    }
}

fn disks() -> MutexGuard<'static, BTreeMap<PathBuf, Arc<Disk>>> {
    DISKS.lock().expect("nothing panics while holding the disks")
}

impl Disk {
    fn synced(&self, directory: &Path) {
        let mut stall = self.lock_stall();
        stall.waiting += 1;
        self.stalled.notify_all();
        stall = self.stalled.wait_while(stall, |stall| stall.on).expect("no panic");
        stall.waiting -= 1;
        drop(stall);
        let part = directory.strip_prefix(&self.directory).expect("it was found by that");
        self.in_turn(|| copy(directory, &self.kept.join(part)));
    }

    fn in_turn(&self, work: impl FnOnce()) {
        let mut turns = self.turns.lock().expect("no panic");
        let mine = turns.0;
        turns.0 += 1;
        drop(self.next.wait_while(turns, |turns| turns.1 != mine).expect("no panic"));
        work();
        self.turns.lock().expect("no panic").1 += 1;
        self.next.notify_all();
    }

    fn lock_stall(&self) -> MutexGuard<'_, Stall> {
        self.stall.lock().expect("nothing panics while holding a stall")
    }
}

/// A watched directory. What is in it when it is dropped stays.
pub struct TestDisk(Arc<Disk>);

impl TestDisk {
    /// Keeps in `kept` what a power cut would leave of `directory`: at first, what is there.
    pub fn watch(directory: &Path, kept: &Path) -> Self {
        fs_err::create_dir_all(directory).expect("a directory");
        copy(directory, kept);
        let disk = Arc::new(Disk {
            directory: directory.to_owned(),
            kept: kept.to_owned(),
            turns: Mutex::default(),
            stall: Mutex::default(),
            stalled: Condvar::new(),
            next: Condvar::new(),
        });
        disks().insert(directory.to_owned(), disk.clone());
        Self(disk)
    }

    /// Copies what a power cut would leave now.
    pub fn cut_power(&self, to: &Path) {
        self.0.in_turn(|| copy(&self.0.kept, to));
    }

    /// No sync ends until the answer is dropped.
    pub fn stall(&self) -> Stalled {
        self.0.lock_stall().on = true;
        Stalled(self.0.clone())
    }
}

impl Drop for TestDisk {
    fn drop(&mut self) {
        disks().remove(&self.0.directory);
    }
}

pub struct Stalled(Arc<Disk>);

impl Stalled {
    /// Waits until a sync waits.
    pub fn is_felt(&self) {
        let stall = self.0.lock_stall();
        let (stall, _) = self.0.stalled.wait_timeout_while(stall, LONG, |stall| stall.waiting == 0).expect("no panic");
        assert!(stall.waiting > 0, "nothing is synced");
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.lock_stall().on = false;
        self.0.stalled.notify_all();
    }
}

/// Makes `to` a copy of `from` at one moment, although a database may remove files in the background.
pub fn copy(from: &Path, to: &Path) {
    let mut before = list(from);
    loop {
        if to.exists() {
            fs_err::remove_dir_all(to).expect("the last copy can go");
        }
        copy_now(from, to).expect("a copy");
        let after = list(from);
        if before == after {
            return;
        }
        before = after;
    }
}

/// Files that are gone meanwhile are left out.
fn copy_now(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().expect("it has a name"));
        let copied = if path.is_dir() { copy_now(&path, &target) } else { fs_err::copy(&path, target).map(|_| ()) };
        copied.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// All files below a directory, and how long they are. RocksDB's own log may grow at any time.
fn list(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for path in fs_err::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
        match fs_err::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => found.extend(list(&path)),
            Ok(metadata) if !path.ends_with("LOG") => drop(found.insert(path, metadata.len())),
            Ok(_) | Err(_) => {}
        }
    }
    found
}
