//! What a node's data lies on: a folder, or a small file system of its own that can be filled.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use tokio::process::Command;

/// Size of a small disk. RocksDB's own files take some tens of megabytes of it.
const SMALL_BYTES: u64 = 400 << 20;
const FILLER: &str = "filler";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Folder,
    /// A tmpfs of limited size. Needs root.
    Small,
}

pub struct Disk {
    kind: Kind,
    data: PathBuf,
}

impl Disk {
    /// The node's data will lie in `folder/data`.
    pub async fn prepare(kind: Kind, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        fs_err::create_dir_all(&data)?;
        if kind == Kind::Small {
            let size = format!("size={SMALL_BYTES}");
            let path = data.display().to_string();
            let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "jep", &path]).status().await?;
            ensure!(mounted.success(), "no tmpfs at {path}: a small disk needs root");
        }
        Ok(Self { kind, data })
    }

    /// Takes all the space there is.
    pub async fn fill(&self) -> anyhow::Result<()> {
        if self.kind == Kind::Folder {
            bail!("this node has no disk of its own to fill");
        }
        let filler = self.data.join(FILLER);
        // It ends with "no space left", which is what it is for.
        let of = format!("of={}", filler.display());
        let _full = Command::new("dd").args(["if=/dev/zero", &of, "bs=1M", "status=none"]).output().await?;
        ensure!(fs_err::metadata(&filler)?.len() > 0, "nothing was written to {}", filler.display());
        Ok(())
    }

    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs_err::remove_file(self.data.join(FILLER))?)
    }

    /// Takes the file system away, with the data on it.
    pub async fn remove(&self) {
        if self.kind == Kind::Small {
            let _gone = Command::new("umount").arg("-l").arg(&self.data).status().await;
        }
    }
}
