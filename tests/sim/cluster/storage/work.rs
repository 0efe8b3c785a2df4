//! Work that waits for a disk: it takes a while, on no thread of its own.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::record;

/// Mostly nothing to speak of, now and then long.
fn a_while() -> Duration {
    record::with(|record| match record.random.below(200) {
        0 => Duration::from_millis(record.random.below(150)),
        1..20 => Duration::from_millis(record.random.below(8)),
        _ => Duration::ZERO,
    })
}

async fn take_a_while() {
    let time = a_while();
    if time > Duration::ZERO {
        tokio::time::sleep(time).await;
    }
}

pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(async move {
        take_a_while().await;
        work()
    })
}

pub fn thread<J: Send + 'static>(
    _name: String,
    mut jobs: mpsc::Receiver<J>,
    mut work: impl FnMut(J) + Send + 'static,
) -> io::Result<()> {
    tokio::spawn(async move {
        while let Some(job) = jobs.recv().await {
            take_a_while().await;
            work(job);
        }
    });
    Ok(())
}
