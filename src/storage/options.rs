//! How the databases are set up, and what they share.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteBufferManager};

/// Memory and pacing of a node's stores; one budget over all shards.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Blocks, indexes and filters of all state stores and the log.
    pub cache_bytes: usize,
    /// Unflushed rows of all state stores together.
    pub write_buffers_bytes: usize,
    /// The newest entries of each shard, kept in memory for replication and apply.
    pub log_tail_bytes: usize,
    /// A state store is flushed at least this often while it changes, so that a restart replays little.
    pub flush_every: std::time::Duration,
    /// ... or after this much log was applied.
    pub flush_log_bytes: u64,
    /// With less than this free on the data directory, writes are refused.
    pub disk_reserve_bytes: u64,
    pub background_jobs: i32,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            write_buffers_bytes: 96 << 20,
            log_tail_bytes: 8 << 20,
            flush_every: std::time::Duration::from_secs(30),
            flush_log_bytes: 64 << 20,
            disk_reserve_bytes: 64 << 20,
            background_jobs: 2,
        }
    }
}

/// What all databases of a node share.
#[derive(Clone)]
pub struct Resources {
    pub config: StorageConfig,
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl Resources {
    pub fn new(config: StorageConfig) -> Self {
        let cache = Cache::new_lru_cache(config.cache_bytes);
        let write_buffers = WriteBufferManager::new_write_buffer_manager(config.write_buffers_bytes, false);
        Self { config, cache, write_buffers }
    }

    fn base(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_max_background_jobs(self.config.background_jobs);
        options.set_max_open_files(512);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_arena_block_size(256 << 10);
        options.set_paranoid_checks(true);
        // Each database has one writer.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        options
    }

    fn blocks(&self) -> BlockBasedOptions {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_format_version(5);
        blocks
    }

    /// The log: never stalls its writer, and refuses to open over a damaged middle. A torn end is what a crash leaves
    /// of writes nobody was told about.
    pub(super) fn log_options(&self) -> Options {
        let mut options = self.base();
        options.create_missing_column_families(true);
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_manual_wal_flush(true);
        options.set_max_total_wal_size(96 << 20);
        options
    }

    pub(super) fn log_family_options(&self) -> Options {
        let mut options = self.base();
        options.set_write_buffer_size(16 << 20);
        options.set_max_write_buffer_number(6);
        options.set_level_zero_file_num_compaction_trigger(8);
        options.set_level_zero_slowdown_writes_trigger(1 << 20);
        options.set_level_zero_stop_writes_trigger(1 << 20);
        options.set_soft_pending_compaction_bytes_limit(0);
        options.set_hard_pending_compaction_bytes_limit(0);
        options.set_compression_type(DBCompressionType::None);
        options.set_block_based_table_factory(&self.blocks());
        options
    }

    /// A state store: no WAL, so what is unflushed is gone after a crash and comes again from the log.
    pub(super) fn state_options(&self) -> Options {
        let mut options = self.base();
        let mut blocks = self.blocks();
        blocks.set_bloom_filter(10.0, false);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_write_buffer_size(32 << 20);
        options.set_max_write_buffer_number(3);
        options.set_target_file_size_base(16 << 20);
        options.set_level_compaction_dynamic_level_bytes(true);
        // Runs are written at random places: what is merged at once, and a level to the next, decide how often a row is
        // written again (docs/performance.md).
        options.set_level_zero_file_num_compaction_trigger(8);
        options.set_max_bytes_for_level_multiplier(5.0);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_avoid_unnecessary_blocking_io(true);
        // Ready tasks and deadlines are queues: rows deleted at the front of a range must not pile up there.
        options.add_compact_on_deletion_collector_factory(128, 64, 0.5);
        options
    }
}

/// Creates a directory, and those above it that are missing, and makes their entries durable.
pub(super) fn create_dir(path: &Path) -> std::io::Result<()> {
    let parent = match path.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    if !parent.is_dir() {
        create_dir(parent)?;
    }
    fs_err::create_dir_all(path)?;
    sync_dir(parent)
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(path: &Path) -> std::io::Result<()> {
    fs_err::File::open(path)?.sync_all()?;
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use super::*;

    thread_local! {
        /// What this thread has synced.
        pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn a_new_directory_and_those_above_it_survive_a_power_cut() {
        let root = tempfile::tempdir().expect("a directory");
        let (data, state) = (root.path().join("data"), root.path().join("data/state"));
        create_dir(&state.join("1")).expect("created");
        assert_eq!(SYNCED.take(), [root.path().to_owned(), data, state.clone()]);
        create_dir(&state.join("2")).expect("created");
        assert_eq!(SYNCED.take(), [state]);
    }
}
