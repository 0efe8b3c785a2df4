//! A node that dies at every failpoint in turn: what it acknowledged is there when it comes back.
//!
//! The node is this test binary run again with `CHILD` set; it prints each name once it is acknowledged.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use statemachine::{Effect, Kv};
use tokio::sync::watch;

use super::test_kit::proposal;
use super::{EffectSink, Group, Groups, PeerDirectory, RaftConfig, RaftOptions};
use crate::storage::{failpoint, fatal, LogId, Resources, StateStore, StorageConfig};

const CHILD: &str = "EVERSTEP_CRASH_TEST_DIRECTORY";
const SHARDS: [u32; 2] = [0, 1];
const ROUNDS: usize = 12;
const LONG: Duration = Duration::from_secs(20);

struct Alone;

impl EffectSink for Alone {
    fn applied(&self, _shard: u32, _is_leader: bool, _effects: Vec<Effect>) {}
    fn leadership(&self, _shard: u32, _term: Option<u64>) {}
}

impl PeerDirectory for Alone {
    fn address(&self, _node: u64) -> Option<String> {
        None
    }
}

pub async fn open(directory: &Path) -> Arc<Groups> {
    let (_, cluster_id) = watch::channel("test".to_owned());
    let raft = RaftConfig {
        heartbeat: Duration::from_millis(20),
        election_min: Duration::from_millis(60),
        election_max: Duration::from_millis(100),
        log_entries_kept: 0,
        ..RaftConfig::default()
    };
    let options = RaftOptions {
        node_id: 1,
        cluster_id,
        data_dir: directory.to_path_buf(),
        raft,
        storage: StorageConfig { disk_reserve_bytes: 0, ..StorageConfig::default() },
    };
    let groups = Groups::open(options, Arc::new(Alone), Arc::new(Alone)).await.expect("the stores open");
    for shard in SHARDS {
        groups.start_shard(shard).await.expect("the group starts");
        groups.initialize(shard, BTreeSet::from([1])).await.expect("the group is initialized");
    }
    groups
}

pub async fn leads(group: &Group) {
    let deadline = Instant::now() + LONG;
    while !group.is_leader() {
        assert!(Instant::now() < deadline, "shard {} has no leader", group.shard());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Proposes to both shards; flushes, and makes snapshots that purge the log, on the way.
async fn work(directory: &Path) {
    let groups = open(directory).await;
    for round in 0..ROUNDS {
        for group in groups.groups() {
            leads(&group).await;
            let name = format!("s{}-r{round}", group.shard());
            let applied = group.propose(proposal(&name)).await.expect("a lone node accepts");
            println!("acked {name} {}", applied.index);
            if round % 3 == 1 {
                group.store().flush().expect("rows can be flushed");
            }
            if round % 4 == 3 {
                group.make_snapshot().await;
                let deadline = Instant::now() + LONG;
                while group.status().purged.is_none_or(|purged| purged < applied.index) {
                    assert!(Instant::now() < deadline, "no snapshot");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }
    println!("done");
}

/// Not a test of its own: the node that dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    if let Some(directory) = std::env::var_os(CHILD) {
        work(Path::new(&directory)).await;
        // A node that was not killed by its failpoint must not tidy up either.
        std::process::exit(0);
    }
}

fn run_child(directory: &Path, test: &str, points: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", &format!("raft::crash_test::{test}"), "--nocapture"])
        .env(CHILD, directory)
        .env("EVERSTEP_FAILPOINTS", points)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("the test binary runs")
}

fn acknowledged(output: &Output) -> Vec<(String, u64)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let acked = text.lines().filter_map(|line| line.split_once("acked ").map(|(_, rest)| rest));
    let parse = |rest: &str| {
        let (name, index) = rest.split_once(' ')?;
        Some((name.to_owned(), index.trim().parse().ok()?))
    };
    acked.filter_map(parse).collect()
}

/// All rows of a shard as one text.
fn rows(group: &Group) -> Vec<u8> {
    let mut all = Vec::new();
    let scanned = group.snapshot().scan(&[], &[0xff; 4], &mut |key, value| {
        all.extend_from_slice(key);
        all.extend_from_slice(value);
        true
    });
    scanned.expect("rows can be read");
    all
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

pub async fn check(directory: &Path, acked: &[(String, u64)], point: &str) {
    let groups = open(directory).await;
    for group in groups.groups() {
        leads(&group).await;
        let read = group.read_index().await.expect("it is its own quorum");
        group.wait_applied(read).await.expect("the group runs");
        let prefix = format!("s{}-", group.shard());
        let rows = rows(&group);
        for (name, index) in acked.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            assert!(*index <= read, "{point}: {name} at {index} is gone, the log ends at {read}");
            assert!(contains(&rows, name), "{point}: {name} at {index} is not in the rows");
        }
        group.propose(proposal(&format!("{prefix}after"))).await.expect("it goes on");
    }
    groups.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_at_any_failpoint() {
    for point in failpoint::NAMES.iter().filter(|point| !point.starts_with("install.")) {
        // Late enough that something was acknowledged, where the point is passed often.
        let hit = match point.split_once('.').expect("names have a dot") {
            ("log", "before_purge" | "after_purge") | ("state", _) => 2,
            ("log", "before_vote" | "after_vote") => 3,
            _ => 15,
        };
        let directory = tempfile::tempdir().expect("a directory");
        let output = run_child(directory.path(), "child", &format!("{point}=abort({hit})"));
        assert!(!output.status.success(), "{point}: it was not killed\n{}", String::from_utf8_lossy(&output.stdout));
        let acked = acknowledged(&output);
        let is_vote = point.ends_with("_vote");
        assert!(is_vote || acked.len() >= 3, "{point}: only {} were acknowledged", acked.len());
        check(directory.path(), &acked, point).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_the_node_without_acknowledging() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run_child(directory.path(), "child", "log.before_sync=eio(15)");
    assert_eq!(output.status.code(), Some(fatal::EXIT_CODE), "{}", String::from_utf8_lossy(&output.stderr));
    let acked = acknowledged(&output);
    assert!(!acked.is_empty());
    check(directory.path(), &acked, "eio").await;
}

fn id(index: u64) -> LogId {
    LogId { term: 1, leader: 1, index }
}

fn store(directory: &Path) -> StateStore {
    StateStore::open(directory, &Resources::new(StorageConfig::default())).expect("the store opens")
}

fn write(store: &StateStore, name: &str, index: u64) {
    store.write([(name.as_bytes().to_vec(), Some(vec![1]))], id(index), None, 1).expect("rows are taken");
}

/// Not a test of its own: flushes while a batch is about to be written, and dies.
#[test]
fn half_a_batch_child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let store = store(&Path::new(&directory).join("a"));
    write(&store, "first", 1);
    std::thread::scope(|scope| {
        // The failpoint makes it wait in the middle.
        let writer = scope.spawn(|| write(&store, "second", 2));
        std::thread::sleep(Duration::from_millis(400));
        assert!(!writer.is_finished(), "it waits at its failpoint");
        store.flush().expect("rows can be flushed");
        std::process::abort();
    });
}

#[test]
fn rows_and_what_is_applied_are_written_as_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run_child(directory.path(), "half_a_batch_child", "apply.before_write=delay(1500)");
    assert!(!output.status.success(), "it was not killed\n{}", String::from_utf8_lossy(&output.stderr));
    let store = store(&directory.path().join("a"));
    let has = |name: &str| store.snapshot().get(name.as_bytes()).expect("rows can be read").is_some();
    assert_eq!(store.progress().applied, Some(id(1)), "the second batch was never written");
    assert!(has("first") && !has("second"));
}

/// Not a test of its own: installs a snapshot and dies on the way.
#[test]
fn install_child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let (source, target) = (store(&Path::new(&directory).join("a")), store(&Path::new(&directory).join("b")));
    write(&source, "new", 9);
    write(&target, "old", 5);
    target.flush().expect("rows can be flushed");
    let cut = source.cut_checkpoint().expect("a checkpoint can be cut");
    let snapshot = source.finish_checkpoint(cut).expect("a checkpoint can be finished");
    target.install(&snapshot).expect("the snapshot is installed");
    std::process::exit(0);
}

#[test]
fn an_installation_is_all_or_nothing() {
    for point in failpoint::NAMES.iter().filter(|point| point.starts_with("install.")) {
        let directory = tempfile::tempdir().expect("a directory");
        let output = run_child(directory.path(), "install_child", &format!("{point}=abort"));
        assert!(!output.status.success(), "{point}: it was not killed");
        let store = store(&directory.path().join("b"));
        let has = |name: &str| store.snapshot().get(name.as_bytes()).expect("rows can be read").is_some();
        let expected = match *point {
            "install.after_marker" => (id(9), false, true),
            _ => (id(5), true, false),
        };
        let found = (store.progress().applied.expect("it has rows"), has("old"), has("new"));
        assert_eq!(found, expected, "{point}");
        assert_eq!(store.progress().durable, store.progress().applied);
        write(&store, "later", 10);
        store.flush().expect("rows can be flushed");
    }
}
