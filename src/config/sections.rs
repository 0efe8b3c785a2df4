//! The sections of the configuration with their defaults. What each key means is told once, in `document.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

const MEBIBYTE: u64 = 1 << 20;

/// Timing and sizes of every Raft group (RELIABILITY 1.7 gives the reasons).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raft {
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    #[serde(with = "duration")]
    pub election_min: Duration,
    #[serde(with = "duration")]
    pub election_max: Duration,
    pub append_entries_max: u64,
    pub append_bytes_max: usize,
    pub lag_entries_max: u64,
    pub snapshot_log_bytes: u64,
    pub log_entries_kept: u64,
    #[serde(with = "duration")]
    pub snapshot_timeout: Duration,
    #[serde(with = "duration")]
    pub propose_timeout: Duration,
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(180),
            election_min: Duration::from_millis(260),
            election_max: Duration::from_millis(380),
            append_entries_max: 1024,
            append_bytes_max: 4 << 20,
            lag_entries_max: 1_000_000,
            snapshot_log_bytes: 64 * MEBIBYTE,
            log_entries_kept: 100_000,
            snapshot_timeout: Duration::from_secs(60),
            propose_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    pub cache_bytes: usize,
    pub write_buffers_bytes: usize,
    pub log_tail_bytes: usize,
    #[serde(with = "duration")]
    pub flush_every: Duration,
    pub flush_log_bytes: u64,
    pub disk_reserve_bytes: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            write_buffers_bytes: 96 << 20,
            log_tail_bytes: 8 << 20,
            flush_every: Duration::from_secs(30),
            flush_log_bytes: 64 * MEBIBYTE,
            disk_reserve_bytes: 64 * MEBIBYTE,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Frontend {
    /// 0: no limit, here and below.
    pub requests_per_second: u32,
    pub namespace_requests_per_second: u32,
    pub namespace_burst_ratio: u32,
    pub namespace_visibility_requests_per_second: u32,
    pub namespace_long_polls: u32,
    pub namespace_pollers: usize,
    pub namespace_queues: usize,
    #[serde(with = "duration")]
    pub poll_timeout: Duration,
    #[serde(with = "duration")]
    pub history_poll_timeout: Duration,
    pub message_bytes_max: usize,
    pub list_page_max: i32,
    pub history_page_max: i32,
    #[serde(with = "duration")]
    pub shutdown_drain: Duration,
}

impl Default for Frontend {
    fn default() -> Self {
        Self {
            requests_per_second: 0,
            namespace_requests_per_second: 0,
            namespace_burst_ratio: 2,
            namespace_visibility_requests_per_second: 0,
            namespace_long_polls: 10_000,
            namespace_pollers: 20_000,
            namespace_queues: 25_000,
            poll_timeout: Duration::from_secs(60),
            history_poll_timeout: Duration::from_secs(20),
            message_bytes_max: 4 << 20,
            list_page_max: 1000,
            history_page_max: 256,
            shutdown_drain: Duration::from_secs(1),
        }
    }
}

/// What clients may use; Temporal has most of it behind dynamic configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    pub eager_workflow_start: bool,
    pub eager_activities: bool,
    pub cross_namespace_commands: bool,
    pub end_polls_on_shutdown: bool,
    pub worker_heartbeats: bool,
    pub raw_history: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            eager_workflow_start: true,
            eager_activities: true,
            cross_namespace_commands: true,
            end_polls_on_shutdown: true,
            worker_heartbeats: true,
            raw_history: false,
        }
    }
}

/// What a new cluster is given once it has a leader. What exists already is left as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    pub search_attributes: BTreeMap<String, SearchAttributeKind>,
    pub namespaces: Vec<NamespaceSeed>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSeed {
    pub name: String,
    #[serde(with = "duration", default = "one_day")]
    pub retention: Duration,
}

impl NamespaceSeed {
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), retention: one_day() }
    }
}

fn one_day() -> Duration {
    Duration::from_secs(24 * 3600)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchAttributeKind {
    Text,
    Keyword,
    Int,
    Double,
    Bool,
    Datetime,
    KeywordList,
}

impl SearchAttributeKind {
    pub const ALL: [Self; 7] =
        [Self::Text, Self::Keyword, Self::Int, Self::Double, Self::Bool, Self::Datetime, Self::KeywordList];

    /// As Temporal's API numbers them.
    pub fn indexed_value_type(self) -> proto::temporal::api::enums::v1::IndexedValueType {
        use proto::temporal::api::enums::v1::IndexedValueType as Api;
        match self {
            Self::Text => Api::Text,
            Self::Keyword => Api::Keyword,
            Self::Int => Api::Int,
            Self::Double => Api::Double,
            Self::Bool => Api::Bool,
            Self::Datetime => Api::Datetime,
            Self::KeywordList => Api::KeywordList,
        }
    }

    /// By the names of Temporal's command line, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, `never`, or a filter as `info,everstep::raft=debug`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[value(alias = "pretty")]
    Text,
    Json,
}
