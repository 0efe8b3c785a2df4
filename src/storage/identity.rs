//! Which node a data directory belongs to, and which directory it is: a node that comes back with another one has lost its
//! votes and must not take part under its old id.

use std::io::Write;
use std::path::Path;

use super::options::{create_dir, sync_dir};
use super::StoreError;

const FILE: &str = "identity";
const INCARNATION_BYTES: usize = 16;

/// The incarnation of the directory, made up the first time. Refuses the directory of another node.
pub fn identify(directory: &Path, node_id: u64, fresh: [u8; INCARNATION_BYTES]) -> Result<Vec<u8>, StoreError> {
    let io = |error: std::io::Error| StoreError::io("data directory", error);
    if !directory.is_dir() {
        create_dir(directory).map_err(io)?;
    }
    let path = directory.join(FILE);
    match fs_err::read_to_string(&path) {
        Ok(text) => read(&text, node_id),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("{node_id} {}\n", hex(&fresh));
            let temporary = directory.join("identity.tmp");
            let mut file = fs_err::File::create(&temporary).map_err(io)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            fs_err::rename(&temporary, &path).and_then(|()| sync_dir(directory)).map_err(io)?;
            Ok(fresh.to_vec())
        }
        Err(error) => Err(io(error)),
    }
}

fn read(text: &str, node_id: u64) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::corrupt("data directory", "its identity cannot be read");
    let (owner, incarnation) = text.trim().split_once(' ').ok_or_else(damaged)?;
    let owner: u64 = owner.parse().map_err(|_| damaged())?;
    if owner != node_id {
        return Err(StoreError::corrupt(
            "data directory",
            format!("it belongs to node {owner}, not to node {node_id}"),
        ));
    }
    unhex(incarnation).filter(|bytes| bytes.len() == INCARNATION_BYTES).ok_or_else(damaged)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_identity_and_its_node() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let first = identify(&data, 4, [0xa7; 16]).expect("new");
        assert_eq!(first, [0xa7; 16]);
        assert_eq!(identify(&data, 4, [1; 16]).expect("again"), first);
        let other = identify(&data, 5, [1; 16]).expect_err("of another node").to_string();
        assert!(other.contains("belongs to node 4, not to node 5"), "{other}");
        fs_err::write(data.join(FILE), "4 zz").expect("written");
        assert!(identify(&data, 4, [1; 16]).is_err());
    }
}
