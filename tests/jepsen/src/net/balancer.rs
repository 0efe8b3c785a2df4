//! What stands before many clusters: one address, and each connection goes to a node that takes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// A node that does not take a connection within this is passed over.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whom to try for the next connection, the best first.
pub type Targets = Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>;

pub struct Balancer {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Balancer {
    pub async fn start(targets: Targets) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener, targets)) })
    }
}

async fn accept(listener: TcpListener, targets: Targets) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, targets()));
                }
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A client whom nobody takes sees its connection end.
async fn connection(mut from: TcpStream, targets: Vec<SocketAddr>) {
    for target in targets {
        if let Ok(Ok(mut to)) = timeout(PATIENCE, TcpStream::connect(target)).await {
            from.set_nodelay(true).ok();
            to.set_nodelay(true).ok();
            copy_bidirectional(&mut from, &mut to).await.ok();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_connection_goes_to_the_first_that_takes_it() {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = listener.local_addr().expect("an address");
        let balancer = Balancer::start(Arc::new(move || vec![gone, there])).await.expect("starts");
        let mut client = TcpStream::connect(balancer.address).await.expect("connects");
        client.write_all(b"hello").await.expect("is written");
        let (mut server, _) = listener.accept().await.expect("comes");
        let mut read = [0; 5];
        server.read_exact(&mut read).await.expect("arrives");
        assert_eq!(&read, b"hello");
    }
}
