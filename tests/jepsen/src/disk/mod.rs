//! What a node's data lies on: a folder, or a file system of ours that can lose power, fail, stall and fill up.
//!
//! ```text
//!   node ─► kernel ─► mount (FUSE) ─► volume (what is to go wrong) ─► tree (names) ─► content (bytes, backing files)
//! ```

mod content;
mod mount;
#[cfg(test)]
mod mount_test;
mod tree;
mod volume;

use std::path::Path;

use anyhow::Context;

use mount::Mounted;
pub use volume::{Failing, Volume};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Folder,
    /// Our file system. Needs root and /dev/fuse.
    Volume,
}

/// The bytes of a volume's files lie in this folder beside the data.
const BACKING: &str = "disk";

pub struct Disk {
    mounted: Option<std::sync::Mutex<Mounted>>,
}

impl Disk {
    /// The node's data will lie in `folder/data`.
    pub fn prepare(kind: Kind, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        fs_err::create_dir_all(&data)?;
        if kind == Kind::Folder {
            return Ok(Self { mounted: None });
        }
        let mounted = Mounted::new(&data, &folder.join(BACKING))
            .with_context(|| format!("no file system at {}: it needs root and /dev/fuse", data.display()))?;
        Ok(Self { mounted: Some(std::sync::Mutex::new(mounted)) })
    }

    pub fn volume(&self) -> anyhow::Result<std::sync::Arc<Volume>> {
        let mounted = self.mounted.as_ref().context("this node has no disk of its own that could break")?;
        Ok(mounted.lock().expect("nothing panics while holding a disk").volume.clone())
    }

    /// Takes the file system away; its files stay in the folder. Nobody may use it any more.
    pub fn remove(&self) {
        let Some(mounted) = &self.mounted else { return };
        if let Err(error) = mounted.lock().expect("nothing panics while holding a disk").take_down() {
            println!("a disk could not be taken away: {error}");
        }
    }
}
