//! The core's scripts on a real store that is closed and reopened after every line: it holds the same rows as memory.

use std::path::{Path, PathBuf};

use statemachine::op::Proposal;
use statemachine::testing::harness::Mode;
use statemachine::testing::{script, Harness};
use statemachine::{Kv, MemoryKv, Txn};

use crate::storage::{LogId, Resources, StateStore, StorageConfig};

fn open(directory: &Path) -> StateStore {
    StateStore::open(directory, &Resources::new(StorageConfig::default())).expect("the store opens")
}

fn apply(store: &StateStore, proposal: &Proposal, index: u64) {
    let rows = store.snapshot();
    let mut txn = Txn::new(&rows);
    statemachine::apply(&mut txn, proposal).expect("no fault");
    let id = LogId { term: 1, leader: 1, index };
    store.write(txn.into_writes(), id, None, 100).expect("rows are taken");
}

fn rows(store: &StateStore) -> MemoryKv {
    let mut all = MemoryKv::default();
    let scanned = store.snapshot().scan(&[], &[0xff; 4], &mut |key, value| {
        all.rows.insert(key.to_vec(), value.to_vec());
        true
    });
    scanned.expect("rows can be read");
    all
}

/// Lines that propose nothing need no reopening.
fn run(path: &Path) {
    let text = fs_err::read_to_string(path).expect("a script");
    let directory = tempfile::tempdir().expect("a directory");
    let mut applied = 0;
    script::run_in(Harness::new(Mode::Plain), &text, |harness| {
        if applied == harness.log.len() {
            return;
        }
        let store = open(directory.path());
        for (at, proposal) in harness.log.iter().enumerate().skip(applied) {
            apply(&store, proposal, at as u64 + 1);
        }
        applied = harness.log.len();
        store.flush().expect("rows can be flushed");
        drop(store);
        let reopened = rows(&open(directory.path()));
        assert!(reopened == harness.kv, "{}: after {applied} ops the store holds other rows", path.display());
    });
    assert!(applied > 0, "{}: nothing was proposed", path.display());
}

#[test]
fn every_script_on_a_store_that_is_reopened_after_every_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/statemachine/testscripts");
    let scripts: Vec<PathBuf> =
        fs_err::read_dir(folder).expect("scripts").map(|entry| entry.expect("an entry").path()).collect();
    assert!(scripts.len() > 30, "only {} scripts", scripts.len());
    scripts.iter().for_each(|path| run(path));
}
