//! What the system shard decides: the cluster's record, its nodes and slots, and namespaces.

pub mod cluster;
pub mod namespace;
