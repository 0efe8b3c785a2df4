//! The node's log database and its syncer thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rocksdb::{ColumnFamilyDescriptor, Options, DB};

use super::log_rows::{ENTRIES, META};
use super::options::create_dir;
use super::syncer::{self, Queue};
use super::{fatal, fence, Resources, ShardLog, StoreError};

/// One per node, for all shards.
pub struct LogStore {
    directory: PathBuf,
    db: Arc<DB>,
    queue: Arc<Queue>,
    tail_bytes_max: usize,
    shards: Mutex<BTreeMap<u32, Arc<ShardLog>>>,
    syncer: Mutex<Option<JoinHandle<()>>>,
}

impl LogStore {
    /// Opens or creates the log in `directory`. Fails over a damaged log rather than forget entries it had promised.
    pub fn open(directory: &Path, resources: &Resources) -> Result<Arc<Self>, StoreError> {
        create_dir(directory).map_err(|error| StoreError::io("log directory", error))?;
        fence::check(directory)?;
        let mut meta_options: Options = resources.log_family_options();
        meta_options.set_write_buffer_size(1 << 20);
        let families = [
            ColumnFamilyDescriptor::new("default", meta_options.clone()),
            ColumnFamilyDescriptor::new(ENTRIES, resources.log_family_options()),
            ColumnFamilyDescriptor::new(META, meta_options),
        ];
        let db = DB::open_cf_descriptors(&resources.log_options(), directory, families)
            .map_err(|error| StoreError::io("opening the log", error))?;
        let (db, queue) = (Arc::new(db), Arc::new(Queue::default()));
        let syncer = {
            let (db, queue) = (db.clone(), queue.clone());
            std::thread::Builder::new()
                .name("log-sync".to_owned())
                .spawn(move || syncer::run_or_stop(&db, &queue))
                .map_err(|error| StoreError::io("starting the log thread", error))?
        };
        let tail_bytes_max = resources.config.log_tail_bytes;
        Ok(Arc::new(Self {
            directory: directory.to_path_buf(),
            db,
            queue,
            tail_bytes_max,
            shards: Mutex::default(),
            syncer: Mutex::new(Some(syncer)),
        }))
    }

    /// The log of a shard, empty if the node never had one.
    pub fn shard(&self, shard: u32) -> Result<Arc<ShardLog>, StoreError> {
        let mut shards = self.shards.lock().expect("nothing panics while holding the list of logs");
        if let Some(log) = shards.get(&shard) {
            return Ok(log.clone());
        }
        let log = ShardLog::open(shard, self.db.clone(), self.queue.clone(), self.tail_bytes_max)?;
        shards.insert(shard, log.clone());
        Ok(log)
    }

    /// Stops the process, and lets no other open this log: all shards share the journal that lost something.
    pub fn fence(&self, why: &str) -> ! {
        if let Err(error) = fence::set(&self.directory, why) {
            fatal::stop("the log", format!("{why}; it cannot be fenced: {error}"));
        }
        fatal::stop("the log", why)
    }

    /// Writes what is queued and ends the syncer thread. Later writes are refused.
    pub fn close(&self) {
        self.queue.stop();
        let syncer = self.syncer.lock().expect("nothing panics while holding the thread").take();
        if let Some(syncer) = syncer {
            if syncer.join().is_err() {
                fatal::stop("the log thread", "it panicked");
            }
        }
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.close();
    }
}
