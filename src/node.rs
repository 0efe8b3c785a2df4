//! One node: builds every part, connects them, and takes them down again. The only file that knows all parts.
//!
//! Up: listeners, stores, groups, router, matching, effects, the peer server, bootstrap, then the API serves. Down, the
//! other way round: not serving, leaderships handed over, long polls ended, API, groups.

mod pages;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, Context};
use proto::everstep::admin::v1::admin_server::AdminServer;
use proto::everstep::peer::v1::cluster_server::ClusterServer;
use proto::everstep::peer::v1::matching_server::MatchingServer;
use proto::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use statemachine::state;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;

use crate::api::{self, ApiParts};
use crate::cluster::tasks::Tasks;
use crate::cluster::{
    balance, bootstrap, drain, keep_members, AdminService, Bootstrap, ChangeFeed, ClusterService, Namespaces,
    NodeFacts, Peers, Router, RouterOptions,
};
use crate::config::Config;
use crate::effects::{
    tell_backlogs, CallbackCaller, Hands, Hub, ParkedPollers, QueryRegistry, QueueHomes, ReadyTasks, Watchers,
};
use crate::matching::{self, Matching, PeerService};
use crate::raft::{Groups, RaftConfig, RaftOptions};
use crate::storage::{self, StorageConfig};
use crate::{telemetry, web};

const PEER_MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Every poll that waits at a queue's home is one.
const PEER_STREAMS_MAX: u32 = 100_000;
/// To hand leaderships over.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// To end what runs in the background.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// For calls of other nodes; everything they could ask for has ended by then.
const PEERS_PATIENCE: Duration = Duration::from_millis(100);

/// Runs a node until `stop`, then lets it leave without a gap.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let node = tokio::select! {
        node = Node::start(config) => node?,
        () = stop.cancelled() => return Ok(()),
    };
    let failure = tokio::select! {
        () = stop.cancelled() => None,
        why = node.failed() => Some(why),
    };
    node.shutdown().await;
    failure.map_or(Ok(()), |why| Err(anyhow!(why)))
}

/// A running node.
pub struct Node {
    router: Arc<Router>,
    matching: Matching,
    groups: Arc<Groups>,
    tasks: Tasks,
    namespaces: Arc<Namespaces>,
    hub: Arc<Hub>,
    serving: watch::Sender<bool>,
    stop_api: CancellationToken,
    stop_peers: CancellationToken,
    api: JoinHandle<()>,
    peer_server: JoinHandle<()>,
    api_address: SocketAddr,
    _cluster_id: watch::Sender<String>,
}

impl Node {
    /// Returns when the node takes part in its cluster and serves.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let listeners = Listeners::bind(&config).await?;
        let facts = listeners.facts(&config)?;
        let core = Core::open(&config, facts).await?;
        let stop_peers = CancellationToken::new();
        let peer_server = serve_peers(&core, listeners.peer, stop_peers.clone());

        let namespaces = Arc::new(Namespaces::new(core.router.clone()));
        let (serving, seen) = watch::channel(false);
        let stop_api = CancellationToken::new();
        let parts = ApiParts {
            router: core.router.clone(),
            namespaces: namespaces.clone(),
            matching: core.matching.clone(),
            watchers: core.hub.watchers().clone(),
            config: config.clone(),
        };
        serve_operators(&config, &parts, &stop_api).await?;
        let api_address = listeners.api.local_addr()?;
        let api = tokio::spawn(serve_api(parts, listeners.api, seen, stop_api.clone(), core.tasks.clone()));

        // From the start: a node that joins may lead before it serves.
        keep_members(&core.router, &core.tasks);
        if let Err(error) = bootstrap(&core.router, &plan(&config)).await {
            stop_api.cancel();
            core.tasks.shutdown(STOP_PATIENCE).await;
            core.groups.shutdown().await;
            stop_peers.cancel();
            // Its port is free again when this returns; whoever is connected does not matter.
            let _ended = timeout(PEERS_PATIENCE, peer_server).await;
            return Err(error.into());
        }
        namespaces.open();
        core.hub.configure_all();
        core.homes.follow(&core.tasks);
        core.tasks.spawn("balance", balance(core.router.clone()));
        if config.listen.metrics.is_some() {
            core.tasks.spawn("backlogs", tell_backlogs(core.router.clone()));
        }
        serving.send_replace(true);
        tracing::info!(node = config.node_id, api = %api_address, "serving");
        Ok(Self {
            router: core.router,
            matching: core.matching,
            groups: core.groups,
            tasks: core.tasks,
            namespaces,
            hub: core.hub,
            serving,
            stop_api,
            stop_peers,
            api,
            peer_server,
            api_address,
            _cluster_id: core.cluster_id,
        })
    }

    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    pub fn namespaces(&self) -> &Arc<Namespaces> {
        &self.namespaces
    }

    pub fn matching(&self) -> &Matching {
        &self.matching
    }

    pub fn watchers(&self) -> &Arc<Watchers> {
        self.hub.watchers()
    }

    /// Where clients reach it.
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Returns, with the reason, when the node cannot go on.
    pub async fn failed(&self) -> String {
        self.tasks.failed().await
    }

    /// Leaves without a gap: the others lead before this node stops to answer.
    pub async fn shutdown(self) {
        tracing::info!("stopping");
        self.serving.send_replace(false);
        tokio::join!(self.matching.drain(), drain(&self.router, DRAIN_PATIENCE));
        self.stop_api.cancel();
        if self.api.await.is_err() {
            tracing::warn!("the API server ended badly");
        }
        self.tasks.shutdown(STOP_PATIENCE).await;
        self.groups.shutdown().await;
        self.hub.disconnect();
        self.stop_peers.cancel();
        if timeout(PEERS_PATIENCE, self.peer_server).await.is_err() {
            tracing::debug!("calls of other nodes did not end in time");
        }
        self.matching.stop();
        tracing::info!("stopped");
    }
}

/// Everything bound before anything is opened, so that a taken port is told at once.
struct Listeners {
    api: TcpListener,
    peer: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            api: listen("listen.api", config.listen.api).await?,
            peer: listen("listen.peer", config.listen.peer).await?,
        })
    }

    /// What this node tells the others of itself. Port 0 in the configuration stands for the one that was bound.
    fn facts(&self, config: &Config) -> anyhow::Result<NodeFacts> {
        let bound =
            |listener: &TcpListener| listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        let advertised = config.advertised_peer_address();
        let peer_address = if advertised.ends_with(":0") { bound(&self.peer) } else { advertised };
        let node = state::Node {
            node_id: config.node_id,
            peer_address,
            api_address: bound(&self.api),
            web_address: config.listen.web.map(|address| address.to_string()).unwrap_or_default(),
        };
        let incarnation = storage::identify(&config.data_dir, config.node_id, rand::random())
            .with_context(|| format!("data_dir: cannot use {}", config.data_dir.display()))?;
        let version = env!("CARGO_PKG_VERSION").into();
        Ok(NodeFacts {
            version,
            started: crate::cluster::now(),
            incarnation: incarnation.into(),
            chaos: config.chaos,
            node,
        })
    }
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
}

/// The parts below the API.
struct Core {
    groups: Arc<Groups>,
    peers: Arc<Peers>,
    router: Arc<Router>,
    matching: Matching,
    hub: Arc<Hub>,
    homes: Arc<QueueHomes>,
    tasks: Tasks,
    cluster_id: watch::Sender<String>,
}

impl Core {
    async fn open(config: &Config, facts: NodeFacts) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let feed = Arc::new(ChangeFeed::new());
        let queries = QueryRegistry::new(config.limits.buffered_queries);
        let hub = Hub::new(tasks.clone(), feed.clone(), queries.clone());
        let peers = Peers::new(&config.cluster_id, config.node_id, known_nodes(config, &facts))
            .context("cluster_id: must be plain ASCII")?;
        let peers = Arc::new(peers);
        let (cluster_id, cluster_id_seen) = watch::channel(config.cluster_id.clone());
        let options = raft_options(config, cluster_id_seen);
        let groups = Groups::open(options, hub.clone(), peers.clone())
            .await
            .with_context(|| format!("data_dir: cannot open {}", config.data_dir.display()))?;
        let router = Router::new(RouterOptions {
            groups: groups.clone(),
            peers: peers.clone(),
            feed,
            tasks: tasks.clone(),
            limits: config.core_limits(),
            facts,
        });
        queries.connect(&router);
        router.connect(queries);
        let homes = QueueHomes::new(router.clone());
        let shares = matching::Limits::with_shares(config.frontend.namespace_queues, config.frontend.namespace_pollers);
        let matching = Matching::start(homes.clone(), shares);
        matching.set_source(Arc::new(ReadyTasks::new(router.clone(), tasks.clone())));
        router.connect_reservations(ParkedPollers::new(&router, matching.clone()));
        let caller = CallbackCaller::new(&config.callbacks);
        hub.connect(Hands { router: router.clone(), matching: matching.clone(), caller });
        Ok(Self { groups, peers, router, matching, hub, homes, tasks, cluster_id })
    }
}

fn raft_options(config: &Config, cluster_id: watch::Receiver<String>) -> RaftOptions {
    let (raft, storage) = (&config.raft, &config.storage);
    RaftOptions {
        node_id: config.node_id,
        cluster_id,
        data_dir: config.data_dir.clone(),
        raft: RaftConfig {
            heartbeat: raft.heartbeat,
            election_min: raft.election_min,
            election_max: raft.election_max,
            append_entries_max: raft.append_entries_max,
            append_bytes_max: raft.append_bytes_max,
            lag_entries_max: raft.lag_entries_max,
            snapshot_log_bytes: raft.snapshot_log_bytes,
            log_entries_kept: raft.log_entries_kept,
            snapshot_timeout: raft.snapshot_timeout,
            propose_timeout: raft.propose_timeout,
        },
        storage: StorageConfig {
            cache_bytes: storage.cache_bytes,
            write_buffers_bytes: storage.write_buffers_bytes,
            log_tail_bytes: storage.log_tail_bytes,
            flush_every: storage.flush_every,
            flush_log_bytes: storage.flush_log_bytes,
            disk_reserve_bytes: storage.disk_reserve_bytes,
            ..StorageConfig::default()
        },
    }
}

/// The nodes a new cluster is made of, as far as the configuration knows them; this one first.
fn known_nodes(config: &Config, facts: &NodeFacts) -> Vec<state::Node> {
    let others = config.peers.iter().filter(|peer| peer.id != config.node_id);
    let others =
        others.map(|peer| state::Node { node_id: peer.id, peer_address: peer.address.clone(), ..Default::default() });
    std::iter::once(facts.node.clone()).chain(others).collect()
}

fn plan(config: &Config) -> Bootstrap {
    let first: BTreeSet<u64> = config.peers.iter().map(|peer| peer.id).chain([config.node_id]).collect();
    let voters = if config.join.is_empty() { first } else { BTreeSet::new() };
    let namespaces = config.bootstrap.namespaces.iter().map(|seed| RegisterNamespaceRequest {
        namespace: seed.name.clone(),
        workflow_execution_retention_period: seed.retention.try_into().ok(),
        ..Default::default()
    });
    let attributes = &config.bootstrap.search_attributes;
    Bootstrap {
        cluster_id: config.cluster_id.clone(),
        data_shards: config.data_shards,
        voters,
        join: config.join.clone(),
        namespaces: namespaces.collect(),
        search_attributes: attributes
            .iter()
            .map(|(name, kind)| (name.clone(), kind.indexed_value_type() as i32))
            .collect(),
    }
}

/// Serves the other nodes until `stop`. Operators' calls carry no node's metadata and are not checked for it.
fn serve_peers(core: &Core, listener: TcpListener, stop: CancellationToken) -> JoinHandle<()> {
    let guard = core.peers.guard();
    let cluster = ClusterServer::new(ClusterService::new(core.router.clone()))
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    let matching =
        MatchingServer::new(PeerService::new(core.matching.clone())).max_decoding_message_size(matching::MESSAGE_MOST);
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(Some(PEER_STREAMS_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(core.groups.tonic_service())
        .add_service(InterceptedService::new(cluster, guard.clone()))
        .add_service(InterceptedService::new(matching, guard))
        .add_service(AdminServer::new(AdminService::new(core.router.clone())));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let tasks = core.tasks.clone();
    tokio::spawn(async move {
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await {
            tasks.fail(format!("the peer server ended: {error}"));
        }
    })
}

async fn serve_api(
    parts: ApiParts,
    listener: TcpListener,
    serving: watch::Receiver<bool>,
    stop: CancellationToken,
    tasks: Tasks,
) {
    if let Err(error) = api::serve(parts, listener, serving, stop).await {
        tasks.fail(format!("the API server ended: {error}"));
    }
}

/// Metrics, pages and what stands for the HTTP API, where the configuration asks for them.
async fn serve_operators(config: &Config, parts: &ApiParts, stop: &CancellationToken) -> anyhow::Result<()> {
    if let Some(address) = config.listen.metrics {
        telemetry::exporter::serve(address, stop.clone()).await?;
    }
    if let Some(address) = config.listen.web {
        web::serve(address, pages::backend(parts), stop.clone()).await?;
    }
    if let Some(address) = config.listen.http {
        web::serve_http_placeholder(address, stop.clone()).await?;
    }
    Ok(())
}
