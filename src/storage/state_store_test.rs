//! The state store: what a crash leaves, snapshots and their installation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use statemachine::Kv;

use super::test_disk::TestDisk;
use super::{Checkpoint, Chunks, LogId, Resources, StateStore, StorageConfig};

fn open(directory: &std::path::Path) -> StateStore {
    StateStore::open(directory, &Resources::new(StorageConfig::default())).expect("the store opens")
}

fn id(index: u64) -> LogId {
    LogId { term: 1, leader: 1, index }
}

fn write(store: &StateStore, index: u64) {
    let rows = [(vec![1, index as u8], Some(index.to_be_bytes().to_vec()))];
    store.write(rows, id(index), Some(Bytes::from(format!("members at {index}"))), 100).expect("rows are taken");
}

fn keys(store: &StateStore) -> Vec<u8> {
    let mut keys = Vec::new();
    let scanned = store.snapshot().scan(&[1], &[2], &mut |key, _| {
        keys.push(key[1]);
        true
    });
    scanned.expect("rows can be read");
    keys
}

fn build(store: &StateStore) -> Arc<Checkpoint> {
    let cut = store.cut_checkpoint().expect("a checkpoint can be cut");
    store.finish_checkpoint(cut).expect("a checkpoint can be finished")
}

fn send(from: &Checkpoint, to: &StateStore, chunk: usize) -> Result<Arc<Checkpoint>, super::StoreError> {
    let mut all = Vec::new();
    for file in &from.manifest().files {
        all.extend(fs_err::read(from.directory().join(&file.name)).expect("a file of the snapshot"));
    }
    let mut receiver = to.receive(from.manifest().clone())?;
    for data in all.chunks(chunk) {
        receiver.write(data)?;
    }
    receiver.finish()
}

/// How what is in a store's directory begins.
fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy()[..3].to_owned()).collect();
    names.sort();
    names
}

#[test]
fn flushed_rows_survive() {
    let directory = tempfile::tempdir().expect("a directory");
    {
        let store = open(directory.path());
        write(&store, 1);
        assert_eq!((store.progress().applied, store.progress().durable), (Some(id(1)), None));
        store.flush().expect("rows can be flushed");
        assert_eq!(store.progress().durable, Some(id(1)));
        assert_eq!((store.progress().unflushed_bytes, store.progress().unflushed_since), (0, None));
    }
    let store = open(directory.path());
    assert_eq!(store.progress().applied, Some(id(1)));
    assert_eq!(store.progress().membership, Some(Bytes::from("members at 1")));
    assert_eq!(keys(&store), [1]);
}

#[test]
fn a_snapshot_view_does_not_move() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    write(&store, 1);
    let view = store.snapshot();
    write(&store, 2);
    assert_eq!(view.get(&[1, 2]).expect("rows can be read"), None);
    assert_eq!(view.applied().expect("rows can be read"), Some(id(1)));
    assert_ne!(view.digest().expect("rows can be read"), store.snapshot().digest().expect("rows can be read"));
    let mut back = Vec::new();
    let scanned = store.snapshot().scan_back(&[1], &[2], &mut |key, _| {
        back.push(key[1]);
        true
    });
    scanned.expect("rows can be read");
    assert_eq!(back, [2, 1]);
}

#[test]
fn a_snapshot_moves_to_another_store() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let source = open(here.path());
    (1..=20).for_each(|index| write(&source, index));
    let snapshot = build(&source);
    (21..=30).for_each(|index| write(&source, index));
    {
        let target = open(there.path());
        write(&target, 99);
        let view = target.snapshot();
        let received = send(&snapshot, &target, 1000).expect("the snapshot arrives");
        target.install(&received).expect("the snapshot is installed");
        assert_eq!(keys(&target), (1..=20).collect::<Vec<u8>>());
        assert_eq!(target.progress().durable, Some(id(20)));
        assert_eq!(target.checkpoint().and_then(|kept| kept.last()), Some(id(20)));
        assert!(view.get(&[1, 99]).expect("old views still work").is_some());
        write(&target, 21);
        target.flush().expect("rows can be flushed");
    }
    let target = open(there.path());
    assert_eq!(keys(&target), (1..=21).collect::<Vec<u8>>());
    assert_eq!(target.checkpoint().and_then(|kept| kept.last()), Some(id(20)));
    assert_eq!(names(there.path()), ["LIV", "gen", "sna"], "nothing else is left");
}

#[test]
fn a_new_snapshot_replaces_the_last_once_nobody_reads_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    write(&store, 1);
    let first = build(&store);
    write(&store, 2);
    let second = build(&store);
    let old = first.directory().to_path_buf();
    assert!(old.exists() && second.directory().exists());
    drop(first);
    assert!(!old.exists());
    assert_eq!(second.last(), Some(id(2)));
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let source = open(here.path());
    write(&source, 1);
    let snapshot = build(&source);
    let target = open(there.path());
    write(&target, 5);

    let mut manifest = snapshot.manifest().clone();
    manifest.files[0].name = "../evil".to_owned();
    assert!(target.receive(manifest).is_err());
    let receiver = target.receive(snapshot.manifest().clone()).expect("a snapshot may come");
    assert!(receiver.finish().is_err(), "nothing came");
    let mut receiver = target.receive(snapshot.manifest().clone()).expect("a snapshot may come");
    assert!(receiver.write(&[0; 1 << 20]).is_err(), "other bytes came");
    drop(receiver);
    assert_eq!(keys(&target), [5]);
    assert_eq!(names(there.path()), ["LIV", "gen"], "nothing of what came is left");
}

fn read_all(snapshot: &Arc<Checkpoint>) -> Result<Vec<u8>, super::StoreError> {
    let (mut chunks, mut all) = (Chunks::new(snapshot.clone()), Vec::new());
    while let Some(data) = chunks.read(1000)? {
        all.extend(data);
    }
    Ok(all)
}

#[test]
fn a_snapshot_that_its_disk_changed_is_not_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    (1..=100).for_each(|index| write(&store, index));
    let snapshot = build(&store);
    let size: u64 = snapshot.manifest().files.iter().map(|file| file.size).sum();
    assert_eq!(read_all(&snapshot).expect("it is whole").len() as u64, size);

    for file in &snapshot.manifest().files {
        let path = snapshot.directory().join(&file.name);
        let whole = fs_err::read(&path).expect("a file of the snapshot");
        let mut longer = whole.clone();
        longer.push(0);
        let mut damaged = vec![longer];
        if let Some((_, shorter)) = whole.split_last() {
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            damaged.extend([flipped, shorter.to_vec()]);
        }
        for bytes in damaged {
            fs_err::write(&path, bytes).expect("a damaged file");
            let error = read_all(&snapshot).expect_err("it is damaged");
            assert_eq!(error.to_string(), format!("corrupt snapshot: {} does not have its hash", file.name));
        }
        fs_err::write(&path, whole).expect("the file as it was");
    }
    assert!(read_all(&snapshot).is_ok(), "it is whole again");
}

#[test]
fn a_cut_does_not_replace_a_newer_snapshot() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (source, target) = (open(here.path()), open(there.path()));
    (1..=9).for_each(|index| write(&source, index));
    write(&target, 1);
    let cut = target.cut_checkpoint().expect("a checkpoint can be cut");
    let received = send(&build(&source), &target, 1000).expect("the snapshot arrives");
    target.install(&received).expect("the snapshot is installed");
    drop(received);

    // The log begins after entry 9 now.
    let finished = target.finish_checkpoint(cut).expect("the cut is passed over");
    assert_eq!(finished.last(), Some(id(9)));
    assert_eq!(target.checkpoint().and_then(|newest| newest.last()), Some(id(9)));
    assert_eq!(names(there.path()), ["LIV", "gen", "sna"], "nothing of the cut is left");
    write(&target, 10);
    assert_eq!(build(&target).last(), Some(id(10)));
}

#[test]
fn the_newest_snapshot_is_known_while_another_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(open(&directory.path().join("store")));
    write(&store, 1);
    let first = build(&store);
    write(&store, 2);
    let cut = store.cut_checkpoint().expect("a checkpoint can be cut");
    let disk = TestDisk::watch(&directory.path().join("store"), &directory.path().join("kept"));
    let stall = disk.stall();
    let making = std::thread::spawn({
        let store = store.clone();
        move || store.finish_checkpoint(cut).expect("a checkpoint can be finished")
    });
    stall.is_felt();
    let (answer, answered) = std::sync::mpsc::channel();
    let asking = store.clone();
    // The runtime's threads ask, and the group's heartbeats with them.
    std::thread::spawn(move || answer.send(asking.checkpoint().and_then(|newest| newest.last())));
    let known = answered.recv_timeout(Duration::from_secs(10)).expect("it does not wait for the disk");
    assert_eq!(known, first.last());
    drop(stall);
    assert_eq!(making.join().expect("it ends").last(), Some(id(2)));
    assert_eq!(store.checkpoint().and_then(|newest| newest.last()), Some(id(2)));
}

#[test]
fn a_snapshot_ends_where_it_was_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    (1..=5).for_each(|index| write(&store, index));
    let cut = store.cut_checkpoint().expect("a checkpoint can be cut");
    write(&store, 6);
    let snapshot = store.finish_checkpoint(cut).expect("a checkpoint can be finished");
    // The log is purged up to there, and entry 6 is nowhere else on disk.
    assert_eq!(snapshot.last(), Some(id(5)));
    assert!(snapshot.last() <= store.progress().durable, "what the log may lose is flushed");
}
