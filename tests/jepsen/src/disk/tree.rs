//! Directories and files of a file system that can lose power. A directory's entries survive once the directory was
//! synced, a file's bytes once the file was: a synced file whose name was not synced is gone, as POSIX allows.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use fuser::Errno;

use super::content::Content;

pub const ROOT: u64 = 1;

type Names = BTreeMap<OsString, u64>;

pub enum Node {
    Directory { now: Names, synced: Names },
    File(Content),
}

pub struct Tree {
    /// Where the bytes of files lie, by number.
    backing: PathBuf,
    nodes: BTreeMap<u64, Node>,
    /// Numbers are never used again.
    next: u64,
}

impl Tree {
    /// An empty one, whose files' bytes will lie in `backing`, an empty folder.
    pub fn new(backing: &Path) -> Self {
        let root = Node::Directory { now: Names::new(), synced: Names::new() };
        Self { backing: backing.to_owned(), nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    pub fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub fn file(&mut self, number: u64) -> Result<&mut Content, Errno> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(content)) => Ok(content),
            Some(Node::Directory { .. }) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    pub fn names(&self, directory: u64) -> Result<&Names, Errno> {
        match self.node(directory)? {
            Node::Directory { now, .. } => Ok(now),
            Node::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, directory: u64) -> Result<&mut Names, Errno> {
        match self.nodes.get_mut(&directory) {
            Some(Node::Directory { now, .. }) => Ok(now),
            Some(Node::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    pub fn lookup(&self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        self.names(directory)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub fn create(&mut self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        let content = Content::create(self.backing.join(self.next.to_string()))?;
        self.add(directory, name, Node::File(content))
    }

    pub fn make_directory(&mut self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        self.add(directory, name, Node::Directory { now: Names::new(), synced: Names::new() })
    }

    fn add(&mut self, directory: u64, name: &OsStr, node: Node) -> Result<u64, Errno> {
        let number = self.next;
        let names = self.names_mut(directory)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), number);
        self.nodes.insert(number, node);
        self.next += 1;
        Ok(number)
    }

    pub fn link(&mut self, number: u64, directory: u64, name: &OsStr) -> Result<(), Errno> {
        self.file(number)?;
        let names = self.names_mut(directory)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), number);
        Ok(())
    }

    /// Removes the name of a file.
    pub fn unlink(&mut self, directory: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(directory, name)?;
        self.file(number)?;
        self.names_mut(directory)?.remove(name);
        Ok(())
    }

    pub fn remove_directory(&mut self, directory: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(directory, name)?;
        if !self.names(number)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.names_mut(directory)?.remove(name);
        Ok(())
    }

    pub fn rename(&mut self, from: u64, name: &OsStr, to: u64, new_name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(from, name)?;
        if let Some(&replaced) = self.names(to)?.get(new_name) {
            if matches!(self.node(replaced)?, Node::Directory { now, .. } if !now.is_empty()) {
                return Err(Errno::ENOTEMPTY);
            }
        }
        self.names_mut(from)?.remove(name);
        self.names_mut(to)?.insert(new_name.to_owned(), number);
        Ok(())
    }

    /// Its entries survive a power cut.
    pub fn sync_directory(&mut self, directory: u64) -> Result<(), Errno> {
        match self.nodes.get_mut(&directory) {
            Some(Node::Directory { now, synced }) => synced.clone_from(now),
            Some(Node::File(_)) => return Err(Errno::ENOTDIR),
            None => return Err(Errno::ENOENT),
        }
        Ok(self.forget_unreachable()?)
    }

    /// How many names a file has.
    pub fn links(&self, number: u64) -> u32 {
        let names = |node: &Node| match node {
            Node::Directory { now, .. } => now.values().filter(|&&named| named == number).count(),
            Node::File(_) => 0,
        };
        u32::try_from(self.nodes.values().map(names).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Bytes of all files that have a name.
    pub fn used(&self) -> u64 {
        let mut named = BTreeSet::new();
        for node in self.nodes.values() {
            if let Node::Directory { now, .. } = node {
                named.extend(now.values());
            }
        }
        let size = |number| match self.nodes.get(number) {
            Some(Node::File(content)) => content.size(),
            _ => 0,
        };
        named.iter().map(size).sum()
    }

    /// The power cut: every directory and file is what it was when it was last synced. With `torn`, files that grew keep
    /// parts of what was added to them.
    pub fn lose(&mut self, torn: Option<u64>) -> io::Result<()> {
        for (number, node) in &mut self.nodes {
            match node {
                Node::Directory { now, synced } => now.clone_from(synced),
                Node::File(content) => content.lose(torn.map(|choice| choice.rotate_left(*number as u32 % 64)))?,
            }
        }
        self.forget_unreachable()
    }

    /// Drops what no name leads to, now or after a power cut, and nobody has open.
    fn forget_unreachable(&mut self) -> io::Result<()> {
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(number) = open.pop() {
            if let Some(Node::Directory { now, synced }) = self.nodes.get(&number) {
                open.extend(now.values().chain(synced.values()).filter(|number| reached.insert(**number)));
            }
        }
        let gone = |(number, node): (&u64, &Node)| {
            let open = matches!(node, Node::File(content) if content.is_open());
            (!reached.contains(number) && !open).then_some(*number)
        };
        let gone: Vec<u64> = self.nodes.iter().filter_map(gone).collect();
        for number in gone {
            if let Some(Node::File(content)) = self.nodes.remove(&number) {
                fs_err::remove_file(content.backing())?;
            }
        }
        Ok(())
    }

    /// Gives every file its name in a real folder, so that it can be looked at when the file system is gone.
    pub fn write_out(&self, folder: &Path) -> io::Result<()> {
        self.write_out_directory(ROOT, folder)
    }

    fn write_out_directory(&self, number: u64, folder: &Path) -> io::Result<()> {
        let Some(Node::Directory { now, .. }) = self.nodes.get(&number) else { return Ok(()) };
        for (name, number) in now {
            let path = folder.join(name);
            match self.nodes.get(number) {
                Some(Node::File(content)) => fs_err::hard_link(content.backing(), path)?,
                Some(Node::Directory { .. }) => {
                    fs_err::create_dir(&path)?;
                    self.write_out_directory(*number, &path)?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk {
        tree: Tree,
        _backing: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Self {
            let backing = tempfile::tempdir().expect("a directory");
            Self { tree: Tree::new(backing.path()), _backing: backing }
        }

        fn create(&mut self, directory: u64, name: &str, text: &str) -> u64 {
            let number = self.tree.create(directory, OsStr::new(name)).expect("created");
            self.tree.file(number).expect("a file").write(0, text.as_bytes()).expect("written");
            number
        }

        fn sync(&mut self, number: u64) {
            match self.tree.file(number) {
                Ok(file) => file.sync(),
                Err(_) => self.tree.sync_directory(number).expect("synced"),
            }
        }

        fn rename(&mut self, from: (u64, &str), to: (u64, &str)) {
            self.tree.rename(from.0, OsStr::new(from.1), to.0, OsStr::new(to.1)).expect("renamed");
        }

        /// Names and what is in them.
        fn list(&mut self, directory: u64) -> Vec<String> {
            let names: Vec<(OsString, u64)> =
                self.tree.names(directory).expect("a directory").clone().into_iter().collect();
            let text = |(name, number): (OsString, u64)| match self.tree.file(number) {
                Ok(file) => {
                    let bytes = file.read(0, 100).expect("it can be read");
                    format!("{}={}", name.to_string_lossy(), String::from_utf8_lossy(&bytes))
                }
                Err(_) => format!("{}/", name.to_string_lossy()),
            };
            names.into_iter().map(text).collect()
        }

        fn lose(&mut self) {
            self.tree.lose(None).expect("lost");
        }
    }

    #[test]
    fn a_name_survives_with_its_directory_and_bytes_with_their_file() {
        let mut disk = Disk::new();
        let both = disk.create(ROOT, "both", "1");
        disk.sync(both);
        disk.sync(ROOT);
        disk.tree.file(both).expect("a file").write(0, b"2").expect("written");
        let unnamed = disk.create(ROOT, "unnamed", "3");
        disk.sync(unnamed);
        assert_eq!(disk.list(ROOT), ["both=2", "unnamed=3"]);
        disk.lose();
        assert_eq!(disk.list(ROOT), ["both=1"]);
    }

    #[test]
    fn a_file_whose_name_alone_was_synced_is_empty() {
        let mut disk = Disk::new();
        disk.create(ROOT, "a", "never synced");
        disk.sync(ROOT);
        disk.lose();
        assert_eq!(disk.list(ROOT), ["a="]);
    }

    #[test]
    fn a_rename_is_whole_or_not_at_all() {
        let mut disk = Disk::new();
        let old = disk.create(ROOT, "CURRENT", "old");
        disk.sync(old);
        disk.sync(ROOT);
        let new = disk.create(ROOT, "CURRENT.tmp", "new");
        disk.sync(new);
        disk.rename((ROOT, "CURRENT.tmp"), (ROOT, "CURRENT"));
        assert_eq!(disk.list(ROOT), ["CURRENT=new"]);
        disk.lose();
        assert_eq!(disk.list(ROOT), ["CURRENT=old"]);

        let new = disk.create(ROOT, "CURRENT.tmp", "new");
        disk.sync(new);
        disk.rename((ROOT, "CURRENT.tmp"), (ROOT, "CURRENT"));
        disk.sync(ROOT);
        disk.lose();
        assert_eq!(disk.list(ROOT), ["CURRENT=new"]);
    }

    #[test]
    fn what_was_removed_comes_back_until_its_directory_is_synced() {
        let mut disk = Disk::new();
        let directory = disk.tree.make_directory(ROOT, OsStr::new("d")).expect("made");
        let file = disk.create(directory, "f", "x");
        disk.sync(file);
        disk.sync(directory);
        disk.sync(ROOT);
        let remove = |disk: &mut Disk| {
            disk.tree.unlink(directory, OsStr::new("f")).expect("removed");
            disk.tree.remove_directory(ROOT, OsStr::new("d")).expect("removed");
        };
        remove(&mut disk);
        disk.lose();
        assert_eq!((disk.list(ROOT), disk.list(directory)), (vec!["d/".to_owned()], vec!["f=x".to_owned()]));
        remove(&mut disk);
        disk.sync(ROOT);
        disk.lose();
        assert!(disk.list(ROOT).is_empty() && disk.tree.node(directory).is_err() && disk.tree.node(file).is_err());
    }

    #[test]
    fn a_link_keeps_the_bytes_and_open_files_stay() {
        let mut disk = Disk::new();
        let file = disk.create(ROOT, "a", "x");
        disk.tree.link(file, ROOT, OsStr::new("b")).expect("linked");
        assert_eq!((disk.tree.links(file), disk.tree.used()), (2, 1));
        disk.tree.file(file).expect("a file").open().expect("open");
        for name in ["a", "b"] {
            disk.tree.unlink(ROOT, OsStr::new(name)).expect("removed");
        }
        disk.sync(ROOT);
        assert_eq!(disk.tree.used(), 0);
        assert_eq!(disk.tree.file(file).expect("it is open").read(0, 9).expect("read"), b"x");
        disk.tree.file(file).expect("a file").close();
        disk.sync(ROOT);
        assert!(disk.tree.node(file).is_err());
    }
}
