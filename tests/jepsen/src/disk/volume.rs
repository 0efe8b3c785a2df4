//! What the kernel asks of the file system, and what the harness makes it do instead of answering well.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fuser::Errno;

use super::tree::{Node, Tree};

/// What a volume claims to have while it is not filled.
const ROOMY_BYTES: u64 = 64 << 30;

/// What is answered with an I/O error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failing {
    pub reads: bool,
    pub writes: bool,
    pub syncs: bool,
}

struct State {
    tree: Tree,
    failing: Failing,
    stalled_until: Option<Instant>,
    bytes_max: Option<u64>,
    /// Counts power cuts: what waited over one is not done.
    cuts: u64,
}

/// What a program sees of a file or directory.
pub struct Seen {
    pub number: u64,
    pub is_directory: bool,
    pub size: u64,
    pub links: u32,
}

pub struct Volume {
    state: Mutex<State>,
    /// A stall ended early, or the power was cut.
    changed: Condvar,
}

/// For the harness.
impl Volume {
    pub fn new(backing: &Path) -> Self {
        let tree = Tree::new(backing);
        let state = State { tree, failing: Failing::default(), stalled_until: None, bytes_max: None, cuts: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A power cut: what was not synced is gone (`Tree::lose`), and what waits for the disk fails.
    pub fn lose(&self, torn: Option<u64>) -> io::Result<()> {
        let mut state = self.lock();
        state.cuts += 1;
        state.stalled_until = None;
        self.changed.notify_all();
        state.tree.lose(torn)
    }

    pub fn fail(&self, failing: Failing) {
        self.lock().failing = failing;
    }

    /// No sync is answered for so long.
    pub fn stall(&self, duration: Duration) {
        self.lock().stalled_until = Some(Instant::now() + duration);
    }

    /// No more than so many bytes still fit.
    pub fn fill(&self, room: u64) {
        let mut state = self.lock();
        state.bytes_max = Some(state.tree.used() + room);
    }

    pub fn free(&self) {
        self.lock().bytes_max = None;
    }

    pub fn write_out(&self, folder: &Path) -> io::Result<()> {
        self.lock().tree.write_out(folder)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding a volume")
    }
}

/// For the kernel.
impl Volume {
    pub fn see(&self, number: u64) -> Result<Seen, Errno> {
        see(&self.lock().tree, number)
    }

    pub fn lookup(&self, directory: u64, name: &OsStr) -> Result<Seen, Errno> {
        let state = self.lock();
        see(&state.tree, state.tree.lookup(directory, name)?)
    }

    /// The names of a directory, with their numbers and whether they are directories.
    pub fn list(&self, directory: u64) -> Result<Vec<(u64, bool, OsString)>, Errno> {
        let state = self.lock();
        let names = state.tree.names(directory)?;
        let one = |(name, &number): (&OsString, &u64)| {
            let is_directory = matches!(state.tree.node(number)?, Node::Directory { .. });
            Ok((number, is_directory, name.clone()))
        };
        names.iter().map(one).collect()
    }

    /// Changes names. They are written, so they fail as writes do.
    pub fn change<T>(&self, work: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.lock();
        if state.failing.writes {
            return Err(Errno::EIO);
        }
        work(&mut state.tree)
    }

    pub fn create(&self, directory: u64, name: &OsStr) -> Result<Seen, Errno> {
        let number = self.change(|tree| {
            let number = tree.create(directory, name)?;
            tree.file(number)?.open()?;
            Ok(number)
        })?;
        self.see(number)
    }

    pub fn open(&self, number: u64) -> Result<(), Errno> {
        Ok(self.lock().tree.file(number)?.open()?)
    }

    pub fn close(&self, number: u64) -> Result<(), Errno> {
        self.lock().tree.file(number)?.close();
        Ok(())
    }

    pub fn read(&self, number: u64, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut state = self.lock();
        if state.failing.reads {
            return Err(Errno::EIO);
        }
        Ok(state.tree.file(number)?.read(offset, length)?)
    }

    pub fn write(&self, number: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let mut state = self.lock();
        if state.failing.writes {
            return Err(Errno::EIO);
        }
        let size = state.tree.file(number)?.size();
        let growth = (offset + data.len() as u64).saturating_sub(size);
        if growth > 0 && state.bytes_max.is_some_and(|most| state.tree.used() + growth > most) {
            return Err(Errno::ENOSPC);
        }
        Ok(state.tree.file(number)?.write(offset, data)?)
    }

    pub fn set_size(&self, number: u64, size: u64) -> Result<(), Errno> {
        let mut state = self.lock();
        if state.failing.writes {
            return Err(Errno::EIO);
        }
        Ok(state.tree.file(number)?.set_size(size)?)
    }

    /// Syncs a file or a directory and answers, perhaps later and from another thread.
    pub fn sync(self: &Arc<Self>, number: u64, answer: impl FnOnce(Result<(), Errno>) + Send + 'static) {
        if self.lock().stalled_until.is_none() {
            return answer(self.sync_now(number));
        }
        let volume = self.clone();
        // As many as threads of the program that wait in a sync.
        std::thread::spawn(move || answer(volume.outwait().and_then(|()| volume.sync_now(number))));
    }

    fn sync_now(&self, number: u64) -> Result<(), Errno> {
        let mut state = self.lock();
        let fails = state.failing.syncs;
        match state.tree.file(number) {
            Ok(file) if fails => file.fail_sync(),
            Ok(file) => file.sync(),
            Err(_) if fails => {}
            Err(_) => state.tree.sync_directory(number)?,
        }
        if fails {
            return Err(Errno::EIO);
        }
        Ok(())
    }

    /// Returns when the stall is over.
    fn outwait(&self) -> Result<(), Errno> {
        let mut state = self.lock();
        let cuts = state.cuts;
        while state.cuts == cuts {
            let left =
                state.stalled_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                state.stalled_until = None;
                return Ok(());
            }
            state = self.changed.wait_timeout(state, left).expect("nothing panics while holding a volume").0;
        }
        Err(Errno::EIO)
    }

    /// Bytes there are, and bytes that are free.
    pub fn space(&self) -> (u64, u64) {
        let state = self.lock();
        let most = state.bytes_max.unwrap_or(ROOMY_BYTES);
        (most, most.saturating_sub(state.tree.used()))
    }
}

fn see(tree: &Tree, number: u64) -> Result<Seen, Errno> {
    Ok(match tree.node(number)? {
        Node::Directory { .. } => Seen { number, is_directory: true, size: 4096, links: 2 },
        Node::File(content) => Seen { number, is_directory: false, size: content.size(), links: tree.links(number) },
    })
}
