//! A node whose journal lost its end, as if its disk had taken it or an older copy had been put back: it must not take part
//! any more, for its vote counts as if it had everything it acknowledged.
//!
//! The node that is fenced is this test binary run again with `CHILD` set, because it ends its process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::test_kit::{Cluster, Node, LONG, SHARD};
use super::{PeerDirectory, RaftConfig};
use crate::storage::fatal;

const CHILD: &str = "EVERSTEP_LOST_LOG_TEST_DIRECTORY";
/// `id=address` of the other nodes.
const OTHERS: &str = "EVERSTEP_LOST_LOG_TEST_OTHERS";
const THIRD: u64 = 3;

/// Takes a quarter of the newest journal away, at its end.
fn cut_journal(data: &Path) {
    let journals = fs_err::read_dir(data.join("log")).expect("the log's directory").map(|entry| entry.expect("a file"));
    let journals = journals.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let journal = journals.max_by_key(|path| fs_err::metadata(path).expect("a file").len()).expect("a journal");
    let file = fs_err::File::options().write(true).open(journal).expect("the node is down");
    let length = file.metadata().expect("a file").len();
    assert!(length > 1000, "nothing to cut");
    file.set_len(length - length / 4).expect("cut");
}

fn note(data: &Path) -> PathBuf {
    data.join("state").join(SHARD.to_string()).join("LOGGED")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_ends_before_its_note_does_not_start() {
    let mut cluster = Cluster::start(1, RaftConfig::default()).await;
    let data = cluster.data.path().join("1");
    // Twice, because what was noted must not keep a whole log from being opened.
    for round in ["first", "second"] {
        let mut last = 0;
        for number in 0..20 {
            last = cluster.propose(&format!("{round}-{number}")).await;
        }
        cluster.stop(1).await;
        let noted = fs_err::read_to_string(note(&data)).expect("noted at the end");
        assert!(noted.ends_with(&format!("0{last}\n")), "{last}: {noted}");
        if round == "first" {
            cluster.restart(1).await;
        }
    }

    cut_journal(&data);
    let others = Arc::new(Others(BTreeMap::new()));
    let opened = Node::try_open(1, cluster.data.path(), others, RaftConfig::default(), 0).await;
    // As the program prints it.
    let why = format!("{:#}", anyhow::Error::from(opened.map(|_| ()).expect_err("it is refused")));
    assert_eq!(why.matches("it lost what it acknowledged, and this node must be replaced").count(), 1, "{why}");
}

/// Where a node in a process of its own finds the others.
struct Others(BTreeMap<u64, String>);

impl PeerDirectory for Others {
    fn address(&self, node: u64) -> Option<String> {
        self.0.get(&node).cloned()
    }
}

/// Not a test of its own: the third node. Prints where it listens, and runs until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Some(data), Ok(others)) = (std::env::var_os(CHILD), std::env::var(OTHERS)) else { return };
    let logged = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::ERROR);
    logged.try_init().expect("nothing logs yet");
    let other = |text: &str| {
        let (id, address) = text.split_once('=').expect("id=address");
        (id.parse().expect("an id"), address.to_owned())
    };
    let others = Arc::new(Others(others.split(',').map(other).collect()));
    match Node::try_open(THIRD, Path::new(&data), others, RaftConfig::default(), 0).await {
        Ok((_node, address)) => {
            println!("listens at {address}");
            std::future::pending::<()>().await;
        }
        Err(error) => {
            eprintln!("refused: {:#}", anyhow::Error::from(error));
            std::process::exit(1);
        }
    }
}

struct Third {
    process: Child,
    errors: PathBuf,
}

impl Third {
    /// Starts it; it may end before it listens.
    fn start(cluster: &Cluster) -> Self {
        let errors = cluster.data.path().join("third.log");
        let others = [1, 2].map(|id| format!("{id}={}", cluster.ways.address(THIRD, id)));
        let mut process = Command::new(std::env::current_exe().expect("this test binary"))
            .args(["--exact", "raft::lost_log_test::child", "--nocapture"])
            .env(CHILD, cluster.data.path())
            .env(OTHERS, others.join(","))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs_err::File::create(&errors).expect("a log file").into_parts().0)
            .spawn()
            .expect("the test binary runs");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let listens = |line: String| Some(line.split_once("listens at ")?.1.to_owned());
        if let Some(address) = { lines }.find_map(listens) {
            cluster.ways.lead_to(THIRD, &address);
        }
        Self { process, errors }
    }

    fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was ours");
    }

    /// How it ended by itself, and what it said.
    async fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                let mut said = String::new();
                fs_err::File::open(&self.errors).expect("its log").read_to_string(&mut said).expect("text");
                return (status.code(), said);
            }
            assert!(Instant::now() < deadline, "it runs on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn third_has(cluster: &Cluster, leader: u64, index: u64) {
    let deadline = Instant::now() + LONG;
    loop {
        let followers = cluster.nodes[&leader].group.status().followers;
        if followers.iter().any(|follower| follower.node == THIRD && follower.matching >= Some(index)) {
            return;
        }
        assert!(Instant::now() < deadline, "it does not catch up: {followers:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lost_what_it_acknowledged_is_fenced_by_its_leader() {
    let mut cluster = Cluster::with_room(2, THIRD, RaftConfig::default()).await;
    cluster.propose("first").await;
    let leader = cluster.leader().await;
    let third = Third::start(&cluster);
    let group = &cluster.nodes[&leader].group;
    group.add_learner(THIRD).await.expect("two of two agree");
    third_has(&cluster, leader, 0).await;
    group.change_voters(BTreeSet::from([1, 2, THIRD])).await.expect("two of two agree");
    let mut last = 0;
    for number in 0..30 {
        last = cluster.propose(&format!("name-{number}")).await;
    }
    third_has(&cluster, leader, last).await;
    let term = group.status().term;

    third.kill();
    let data = cluster.data.path().join(THIRD.to_string());
    cut_journal(&data);
    // As if it had died before the first note, which would have told it by itself.
    if note(&data).exists() {
        fs_err::remove_file(note(&data)).expect("removed");
    }
    let (code, said) = Third::start(&cluster).end().await;
    assert_eq!(code, Some(fatal::EXIT_CODE), "{said}");
    assert_eq!(said.matches("storage failed; this node stops without acknowledging").count(), 1, "{said}");
    assert!(said.contains("which it had acknowledged to node"), "{said}");

    let (code, said) = Third::start(&cluster).end().await;
    assert_eq!(code, Some(1), "it would vote again: {said}");
    assert!(said.contains("this node must be replaced"), "{said}");

    let last = cluster.propose("after").await;
    cluster.all_equal_at(last).await;
    let status = cluster.nodes[&leader].group.status();
    assert_eq!((status.is_leader, status.term, status.stopped), (true, term, None));
    for node in [1, 2] {
        cluster.stop(node).await;
    }
}
