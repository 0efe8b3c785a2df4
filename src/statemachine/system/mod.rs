//! What the system shard decides: the cluster's record, its nodes and slots, who is a member, where the replicas of the
//! shards belong, namespaces, and settings of task queues.

pub mod calls;
pub mod cluster;
pub mod members;
pub mod namespace;
pub mod placement;
pub mod queue_config;
pub mod sweep;

#[cfg(test)]
mod members_test;
