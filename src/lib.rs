//! Everstep in one crate: storage and Raft below, the API and the pages above, `node` connects them. See ARCHITECTURE.md.

pub mod api;
pub mod bench;
pub mod chaos;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod effects;
pub mod matching;
pub mod node;
pub mod raft;
pub mod reads;
pub mod storage;
pub mod telemetry;
pub mod web;
