//! A snapshot on its way to another node: its files in the manifest's order, as one run of chunks.

use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Checkpoint, StoreError};

/// The files stay for as long as this is held. They are hashed as they are read: a disk may have changed them since.
pub struct Chunks {
    checkpoint: Arc<Checkpoint>,
    /// The file that is read, or else the next one.
    at: usize,
    current: Option<Current>,
}

struct Current {
    file: fs_err::File,
    hash: Sha256,
}

impl Chunks {
    pub fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Self { checkpoint, at: 0, current: None }
    }

    /// The next bytes, of one file; `None` after the last. Waits for the disk. `Corrupt` after the bytes of a file that is
    /// not the one in the manifest.
    pub fn read(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let io = |error: std::io::Error| StoreError::io("reading a snapshot", error);
        while let Some(file) = self.checkpoint.manifest().files.get(self.at) {
            let current = match &mut self.current {
                Some(current) => current,
                none => {
                    let file = fs_err::File::open(self.checkpoint.directory().join(&file.name)).map_err(io)?;
                    none.insert(Current { file, hash: Sha256::new() })
                }
            };
            let mut data = Vec::with_capacity(bytes_max);
            current.file.by_ref().take(bytes_max as u64).read_to_end(&mut data).map_err(io)?;
            current.hash.update(&data);
            if !data.is_empty() {
                return Ok(Some(data));
            }
            let read = self.current.take().map(|current| current.hash.finalize());
            if read.is_none_or(|hash| hash.as_slice() != file.sha256.as_ref()) {
                return Err(StoreError::corrupt("snapshot", format!("{} does not have its hash", file.name)));
            }
            self.at += 1;
        }
        Ok(None)
    }
}
