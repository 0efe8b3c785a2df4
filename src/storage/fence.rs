//! A node that lost what it promised must not come back: the reason stands in a file of its log's directory, and the log
//! is not opened any more.

use std::io::Write;
use std::path::Path;

use super::options::sync_dir;
use super::StoreError;

const FILE: &str = "LOST";

pub(super) fn check(directory: &Path) -> Result<(), StoreError> {
    match fs_err::read_to_string(directory.join(FILE)) {
        Ok(why) => Err(StoreError::corrupt("log", why.trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("log directory", error)),
    }
}

pub(super) fn set(directory: &Path, why: &str) -> std::io::Result<()> {
    let mut file = fs_err::File::create(directory.join(FILE))?;
    writeln!(file, "{why}")?;
    file.sync_all()?;
    sync_dir(directory)
}
