//! Where work is done that waits for a disk, so that no thread of the runtime does. The simulation of clusters has another
//! one (tests/sim/cluster/storage/work.rs): nothing above may start threads by itself.

use std::io;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Does a piece of work on one of the runtime's threads for such.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Starts a thread that does one job after the other; it ends when nobody can send any more.
pub fn thread<J: Send + 'static>(
    name: String,
    mut jobs: mpsc::Receiver<J>,
    mut work: impl FnMut(J) + Send + 'static,
) -> io::Result<()> {
    let body = move || {
        while let Some(job) = jobs.blocking_recv() {
            work(job);
        }
    };
    std::thread::Builder::new().name(name).spawn(body).map(|_| ())
}
