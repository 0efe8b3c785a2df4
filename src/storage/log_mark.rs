//! How far a shard's log has come for certain, noted beside the shard's state. The end of a journal that was cut off looks
//! like a write that the node never finished: only another file can tell that it was there.
//!
//! The note is an index, written now and then, after the entry was synced and applied, and never synced itself: after a
//! power cut an older note or none may be there, which hides a loss and never invents one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{LogId, ShardLog, StoreError};

const FILE: &str = "LOGGED";

pub struct LogMark {
    path: PathBuf,
    noted: Mutex<Option<u64>>,
}

impl LogMark {
    /// Refuses a log that ends before the note in `directory`.
    pub fn open(directory: &Path, log: &ShardLog) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let noted = fs_err::read_to_string(&path).ok().and_then(|text| decode(&text));
        let end = log.bounds().1.map(|id| id.index);
        if noted > end {
            let end = end.map_or_else(|| "is empty".to_owned(), |end| format!("ends at entry {end}"));
            let (shard, noted) = (log.shard(), noted.unwrap_or_default());
            return Err(StoreError::corrupt(
                "log",
                format!(
                    "that of shard {shard} {end} and had come to {noted}: it lost what it acknowledged, and this node \
                     must be replaced"
                ),
            ));
        }
        Ok(Self { path, noted: Mutex::new(noted) })
    }

    /// Notes how far the log is synced and applied, if that is further than the note says.
    pub fn note(&self, log: &ShardLog, applied: Option<LogId>) -> std::io::Result<()> {
        let mut noted = self.lock();
        let now = certain(log, applied);
        let Some(index) = now.filter(|_| now > *noted) else { return Ok(()) };
        // In place, so that it costs a page in memory now and then, and no change of a directory.
        let mut file = fs_err::File::options().write(true).create(true).truncate(false).open(&self.path)?;
        file.write_all(encode(index).as_bytes())?;
        *noted = now;
        Ok(())
    }

    /// Whether there is something to note.
    pub fn is_behind(&self, log: &ShardLog, applied: Option<LogId>) -> bool {
        certain(log, applied) > *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.noted.lock().expect("nothing panics while holding the note")
    }
}

/// Entries that are not applied may still be replaced by others, and there may be fewer of those.
fn certain(log: &ShardLog, applied: Option<LogId>) -> Option<u64> {
    log.synced().min(applied.map(|id| id.index))
}

/// Twice and always as long, so that half a note is none.
fn encode(index: u64) -> String {
    format!("{index:020} {index:020}\n")
}

fn decode(text: &str) -> Option<u64> {
    let (first, second) = text.strip_suffix('\n')?.split_once(' ')?;
    let index = first.parse().ok()?;
    (first == second && text == encode(index)).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_note_is_none() {
        let (old, new) = (encode(199), encode(200));
        assert_eq!((decode(&old), decode(&new), decode("")), (Some(199), Some(200), None));
        for length in 0..new.len() {
            assert_eq!(decode(&new[..length]), None);
            let torn = decode(&format!("{}{}", &new[..length], &old[length..]));
            assert!(torn.is_none_or(|torn| torn == 199 || torn == 200), "{torn:?}");
        }
    }
}
