//! All Raft groups of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openraft::errors::{InitializeError, RaftError};
use openraft::impls::EmptyNode;
use proto::everstep::peer::v1::raft_server::{Raft, RaftServer};
use statemachine::tables;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::applier::{self, Applier};
use super::leadership::Follow;
use super::log::Log;
use super::machine::Machine;
use super::mend::mend;
use super::network::{Factory, Identity, Peers, MESSAGE_BYTES_MAX};
use super::shard_time::ShardTime;
use super::types::RaftHandle;
use super::{
    group, maintenance, runtime, server, EffectSink, Group, Leadership, OpenError, PeerDirectory, RaftConfig,
    RaftOptions,
};
use crate::storage::{work, DiskState, DiskWatch, LogMark, LogStore, Resources, StateStore, StoreError};

pub struct Groups {
    identity: Identity,
    config: RaftConfig,
    state_dir: PathBuf,
    resources: Resources,
    log: Arc<LogStore>,
    sink: Arc<dyn EffectSink>,
    peers: Arc<Peers>,
    disk: DiskWatch,
    groups: Mutex<BTreeMap<u32, Arc<Group>>>,
    /// Held while a group starts, so that none starts twice.
    starting: tokio::sync::Mutex<()>,
    _maintenance: DropGuard,
}

impl Groups {
    /// Opens the node's log store. No group runs until `start_shard`.
    pub async fn open(
        options: RaftOptions,
        sink: Arc<dyn EffectSink>,
        peers: Arc<dyn PeerDirectory>,
    ) -> Result<Arc<Self>, OpenError> {
        let identity = Identity { node: options.node_id, cluster: options.cluster_id };
        let resources = Resources::new(options.storage);
        let (log_dir, shared) = (options.data_dir.join("log"), resources.clone());
        let log = blocking(move || LogStore::open(&log_dir, &shared)).await?;
        let stop = CancellationToken::new();
        let groups = Arc::new(Self {
            peers: Peers::new(identity.clone(), peers, group::patience(&options.raft)),
            identity,
            config: options.raft,
            state_dir: options.data_dir.join("state"),
            disk: DiskWatch::start(&options.data_dir, resources.config.disk_reserve_bytes),
            resources,
            log,
            sink,
            groups: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            _maintenance: stop.clone().drop_guard(),
        });
        tokio::spawn(maintenance::run(Arc::downgrade(&groups), stop));
        Ok(groups)
    }

    pub(super) fn is_cut(&self, node: u64) -> bool {
        self.peers.is_cut(node)
    }

    /// Whether this node has ever had the shard, started or not.
    pub fn has_data(&self, shard: u32) -> bool {
        self.state_dir.join(shard.to_string()).exists()
    }

    /// Opens the shard's state store and starts its group; returns the running one if there is one.
    pub async fn start_shard(&self, shard: u32) -> Result<Arc<Group>, OpenError> {
        let _starting = self.starting.lock().await;
        if let Some(group) = self.group(shard) {
            return Ok(group);
        }
        let (log, directory, resources) =
            (self.log.clone(), self.state_dir.join(shard.to_string()), self.resources.clone());
        let (log, store, mark) = blocking(move || {
            let (log, store) = (log.shard(shard)?, Arc::new(StateStore::open(&directory, &resources)?));
            // Before anything changes the log's end.
            let mark = LogMark::open(&directory, &log)?;
            mend(&log, &store)?;
            Ok((log, store, mark))
        })
        .await?;
        let is_leader = Arc::new(AtomicBool::new(false));
        let time = tables::shard_time(&store.snapshot()).map_err(|fault| OpenError::Raft(fault.to_string()))?;
        let time = Arc::new(ShardTime::new(time));
        let context = applier::Context {
            shard,
            store: store.clone(),
            sink: self.sink.clone(),
            is_leader: is_leader.clone(),
            time: time.clone(),
        };
        let (applier, applied) = Applier::start(context)?;
        let raft = RaftHandle::new(
            self.identity.node,
            Arc::new(openraft_config(&self.config)?),
            Factory { shard, peers: self.peers.clone(), log: self.log.clone() },
            Log::new(log.clone(), self.config.append_bytes_max),
            Machine::new(store.clone(), applier),
        )
        .await
        .map_err(|fatal| OpenError::Raft(fatal.to_string()))?;
        let (publish, leadership) = watch::channel(Leadership::default());
        let follow = Follow {
            shard,
            node: self.identity.node,
            raft: raft.clone(),
            applied: applied.clone(),
            sink: self.sink.clone(),
            is_leader: is_leader.clone(),
            publish,
        };
        let group = Arc::new(Group {
            shard,
            node: self.identity.node,
            config: self.config.clone(),
            raft,
            log,
            mark,
            store,
            applied,
            leadership,
            is_leader,
            time,
            disk: self.disk.clone(),
            snapshot_mark: AtomicU64::new(0),
            leadership_task: tokio::spawn(follow.run()),
            opened: Instant::now(),
            heard: AtomicU64::new(0),
        });
        self.lock().insert(shard, group.clone());
        Ok(group)
    }

    /// Gives a started, empty group its first voters. Harmless if it already has a log.
    pub async fn initialize(&self, shard: u32, voters: BTreeSet<u64>) -> Result<(), OpenError> {
        let group = self.group(shard).ok_or(OpenError::UnknownShard(shard))?;
        let members: BTreeMap<u64, EmptyNode> = voters.into_iter().map(|node| (node, EmptyNode::default())).collect();
        match group.raft().initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(OpenError::Raft(error.to_string())),
        }
    }

    pub fn group(&self, shard: u32) -> Option<Arc<Group>> {
        self.lock().get(&shard).cloned()
    }

    /// The started groups, by shard.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.lock().values().cloned().collect()
    }

    /// Whether the data directory has room; proposals are refused while it is full.
    pub fn disk(&self) -> DiskState {
        self.disk.state()
    }

    /// Stops the process for good: its log lost what this node had acknowledged.
    pub(super) fn fence(&self, why: &str) -> ! {
        self.log.fence(why)
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The service to mount on the peer server. Messages may have up to 64 MiB.
    pub fn tonic_service(self: &Arc<Self>) -> RaftServer<impl Raft> {
        RaftServer::new(server::Service::new(self))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Stops every group and makes all state durable. Transfer leaderships away first to stop without a gap.
    pub async fn shutdown(&self) {
        let groups = std::mem::take(&mut *self.lock());
        for group in groups.values() {
            if let Err(error) = group.raft().shutdown().await {
                tracing::warn!(shard = group.shard(), %error, "a group did not stop cleanly");
            }
        }
        let log = self.log.clone();
        let closed = blocking(move || {
            for group in groups.values() {
                group.store().flush()?;
            }
            log.close();
            groups.values().for_each(|group| group.note_log());
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(%error, "some state is not flushed; the next start replays it from the log");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Arc<Group>>> {
        self.groups.lock().expect("nothing panics while holding the groups")
    }
}

async fn blocking<T: Send + 'static>(
    piece: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match work::blocking(piece).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::io("storage task", error)),
    }
}

/// RELIABILITY 1.7; what is not set there is openraft's default.
fn openraft_config(config: &RaftConfig) -> Result<openraft::Config, OpenError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let heartbeat = millis(config.heartbeat);
    // openraft's `Config::tick_interval`.
    runtime::ticks_every(Duration::from_millis((heartbeat * 13 / 64).max(1)));
    openraft::Config {
        cluster_name: "everstep".to_owned(),
        heartbeat_interval: heartbeat,
        election_timeout_min: millis(config.election_min),
        election_timeout_max: millis(config.election_max),
        install_snapshot_timeout: millis(config.snapshot_timeout),
        max_payload_entries: config.append_entries_max,
        replication_lag_threshold: config.lag_entries_max,
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: config.log_entries_kept,
        purge_batch_size: config.log_entries_kept.clamp(1, 1024),
        // Heartbeats that replication has just made superfluous are not sent. This and a tick more, and the next is:
        // what `config::validate` knows of how far heartbeats are apart.
        heartbeat_min_interval: Some(heartbeat / 6),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        backoff: "50ms 100ms 200ms ...400ms".to_owned(),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|error| OpenError::Raft(error.to_string()))
}
