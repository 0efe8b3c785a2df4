//! A volume as a mounted file system (FUSE). Nothing is cached by the kernel: what it is told is what the volume says.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::volume::{Seen, Volume};

const UNCACHED: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;
const NAME_MAX: u32 = 255;

/// A volume at a place in the real file system. Dropped, it is unmounted.
pub struct Mounted {
    pub volume: Arc<Volume>,
    place: PathBuf,
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// An empty volume at `place`, an empty folder; the bytes of its files lie in `backing`. Needs root.
    pub fn new(place: &Path, backing: &Path) -> io::Result<Self> {
        fs_err::create_dir_all(backing)?;
        let volume = Arc::new(Volume::new(backing));
        let mut config = fuser::Config::default();
        config.mount_options = vec![MountOption::FSName("jep".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Kernel(volume.clone()), place, &config)?;
        Ok(Self { volume, place: place.to_owned(), session: Some(session) })
    }

    /// Unmounts it and leaves its files in the folder where it was mounted.
    pub fn take_down(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        session.umount_and_join()?;
        self.volume.write_out(&self.place)
    }
}

struct Kernel(Arc<Volume>);

fn attributes(seen: &Seen) -> FileAttr {
    FileAttr {
        ino: INodeNo(seen.number),
        size: seen.size,
        blocks: seen.size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(seen.is_directory),
        perm: if seen.is_directory { 0o755 } else { 0o644 },
        nlink: seen.links,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn kind(is_directory: bool) -> FileType {
    if is_directory {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn entry(result: Result<Seen, Errno>, reply: ReplyEntry) {
    match result {
        Ok(seen) => reply.entry(&UNCACHED, &attributes(&seen), Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn attribute(result: Result<Seen, Errno>, reply: ReplyAttr) {
    match result {
        Ok(seen) => reply.attr(&UNCACHED, &attributes(&seen)),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Kernel {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.0.lookup(parent.0, name), reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attribute(self.0.see(number.0), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // Owners, modes and times are nothing that anybody here depends on.
        let sized = size.map_or(Ok(()), |size| self.0.set_size(number.0, size));
        attribute(sized.and_then(|()| self.0.see(number.0)), reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        let made = self.0.change(|tree| tree.make_directory(parent.0, name));
        entry(made.and_then(|number| self.0.see(number)), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.0.change(|tree| tree.unlink(parent.0, name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.0.change(|tree| tree.remove_directory(parent.0, name)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        empty(self.0.change(|tree| tree.rename(parent.0, name, to.0, new_name)), reply);
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.0.change(|tree| tree.link(number.0, parent.0, name));
        entry(linked.and_then(|()| self.0.see(number.0)), reply);
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.open(number.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.0.create(parent.0, name) {
            Ok(seen) => {
                reply.created(&UNCACHED, &attributes(&seen), Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO)
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(number.0, offset, size as usize) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(number.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or_default()),
            Err(error) => reply.error(error),
        }
    }

    /// At each close; nothing waits for it.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        empty(self.0.close(number.0), reply);
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.0.sync(number.0, |result| empty(result, reply));
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.0.sync(number.0, |result| empty(result, reply));
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let names = match self.0.list(number.0) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let own = [(number.0, true, ".".into()), (number.0, true, "..".into())];
        let all = own.into_iter().chain(names);
        for (at, (number, is_directory, name)) in (1..).zip(all).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(number), at, kind(is_directory), &name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (all, free) = self.0.space();
        let blocks = |bytes: u64| bytes / u64::from(BLOCK);
        reply.statfs(blocks(all), blocks(free), blocks(free), 1 << 20, 1 << 20, BLOCK, NAME_MAX, BLOCK);
    }
}
