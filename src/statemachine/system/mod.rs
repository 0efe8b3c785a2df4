//! What the system shard decides: the cluster's record, its nodes and slots, namespaces, settings of task queues.

pub mod calls;
pub mod cluster;
pub mod namespace;
pub mod queue_config;
pub mod sweep;
