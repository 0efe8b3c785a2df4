//! What a power loss leaves: the files as they were at the last sync. Whatever was acknowledged by then or later must
//! be in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::{LogEntry, LogId, LogStore, Resources, StorageConfig, Vote};

const LONG: Duration = Duration::from_secs(10);

/// Directories of logs under test, and where their files are kept as of the last sync.
static KEPT: Mutex<BTreeMap<PathBuf, PathBuf>> = Mutex::new(BTreeMap::new());

/// The log in this directory has been synced.
pub fn synced(directory: &Path) {
    let kept = KEPT.lock().expect("nothing panics while holding the list");
    if let Some(target) = kept.get(directory) {
        keep(directory, target);
    }
}

fn keep(directory: &Path, target: &Path) {
    if target.exists() {
        fs_err::remove_dir_all(target).expect("the last copy can go");
    }
    fs_err::create_dir(target).expect("a directory");
    for entry in fs_err::read_dir(directory).expect("the log's directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs_err::copy(&path, target.join(path.file_name().expect("it has a name"))).expect("a copy");
        }
    }
}

fn open(directory: &Path) -> Arc<LogStore> {
    LogStore::open(directory, &Resources::new(StorageConfig::default())).expect("the log opens")
}

fn entries(indexes: std::ops::Range<u64>) -> Vec<LogEntry> {
    let id = |index| LogId { term: 1, leader: 1, index };
    indexes.map(|index| LogEntry { id: id(index), kind: 1, payload: Bytes::from(format!("entry {index}")) }).collect()
}

/// Does something with a log and waits for its acknowledgement; returns the log as a power loss then leaves it.
fn after_power_loss(work: impl FnOnce(&LogStore, super::Done)) -> (tempfile::TempDir, Arc<LogStore>) {
    let directory = tempfile::tempdir().expect("a directory");
    let (live, left) = (directory.path().join("live"), directory.path().join("left"));
    {
        let store = open(&live);
        keep(&live, &left);
        KEPT.lock().expect("nothing panics while holding the list").insert(live.clone(), left.clone());
        let (done, acknowledged) = mpsc::channel();
        work(&store, Box::new(move || done.send(()).expect("the test waits")));
        acknowledged.recv_timeout(LONG).expect("it is acknowledged");
        KEPT.lock().expect("nothing panics while holding the list").remove(&live);
    }
    let store = open(&left);
    (directory, store)
}

#[test]
fn acknowledged_entries_survive() {
    let (_directory, store) = after_power_loss(|store, done| {
        store.shard(7).expect("a log").append(entries(0..20), done).expect("the log takes entries");
    });
    let found = store.shard(7).expect("a log").read(0, 100, usize::MAX).expect("the log can be read");
    assert_eq!(found, entries(0..20));
}

#[test]
fn an_acknowledged_vote_survives() {
    let vote = Vote { term: 3, node: 2, committed: true };
    let (_directory, store) = after_power_loss(|store, done| {
        store.shard(7).expect("a log").save_vote(vote, done).expect("a vote is taken");
    });
    assert_eq!(store.shard(7).expect("a log").vote(), Some(vote));
}
