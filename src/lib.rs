pub mod cluster;
pub mod config;
pub mod effects;
pub mod matching;
pub mod raft;
pub mod reads;
pub mod storage;
pub mod telemetry;
