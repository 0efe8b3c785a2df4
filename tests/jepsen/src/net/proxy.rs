//! A TCP proxy for one ordered pair of nodes: whoever connects is `from`, and is passed on to `to`.
//!
//! Bytes that must not pass are held, as TCP would hold and retransmit them: never dropped out of a stream. A new
//! connection needs both directions, as a handshake does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::links::{Links, Pair, Trouble, Troubles};

/// Chunks under way in one direction of one connection; a sender waits when there are more.
const CHUNKS_MAX: usize = 256;
const CHUNK_BYTES: usize = 16 << 10;
/// What a lost packet costs: Linux retransmits after 200 ms at the least.
const RETRANSMIT: Duration = Duration::from_millis(200);

pub struct Proxy {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on the port and passes connections of `pair.0` on to `target`, which is `pair.1`.
    pub async fn start(
        listener: TcpListener,
        pair: Pair,
        target: SocketAddr,
        links: Arc<Links>,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, pair, target, links));
        Ok(Self { address, task })
    }
}

async fn accept(listener: TcpListener, pair: Pair, target: SocketAddr, links: Arc<Links>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, pair, target, links.watch()));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(from: TcpStream, pair: Pair, target: SocketAddr, mut troubles: watch::Receiver<Troubles>) {
    let back = (pair.1, pair.0);
    let open = |troubles: &Troubles| !is_cut(troubles, pair) && !is_cut(troubles, back);
    if troubles.wait_for(open).await.is_err() {
        return;
    }
    // A dead target closes the connection, which is all that the caller would see of a refused one.
    let Ok(to) = TcpStream::connect(target).await else { return };
    let _best_effort = (from.set_nodelay(true), to.set_nodelay(true));
    let (from_read, from_write) = from.into_split();
    let (to_read, to_write) = to.into_split();
    tokio::select! {
        () = pump(from_read, to_write, pair, troubles.clone()) => {}
        () = pump(to_read, from_write, back, troubles) => {}
    }
}

fn is_cut(troubles: &Troubles, pair: Pair) -> bool {
    troubles.get(&pair) == Some(&Trouble::Cut)
}

/// One direction of a connection, until either side ends it.
async fn pump(mut read: OwnedReadHalf, write: OwnedWriteHalf, pair: Pair, troubles: watch::Receiver<Troubles>) {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let watched = troubles.clone();
    let reading = async move {
        let mut due = Instant::now();
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        while matches!(read.read_buf(&mut buffer).await, Ok(1..)) {
            due = due.max(Instant::now() + lateness(watched.borrow().get(&pair)));
            if sender.send((due, buffer.split().freeze())).await.is_err() {
                return;
            }
            buffer.reserve(CHUNK_BYTES);
        }
    };
    let writing = deliver(write, receiver, pair, troubles);
    // What was read before the end is still delivered.
    tokio::join!(reading, writing);
}

fn lateness(trouble: Option<&Trouble>) -> Duration {
    match trouble {
        None | Some(Trouble::Cut) => Duration::ZERO,
        Some(Trouble::Slow { millis, jitter }) => Duration::from_millis(millis + rand::rng().random_range(0..=*jitter)),
        Some(Trouble::Lossy { percent }) => {
            let mut lost = 0;
            while lost < 4 && rand::rng().random_range(0..100) < *percent {
                lost += 1;
            }
            // Each further loss of the same packet doubles the wait.
            RETRANSMIT * ((1 << lost) - 1)
        }
    }
}

async fn deliver(
    mut write: OwnedWriteHalf,
    mut chunks: mpsc::Receiver<(Instant, Bytes)>,
    pair: Pair,
    mut troubles: watch::Receiver<Troubles>,
) {
    while let Some((due, chunk)) = chunks.recv().await {
        tokio::time::sleep_until(due).await;
        if troubles.wait_for(|troubles| !is_cut(troubles, pair)).await.is_err()
            || write.write_all(&chunk).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo server behind a proxy from node 1 to node 2.
    async fn echo() -> (Proxy, Arc<Links>) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let links = Arc::new(Links::healthy());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Proxy::start(listener, (1, 2), target, links.clone()).await.unwrap(), links)
    }

    async fn round_trip(stream: &mut TcpStream) -> Option<Duration> {
        let began = Instant::now();
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        let read = tokio::time::timeout(Duration::from_millis(400), stream.read_exact(&mut answer)).await;
        read.ok().map(|_| began.elapsed())
    }

    #[tokio::test]
    async fn either_direction_can_be_cut_and_what_was_held_comes_after_the_heal() {
        let (proxy, links) = echo().await;
        for pair in [(1, 2), (2, 1)] {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            assert!(round_trip(&mut stream).await.is_some());
            links.set(&[(pair, Trouble::Cut)]);
            assert_eq!(round_trip(&mut stream).await, None);
            links.heal(&[pair]);
            let mut held = [0; 5];
            stream.read_exact(&mut held).await.unwrap();
            assert_eq!(&held, b"hello");
        }
    }

    #[tokio::test]
    async fn another_pair_is_not_touched_and_slow_is_slow() {
        let (proxy, links) = echo().await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        links.set(&[((1, 3), Trouble::Cut), ((1, 2), Trouble::Slow { millis: 60, jitter: 10 })]);
        let took = round_trip(&mut stream).await.unwrap();
        assert!(took >= Duration::from_millis(60), "{took:?}");
    }

    #[tokio::test]
    async fn a_new_connection_needs_both_ways() {
        let (proxy, links) = echo().await;
        links.set(&[((2, 1), Trouble::Cut)]);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(round_trip(&mut stream).await, None);
        links.heal(&[(2, 1)]);
        assert!(round_trip(&mut stream).await.is_some());
    }
}
