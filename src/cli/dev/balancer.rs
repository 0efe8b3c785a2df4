//! Passes TCP connections on to living nodes, round robin. A connection to a node that dies is closed on both sides at
//! once: the client connects again and gets another node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{copy, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fleet::{Door, Fleet};

const CONNECTIONS_MAX: usize = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a client waits while no node is alive.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

pub(super) async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
}

/// Accepts until `stop`. At the limit of connections, new ones wait in the system's queue.
pub(super) async fn run(listener: TcpListener, door: Door, fleet: Arc<Fleet>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((client, _)) => {
                let (fleet, stop) = (Arc::clone(&fleet), stop.clone());
                tokio::spawn(async move {
                    stop.run_until_cancelled(pass_on(client, door, &fleet)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        }
    }
}

async fn pass_on(client: TcpStream, door: Door, fleet: &Fleet) {
    let Some((backend, alive)) = connect(door, fleet).await else { return };
    alive.run_until_cancelled(exchange(client, backend)).await;
}

async fn connect(door: Door, fleet: &Fleet) -> Option<(TcpStream, CancellationToken)> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for (address, alive) in fleet.candidates(door) {
            let attempt = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            if let Ok(Ok(backend)) = attempt {
                return Some((backend, alive));
            }
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    None
}

/// Ends when the node closes. A client that only stops sending still gets its answer.
async fn exchange(mut client: TcpStream, mut backend: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = backend.set_nodelay(true);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_backend, mut to_backend) = backend.split();
    let upwards = async {
        if copy(&mut from_client, &mut to_backend).await.is_ok() && to_backend.shutdown().await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = upwards => {}
        _ = copy(&mut from_backend, &mut to_client) => {
            let _ = to_client.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::cli::dev::layout::Layout;
    use crate::cli::dev::{FrontPorts, Plan};
    use crate::config::Config;

    fn fleet() -> Arc<Fleet> {
        let ip = Ipv4Addr::LOCALHOST.into();
        let ports = FrontPorts { ip, web_ip: ip, api: 1, web: None, http: None, admin: None, metrics: None };
        let config = Config::default();
        let plan = Plan { nodes: 2, directory: None, ports, config, restart: true, warnings: Vec::new() };
        Arc::new(Fleet::new(Layout::prepare(&plan).expect("prepared")))
    }

    async fn backend(fleet: &Fleet, index: usize) -> TcpListener {
        let node = &fleet.layout().state.nodes[index];
        TcpListener::bind(node.api).await.expect("the node's port is free")
    }

    #[tokio::test]
    async fn the_next_node_takes_over_and_connections_die_with_theirs() {
        let fleet = fleet();
        let stop = CancellationToken::new();
        let front = listen("test", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a free port");
        let address = front.local_addr().expect("bound");
        tokio::spawn(run(front, Door::Api, Arc::clone(&fleet), stop.clone()));
        // Node 1 is said to live but refuses; node 2 answers.
        let second = backend(&fleet, 1).await;
        fleet.started(1, None, 0);
        let life = fleet.started(2, None, 0);
        fleet.serving(2, &life);

        for _ in 0..2 {
            let mut client = TcpStream::connect(address).await.expect("connected");
            client.write_all(b"ping").await.expect("sent");
            let (mut served, _) = second.accept().await.expect("passed on");
            let mut bytes = [0; 4];
            served.read_exact(&mut bytes).await.expect("received");
            served.write_all(b"pong").await.expect("answered");
            client.read_exact(&mut bytes).await.expect("received");
            assert_eq!(&bytes, b"pong");
            if fleet.candidates(Door::Api).len() == 2 {
                fleet.ended(1, 0);
                continue;
            }
            fleet.ended(2, 0);
            assert_eq!(client.read(&mut bytes).await.unwrap_or(0), 0, "closed when the node died");
        }
        assert!(fleet.candidates(Door::Api).is_empty());
        stop.cancel();
    }
}
