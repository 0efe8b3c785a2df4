//! Generated code only: Temporal's public API (`temporal`, `google`, `grpc`) and Everstep's own messages
//! (`everstep`). It never holds logic; two messages are written
//! by hand ([`history`], [`failure`]). Maps are ordered and byte fields are [`bytes::Bytes`], so that the same
//! message encodes the same way on every replica and payloads are slices of the request that carried them.
#![allow(clippy::all, clippy::pedantic, rustdoc::all, reason = "generated code")]

pub mod failure;
pub mod history;

include!(concat!(env!("OUT_DIR"), "/all.rs"));

/// The public API as an encoded `FileDescriptorSet`, with its options; what server reflection answers from.
pub static PUBLIC_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/public_descriptors.bin"));

/// The same of all messages, Everstep's own included.
#[cfg(test)]
static ALL_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/all_descriptors.bin"));
