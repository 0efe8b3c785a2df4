//! A disk that is full, fails or is damaged, on one node of four: the others go on, and it is replaced under load.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everstep::chaos::{verify, Journal, Load, Worker};

use super::dev::{self, Cluster};
use super::process::{everstep, Process};
use super::LANES;

/// Of the small file system: less than this and the reserve of 64 MiB is not there.
const DISK: &str = "size=400m";
const FENCED: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);
/// What a node says once, before it ends itself.
const LAST_WORDS: &str = "storage failed; this node stops without acknowledging";

/// A file system in memory with little room, for as long as it lives.
struct SmallDisk<'d>(&'d Path);

impl<'d> SmallDisk<'d> {
    /// `None` where mounting is not allowed: then there is no disk to fill.
    fn mount(at: &'d Path) -> Option<Self> {
        fs_err::create_dir_all(at).expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "everstep-test"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    /// Leaves so much room.
    fn fill(&self, room: u64) {
        let free = rustix::fs::statvfs(self.0).map(|stat| stat.f_bavail * stat.f_frsize).expect("it is mounted");
        let file = fs_err::File::create(self.0.join("filler")).expect("there is room for a name");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free.saturating_sub(room)).expect("room");
    }

    fn empty(&self) {
        fs_err::remove_file(self.0.join("filler")).expect("it was filled");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: a node may still be ending.
        let _left_behind = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

async fn until(
    what: &str,
    cluster: &Cluster,
    wanted: impl Fn(&proto::everstep::admin::v1::ClusterStatusResponse) -> bool,
) {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = cluster.status().await;
        if status.as_ref().is_some_and(&wanted) {
            return;
        }
        assert!(Instant::now() < end, "{what}: {status:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A full disk: leaderships go, the others work on, and with room it catches up.
async fn full(cluster: &Cluster, disk: &SmallDisk<'_>, node: &Process) {
    let status = cluster.status().await.expect("a node answers");
    let voted = status.shards.iter().find(|shard| shard.shard > 0 && shard.voters.contains(&node.id));
    let shard = voted.expect("it has its share of the votes").shard.to_string();
    everstep(&["transfer", &shard, &node.id.to_string()], cluster);
    disk.fill(20 << 20);
    until("the full node leads nothing", cluster, |status| {
        let full = status.nodes.iter().any(|seen| seen.node_id == node.id && seen.disk_full);
        full && status.shards.iter().all(|shard| shard.leader != 0 && shard.leader != node.id)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    disk.empty();
    everstep(&["transfer", &shard, "any"], cluster);
    until("with room it catches up", cluster, |status| {
        let full = status.nodes.iter().any(|seen| seen.node_id == node.id && seen.disk_full);
        let late = |replica: &proto::everstep::admin::v1::ShardReplica| replica.node_id == node.id && replica.lag > 50;
        !full && !status.shards.iter().any(|shard| shard.replicas.iter().any(late))
    })
    .await;
}

/// No byte left: the node works on or ends itself, and comes back with all it had once there is room.
async fn truly_full(cluster: &Cluster, disk: &SmallDisk<'_>, node: &mut Process) {
    disk.fill(0);
    tokio::time::sleep(Duration::from_secs(4)).await;
    disk.empty();
    if node.ended() {
        node.restart(&[]);
    }
    until("it is there again", cluster, |status| {
        let up = status.nodes.iter().any(|seen| seen.node_id == node.id && seen.up && !seen.disk_full);
        let late = |replica: &proto::everstep::admin::v1::ShardReplica| replica.node_id == node.id && replica.lag > 50;
        up && !status.shards.iter().any(|shard| shard.replicas.iter().any(late))
    })
    .await;
}

/// fsync fails: the node ends itself at once, with one line.
async fn failing_disk(node: &mut Process) {
    node.kill();
    node.restart(&[("EVERSTEP_FAILPOINTS", "log.before_sync=eio(200)")]);
    let code = node.wait(PATIENCE).await.expect("two hundred fsyncs do not take long under load");
    assert_eq!(code, Some(70), "{}", node.log());
    assert_eq!(node.log().matches(LAST_WORDS).count(), 1, "{}", node.log());
}

/// Damaged files: the node does not come up, and says so in one line.
async fn damaged(node: &mut Process) {
    let mut damaged = 0;
    for folder in ["log", "state/1", "state/2", "state/3"] {
        damaged += damage(&node.data().join(folder));
    }
    assert!(damaged > 0, "no file to damage");
    let begun = Instant::now();
    node.restart(&[]);
    let code = node.wait(FENCED).await;
    assert!(code.is_some_and(|code| code != Some(0)), "it runs with damaged files: {}", node.log());
    println!("{damaged} damaged files: ended after {:?}: {}", begun.elapsed(), node.log().lines().last().unwrap_or(""));
}

/// Overwrites the middle of every table and log file below the folder.
fn damage(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            count += damage(&path);
        } else if path.extension().is_some_and(|extension| extension == "sst" || extension == "log") {
            let mut bytes = fs_err::read(&path).expect("readable");
            let (from, to) = (bytes.len() / 8, bytes.len() * 3 / 4);
            bytes[from..to].iter_mut().for_each(|byte| *byte ^= 0x5a);
            fs_err::write(&path, bytes).expect("writable");
            count += usize::from(to > from);
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_fails_is_out_of_the_way_and_can_be_replaced() {
    let cluster = Cluster::start().await;
    let (site, journal) = (cluster.site(), Arc::new(Journal::default()));
    let worker = Worker::start(&site, &journal).expect("an address");
    let load = Load::start(&site, LANES, &journal).expect("an address");

    let small = cluster.directory().join("node-4-data");
    let disk = SmallDisk::mount(&small);
    let mut fourth = Process::join(&cluster, 4);
    everstep(&["join", "4", "--timeout", "60"], &cluster);
    match &disk {
        Some(disk) => {
            full(&cluster, disk, &fourth).await;
            truly_full(&cluster, disk, &mut fourth).await;
        }
        None => println!("no right to mount: the full disk is left out"),
    }
    failing_disk(&mut fourth).await;
    damaged(&mut fourth).await;
    let fifth = Process::join(&cluster, 5);
    everstep(&["join", "5", "--timeout", "60"], &cluster);
    everstep(&["replace", "4", "5", "--timeout", "60"], &cluster);

    let records = load.stop().await;
    let mut nodes = cluster.nodes();
    nodes.insert(5, fifth.api.to_string());
    let faults = verify(&records, &site, &nodes).await.expect("histories can be read");
    worker.stop();
    assert!(records.len() > 5, "too little happened to show anything");
    assert!(faults.is_empty(), "{} faults:\n{}\n{}", faults.len(), dev::lines(&faults), cluster.last_log_lines());
}

/// Its log takes nothing any more, so it cannot learn from it that it is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_whose_disk_is_full_stops() {
    let cluster = Cluster::start().await;
    let small = cluster.directory().join("node-4-data");
    let Some(disk) = SmallDisk::mount(&small) else {
        return println!("no right to mount: the full disk is left out");
    };
    let mut fourth = Process::join(&cluster, 4);
    everstep(&["join", "4", "--timeout", "60"], &cluster);
    disk.fill(20 << 20);
    until("its disk is full", &cluster, |status| status.nodes.iter().any(|seen| seen.node_id == 4 && seen.disk_full))
        .await;
    everstep(&["remove", "4", "--timeout", "60"], &cluster);
    assert!(fourth.wait(PATIENCE).await.is_some(), "it still runs: {}", fourth.log());
    assert!(fourth.log().contains("node 4 was removed from the cluster"), "{}", fourth.log());
}
