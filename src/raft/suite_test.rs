//! openraft's own suite for stores, over ours.

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use openraft::testing::log::{StoreBuilder, Suite};
use openraft::StorageError;
use statemachine::Effect;

use super::applier::{Applier, Context};
use super::log::Log;
use super::machine::Machine;
use super::shard_time::ShardTime;
use super::types::TypeConfig;
use super::EffectSink;
use crate::storage::{LogStore, Resources, StateStore, StorageConfig};

struct Nobody;

impl EffectSink for Nobody {
    fn applied(&self, _shard: u32, _is_leader: bool, _effects: Vec<Effect>) {}
    fn leadership(&self, _shard: u32, _term: Option<u64>) {}
}

struct Builder;

/// Keeps the log's thread and the files for as long as the stores are used.
struct Guard {
    _log: Arc<LogStore>,
    _directory: tempfile::TempDir,
}

impl StoreBuilder<TypeConfig, Log, Machine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, Log, Machine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().expect("a directory");
        let resources = Resources::new(StorageConfig::default());
        let logs = LogStore::open(&directory.path().join("log"), &resources).expect("the log opens");
        let store = StateStore::open(&directory.path().join("state"), &resources).expect("the store opens");
        let store = Arc::new(store);
        let is_leader = Arc::new(AtomicBool::new(false));
        let time = Arc::new(ShardTime::new(0));
        let context = Context { shard: 1, store: store.clone(), sink: Arc::new(Nobody), is_leader, time };
        let (applier, _) = Applier::start(context).expect("a thread starts");
        let log = Log::new(logs.shard(1).expect("a log"), 1 << 20);
        Ok((Guard { _log: logs, _directory: directory }, log, Machine::new(store, applier)))
    }
}

#[tokio::test]
async fn openraft_suite() {
    Suite::test_all(Builder).await.expect("the suite passes");
}
