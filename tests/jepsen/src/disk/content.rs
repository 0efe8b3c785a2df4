//! The bytes of one file: what programs see lies in a backing file, and what a power cut would take back is remembered.

use std::io;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::FileExt;
use fs_err::{File, OpenOptions};

/// Bytes as they were at the last sync, before something was written over them or cut off.
struct Undo {
    offset: u64,
    bytes: Vec<u8>,
}

pub struct Content {
    backing: PathBuf,
    /// While a program has it open.
    handle: Option<File>,
    opens: u32,
    size: u64,
    /// Its size at the last sync.
    synced_size: u64,
    /// Since the last sync, in order.
    undo: Vec<Undo>,
    /// A sync failed: what was unsynced then is lost, and later syncs do not bring it back, as on Linux.
    doomed: bool,
}

impl Content {
    /// A new, empty file.
    pub fn create(backing: PathBuf) -> io::Result<Self> {
        File::create_new(&backing)?;
        Ok(Self { backing, handle: None, opens: 0, size: 0, synced_size: 0, undo: Vec::new(), doomed: false })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn backing(&self) -> &Path {
        &self.backing
    }

    pub fn is_open(&self) -> bool {
        self.opens > 0
    }

    pub fn open(&mut self) -> io::Result<()> {
        if self.handle.is_none() {
            self.handle = Some(self.file()?);
        }
        self.opens += 1;
        Ok(())
    }

    pub fn close(&mut self) {
        self.opens = self.opens.saturating_sub(1);
        if self.opens == 0 {
            self.handle = None;
        }
    }

    fn file(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(&self.backing)
    }

    fn with<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        match &self.handle {
            Some(file) => work(file),
            None => work(&self.file()?),
        }
    }

    /// Fewer bytes than asked for at the end only.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        let mut read = 0;
        self.with(|file| {
            while read < bytes.len() {
                match file.read_at(&mut bytes[read..], offset + read as u64)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    some => read += some,
                }
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.remember(offset, offset + data.len() as u64)?;
        self.with(|file| file.write_all_at(data, offset))?;
        self.size = self.size.max(offset + data.len() as u64);
        Ok(())
    }

    pub fn set_size(&mut self, size: u64) -> io::Result<()> {
        if size < self.size {
            self.remember(size, self.size)?;
        }
        self.with(|file| file.set_len(size))?;
        self.size = size;
        Ok(())
    }

    /// Keeps what lies in `[from, to)` if it was there at the last sync. What is changed a second time is kept a second
    /// time: it is put back last to first.
    fn remember(&mut self, from: u64, to: u64) -> io::Result<()> {
        let to = to.min(self.synced_size).min(self.size);
        if from < to {
            let bytes = self.read(from, usize::try_from(to - from).unwrap_or(usize::MAX))?;
            self.undo.push(Undo { offset: from, bytes });
        }
        Ok(())
    }

    /// What is there now survives a power cut.
    pub fn sync(&mut self) {
        if !self.doomed {
            self.undo.clear();
            self.synced_size = self.size;
        }
    }

    /// A sync that failed.
    pub fn fail_sync(&mut self) {
        self.doomed = true;
    }

    /// The power cut: back to the last sync. With `torn`, a file that only grew keeps a part of what was added.
    pub fn lose(&mut self, torn: Option<u64>) -> io::Result<()> {
        let added = self.size.saturating_sub(self.synced_size);
        let kept = match torn {
            Some(choice) if self.undo.is_empty() && added > 0 => choice % (added + 1),
            _ => 0,
        };
        let undo = std::mem::take(&mut self.undo);
        let size = self.synced_size + kept;
        self.with(|file| {
            undo.iter().rev().try_for_each(|undo| file.write_all_at(&undo.bytes, undo.offset))?;
            file.set_len(size)
        })?;
        (self.size, self.synced_size, self.doomed) = (size, size, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> (tempfile::TempDir, Content) {
        let directory = tempfile::tempdir().expect("a directory");
        let content = Content::create(directory.path().join("1")).expect("a file");
        (directory, content)
    }

    fn all(content: &Content) -> String {
        String::from_utf8(content.read(0, 100).expect("it can be read")).expect("text")
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_goes() {
        let (_directory, mut content) = content();
        content.write(0, b"synced").expect("written");
        content.sync();
        content.write(6, b" and not").expect("written");
        assert_eq!(all(&content), "synced and not");
        content.lose(None).expect("lost");
        assert_eq!(all(&content), "synced");
    }

    #[test]
    fn what_was_written_over_and_cut_off_comes_back() {
        let (_directory, mut content) = content();
        content.write(0, b"0123456789").expect("written");
        content.sync();
        content.write(2, b"xx").expect("written");
        content.set_size(5).expect("cut");
        content.write(1, b"yyyyyyyyyyyy").expect("written");
        content.set_size(0).expect("cut");
        content.write(0, b"z").expect("written");
        content.lose(None).expect("lost");
        assert_eq!(all(&content), "0123456789");
    }

    #[test]
    fn a_torn_file_keeps_a_part_of_what_was_added() {
        let (_directory, mut content) = content();
        content.write(0, b"synced").expect("written");
        content.sync();
        content.write(6, b"+more").expect("written");
        content.lose(Some(2)).expect("lost");
        assert_eq!(all(&content), "synced+m");
    }

    #[test]
    fn after_a_failed_sync_a_later_one_saves_nothing() {
        let (_directory, mut content) = content();
        content.write(0, b"a").expect("written");
        content.fail_sync();
        content.write(1, b"b").expect("written");
        content.sync();
        content.lose(None).expect("lost");
        assert_eq!(all(&content), "");
        content.write(0, b"c").expect("written");
        content.sync();
        content.lose(None).expect("lost");
        assert_eq!(all(&content), "c");
    }
}
