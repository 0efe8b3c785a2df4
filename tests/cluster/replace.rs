//! Real processes: a node joins and dies on the way, together with a leader, and in the end takes the place of a dead one,
//! while clients start and signal workflows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everstep::chaos::{verify, Journal, Load, Worker};

use super::dev::{self, Cluster};
use super::process::{everstep, Process};
use super::LANES;

const NEW: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

async fn until_admitted(cluster: &Cluster) {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = cluster.status().await;
        if status.is_some_and(|status| status.nodes.iter().any(|node| node.node_id == NEW)) {
            return;
        }
        assert!(Instant::now() < end, "node {NEW} is not admitted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_replaced_under_load() {
    let mut cluster = Cluster::start().await;
    let (site, journal) = (cluster.site(), Arc::new(Journal::default()));
    let worker = Worker::start(&site, &journal).expect("an address");
    let load = Load::start(&site, LANES, &journal).expect("an address");

    let mut new = Process::join(&cluster, NEW);
    until_admitted(&cluster).await;
    new.kill();
    cluster.kill_busiest().await;
    new.restart(&[]);
    everstep(&["join", "4", "--timeout", "60"], &cluster);

    cluster.kill_for_ever(3);
    let text = everstep(&["replace", "3", "4", "--timeout", "60"], &cluster);
    assert!(text.contains("node 3 is removed"), "{text}");

    tokio::time::sleep(Duration::from_secs(3)).await;
    let records = load.stop().await;
    let mut nodes = cluster.nodes();
    nodes.remove(&3);
    nodes.insert(NEW, new.api.to_string());
    let faults = verify(&records, &site, &nodes).await.expect("histories can be read");
    worker.stop();
    assert!(records.len() > 5, "too little happened to show anything");
    assert!(faults.is_empty(), "{} faults:\n{}\n{}", faults.len(), dev::lines(&faults), cluster.last_log_lines());
}
