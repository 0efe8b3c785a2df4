//! A snapshot on its way to another node: its files in the manifest's order, as one run of chunks.

use std::io::Read;
use std::sync::Arc;

use super::Checkpoint;

/// The files stay for as long as this is held.
pub struct Chunks {
    checkpoint: Arc<Checkpoint>,
    /// The file that is read, or else the next one.
    at: usize,
    current: Option<fs_err::File>,
}

impl Chunks {
    pub fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Self { checkpoint, at: 0, current: None }
    }

    /// The next bytes, of one file; `None` after the last. Waits for the disk.
    pub fn read(&mut self, bytes_max: usize) -> std::io::Result<Option<Vec<u8>>> {
        while let Some(file) = self.checkpoint.manifest().files.get(self.at) {
            if self.current.is_none() {
                self.current = Some(fs_err::File::open(self.checkpoint.directory().join(&file.name))?);
            }
            let mut data = Vec::with_capacity(bytes_max);
            if let Some(source) = &mut self.current {
                source.take(bytes_max as u64).read_to_end(&mut data)?;
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
            self.current = None;
            self.at += 1;
        }
        Ok(None)
    }
}
