//! Real processes: three nodes of `everstep dev` on this machine, killed while clients start and signal workflows.
//!
//! ```text
//!   load (clients) ──► start, signal 1..n, "done" ─┐
//!   worker (raw gRPC) ◄── tasks                    ├─► everstep dev --nodes 3 ◄── kill -9 of a leader every 10 s
//!   verify ──► every node's own API ◄── histories ─┘
//! ```
//! What must hold: nothing acknowledged is missing, nothing is doubled, histories are contiguous and the same from every
//! node, every workflow completes. `EVERSTEP_CHAOS_SECONDS` sets how long to go on (default 30; before a release 300).

mod callbacks;
mod dev;
mod faults;
mod in_process;
mod late;
mod members;
mod process;
mod replace;
mod sweeps;

use std::sync::Arc;
use std::time::{Duration, Instant};

use everstep::chaos::{verify, Journal, Load, Worker};

/// Clients that work at the same time.
const LANES: usize = 6;
const KILL_EVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_leaders_lose_and_double_nothing() {
    let seconds = std::env::var("EVERSTEP_CHAOS_SECONDS").map_or(30, |text| text.parse().expect("a number of seconds"));
    let mut cluster = dev::Cluster::start().await;
    let (site, journal) = (cluster.site(), Arc::new(Journal::default()));
    let worker = Worker::start(&site, &journal).expect("an address");
    let load = Load::start(&site, LANES, &journal).expect("an address");

    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        tokio::time::sleep(KILL_EVERY).await;
        cluster.await_all_up().await;
        cluster.kill_busiest().await;
    }

    let records = load.stop().await;
    cluster.await_all_up().await;
    let faults = verify(&records, &site, &cluster.nodes()).await.expect("histories can be read");
    worker.stop();
    let signals: usize = records.iter().map(|record| record.signals.len()).sum();
    println!("{} workflows, {signals} signals acknowledged, {} kills", records.len(), cluster.kills());
    assert!(records.len() > 5 && cluster.kills() > 0, "too little happened to show anything");
    assert!(faults.is_empty(), "{} faults:\n{}\n{}", faults.len(), dev::lines(&faults), cluster.last_log_lines());
}
