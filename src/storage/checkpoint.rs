//! Snapshots on disk: hard links of a flushed state store, and a manifest that names and hashes every file.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use prost::Message;
use proto::everstep::peer::v1::{SnapshotFile, SnapshotManifest};
use sha2::{Digest, Sha256};

use super::generation::RemoveLater;
use super::options::sync_dir;
use super::{LogId, StoreError};

pub(super) const MANIFEST: &str = "snapshot.manifest";

/// A complete snapshot in a directory of its own. The files stay for as long as someone holds it.
pub struct Checkpoint {
    directory: RemoveLater,
    manifest: SnapshotManifest,
}

impl Checkpoint {
    pub(super) fn new(directory: RemoveLater, manifest: SnapshotManifest) -> Self {
        Self { directory, manifest }
    }

    /// Reads the manifest in `directory`; `None` if there is none or files are missing or of another size.
    pub(super) fn open(directory: &Path) -> Option<Self> {
        let bytes = fs_err::read(directory.join(MANIFEST)).ok()?;
        let manifest = SnapshotManifest::decode(bytes.as_slice()).ok()?;
        let complete = manifest.files.iter().all(|file| {
            let length = fs_err::metadata(directory.join(&file.name)).map(|found| found.len());
            length.is_ok_and(|length| length == file.size)
        });
        complete.then(|| Self::new(RemoveLater::new(directory.to_path_buf()), manifest))
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    /// The last entry it holds the effect of.
    pub fn last(&self) -> Option<LogId> {
        self.manifest.last.as_ref().map(|id| LogId { term: id.term, leader: id.leader, index: id.index })
    }

    /// Lets the files go with the last holder.
    pub(super) fn retire(&self) {
        self.directory.retire();
    }

    /// Fills the new directory `to` with the snapshot's files: immutable ones are linked, others copied.
    pub(super) fn link_to(&self, to: &Path) -> std::io::Result<()> {
        fs_err::create_dir_all(to)?;
        for file in &self.manifest.files {
            let (source, target) = (self.directory().join(&file.name), to.join(&file.name));
            if is_immutable(&file.name) {
                fs_err::hard_link(source, target)?;
            } else {
                fs_err::copy(source, &target)?;
                fs_err::File::open(&target)?.sync_all()?;
            }
        }
        sync_dir(to)
    }
}

/// Table files never change once written; everything else in a database directory may.
fn is_immutable(name: &str) -> bool {
    name.ends_with(".sst")
}

/// Hashes of table files already hashed: each is read once in its life.
#[derive(Default)]
pub(super) struct HashCache(Mutex<BTreeMap<FileId, Vec<u8>>>);

/// A file under all its links, and no other that has its name after it is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FileId {
    name: String,
    size: u64,
    inode: u64,
    modified: (i64, i64),
}

impl FileId {
    fn of(name: &str, found: &std::fs::Metadata) -> Self {
        let modified = (found.mtime(), found.mtime_nsec());
        Self { name: name.to_owned(), size: found.len(), inode: found.ino(), modified }
    }
}

impl HashCache {
    pub(super) fn clear(&self) {
        self.0.lock().expect("nothing panics while holding the hashes").clear();
    }

    /// Lists the files of a checkpoint directory and forgets the hashes of files that are gone.
    pub(super) fn list(&self, directory: &Path) -> std::io::Result<Vec<SnapshotFile>> {
        let known = std::mem::take(&mut *self.0.lock().expect("nothing panics while holding the hashes"));
        let (mut files, mut hashes) = (Vec::new(), BTreeMap::new());
        for entry in fs_err::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let found = entry.metadata()?;
            let (size, key) = (found.len(), FileId::of(&name, &found));
            let sha256 = match known.get(&key) {
                Some(sha256) => sha256.clone(),
                None => hash_file(&entry.path())?,
            };
            if is_immutable(&name) {
                hashes.insert(key, sha256.clone());
            }
            files.push(SnapshotFile { name, size, sha256: sha256.into() });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        *self.0.lock().expect("nothing panics while holding the hashes") = hashes;
        Ok(files)
    }
}

fn hash_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = fs_err::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().to_vec()),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// Writes the manifest durably; with it the directory is a complete snapshot.
pub(super) fn write_manifest(directory: &Path, manifest: &SnapshotManifest) -> Result<(), StoreError> {
    let io = |error: std::io::Error| StoreError::io("writing a snapshot manifest", error);
    let path = directory.join(MANIFEST);
    fs_err::write(&path, manifest.encode_to_vec()).map_err(io)?;
    fs_err::File::open(&path).and_then(|file| file.sync_all()).map_err(io)?;
    sync_dir(directory).map_err(io)
}
