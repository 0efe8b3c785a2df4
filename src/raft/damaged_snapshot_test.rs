//! A leader whose disk changed its snapshot: it could bring nobody over, so it must make room for another.
//!
//! The nodes are this test binary run again with `CHILD` set, because the leader ends its process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::test_kit::{Cluster, Node, LONG, SHARD};
use super::{PeerDirectory, RaftConfig};
use crate::storage::fatal;

/// Where the nodes have their data.
const CHILD: &str = "EVERSTEP_DAMAGED_SNAPSHOT_TEST_DIRECTORY";

fn config() -> RaftConfig {
    RaftConfig { log_entries_kept: 0, ..RaftConfig::default() }
}

fn table(snapshot: &Path) -> PathBuf {
    let files = fs_err::read_dir(snapshot).expect("the snapshot").map(|entry| entry.expect("a file").path());
    let mut tables = files.filter(|path| path.extension().is_some_and(|kind| kind == "sst"));
    tables.next().expect("a table")
}

/// Not a test of its own: node 1 leads alone, its snapshot is damaged, and node 2 needs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let logged = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::ERROR);
    logged.try_init().expect("nothing logs yet");
    let mut cluster = Cluster::with_room(1, 2, config()).await;
    let last = cluster.propose("first").await;
    let group = cluster.nodes[&1].group.clone();
    group.make_snapshot().await;
    let deadline = Instant::now() + LONG;
    while group.status().purged.is_none_or(|purged| purged < last) {
        assert!(Instant::now() < deadline, "no snapshot");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let path = table(group.store().checkpoint().expect("a snapshot").directory());
    let mut bytes = fs_err::read(&path).expect("a table");
    bytes[40] ^= 1;
    // A file of its own: the rows in use have the same table under another name.
    fs_err::remove_file(&path).and_then(|()| fs_err::write(&path, bytes)).expect("a damaged table");
    println!("node 1 in {}", cluster.data.path().display());

    cluster.restart(2).await;
    group.add_learner(2).await.ok();
    tokio::time::sleep(LONG).await;
    println!("node 1 still leads");
}

struct Nobody;

impl PeerDirectory for Nobody {
    fn address(&self, _node: u64) -> Option<String> {
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_damaged_snapshot_ends_itself_for_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "raft::damaged_snapshot_test::child", "--nocapture"])
        .env(CHILD, directory.path())
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .output()
        .expect("the test binary runs");
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(fatal::EXIT_CODE), "{told}{said}");
    assert_eq!(said.matches("storage failed; this node stops without acknowledging").count(), 1, "{said}");
    let why = format!("does not have its hash in that of shard {SHARD}; this node must be replaced");
    assert!(said.contains(&why), "{said}");

    let data = told.lines().find_map(|line| line.split_once("node 1 in ")).expect("it said where").1;
    let left = fs_err::read_dir(Path::new(data).join(format!("2/state/{SHARD}"))).expect("node 2 was started");
    let left = left.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    assert!(left.filter(|name| name.starts_with("tmp-")).count() <= 1, "what came of each try is removed");
    let opened = Node::try_open(1, Path::new(data), Arc::new(Nobody), config(), 0).await;
    let refused = format!("{:#}", anyhow::Error::from(opened.map(|_| ()).expect_err("it is refused")));
    assert!(refused.contains(&why), "{refused}");
}
