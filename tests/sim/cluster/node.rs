//! What runs on a node: the server's Raft groups as they are, their peer server on the simulated network, and a door for
//! clients.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use statemachine::Effect;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Server};
use turmoil::net::TcpListener;

use crate::front::Front;
use crate::net::{self, Accepted, PEER_PORT};
use crate::raft::{EffectSink, Groups, PeerDirectory, RaftOptions};
use crate::record::{self, Command};
use crate::settings::{node_name, Settings};

/// How often a node looks for what it is told from above, and its clock goes wrong.
const TURN: Duration = Duration::from_millis(20);

struct Sink {
    node: u64,
}

impl EffectSink for Sink {
    fn applied(&self, _shard: u32, _is_leader: bool, _effects: Vec<Effect>) {}

    fn leadership(&self, shard: u32, term: Option<u64>) {
        record::with(|record| record.leads(self.node, shard, term));
    }
}

struct Directory;

impl PeerDirectory for Directory {
    fn address(&self, node: u64) -> Option<String> {
        Some(format!("{}:{PEER_PORT}", node_name(node)))
    }

    fn connect(&self, endpoint: Endpoint) -> Channel {
        net::channel(&endpoint)
    }
}

/// Runs until the node crashes.
pub async fn run(node: u64, settings: Arc<Settings>) -> turmoil::Result {
    let (_cluster, cluster_id) = watch::channel("sim".to_owned());
    let options = RaftOptions {
        node_id: node,
        cluster_id,
        data_dir: PathBuf::from(format!("/{node}")),
        raft: settings.raft.clone(),
        storage: settings.storage.clone(),
    };
    let groups = Groups::open(options, Arc::new(Sink { node }), Arc::new(Directory)).await?;
    for shard in 0..settings.shards {
        groups.start_shard(shard).await?;
    }
    record::with(|record| record.running.insert(node, Arc::downgrade(&groups)));
    tokio::spawn(serve_peers(groups.clone()));
    tokio::spawn(obey(node, groups.clone(), settings.clone()));
    if node == 1 && !record::with(|record| record.bootstrapped) {
        for shard in 0..settings.shards {
            groups.initialize(shard, (1..=settings.nodes).collect::<BTreeSet<u64>>()).await?;
        }
        record::with(|record| record.bootstrapped = true);
    }
    let skew = settings.skew[node as usize - 1];
    Front::new(node, groups, skew).serve().await?;
    Ok(())
}

/// As `node::serve_peers` of the server does.
async fn serve_peers(groups: Arc<Groups>) {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PEER_PORT)).await {
        Ok(listener) => listener,
        Err(error) => return record::violated("no_fault", format!("the peer server cannot listen: {error}")),
    };
    let incoming = futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| Accepted(stream));
        Some((accepted, listener))
    });
    let server = Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(groups.tonic_service());
    if let Err(error) = server.serve_with_incoming(incoming).await {
        record::violated("no_fault", format!("the peer server ended: {error}"));
    }
}

/// Lets the clock of the node go its own way, and does what it is told.
async fn obey(node: u64, groups: Arc<Groups>, settings: Arc<Settings>) {
    let drift = TURN * settings.drift[node as usize - 1] as u32 / 1000;
    loop {
        tokio::time::sleep(TURN).await;
        let commands = record::with(|record| record.commands.remove(&node)).unwrap_or_default();
        let mut leap = drift;
        for command in commands {
            match command {
                Command::Leap(by) => leap += by,
                Command::Transfer { shard, to } => {
                    let Some(group) = groups.group(shard) else { continue };
                    // It may refuse or fail: that is for the invariants to judge.
                    tokio::spawn(async move { group.transfer_leader(to).await.ok() });
                }
            }
        }
        if leap > Duration::ZERO {
            tokio::time::advance(leap).await;
        }
    }
}
