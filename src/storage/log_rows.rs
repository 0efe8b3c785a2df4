//! Keys and values of the log database. Numbers are for ever.
//!
//! `entries`: shard u32 BE | index u64 BE -> version 1 | kind | term u64 | leader u64 | payload.
//! `meta`: shard u32 BE | field -> version 1 | fields u64.

use bytes::Bytes;

use super::{LogEntry, LogId, StoreError, Vote};

pub(super) const ENTRIES: &str = "entries";
pub(super) const META: &str = "meta";

const VERSION: u8 = 1;
const ENTRY_HEADER: usize = 2 + 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Vote = 1,
    Purged = 2,
    Committed = 3,
}

pub(super) fn entry_key(shard: u32, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&shard.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(super) fn meta_key(shard: u32, field: Field) -> [u8; 5] {
    let mut key = [0; 5];
    key[..4].copy_from_slice(&shard.to_be_bytes());
    key[4] = field as u8;
    key
}

pub(super) fn encode_entry(entry: &LogEntry) -> Vec<u8> {
    let mut value = Vec::with_capacity(ENTRY_HEADER + entry.payload.len());
    value.extend_from_slice(&[VERSION, entry.kind]);
    value.extend_from_slice(&entry.id.term.to_be_bytes());
    value.extend_from_slice(&entry.id.leader.to_be_bytes());
    value.extend_from_slice(&entry.payload);
    value
}

pub(super) fn decode_entry(key: &[u8], value: &[u8]) -> Result<LogEntry, StoreError> {
    let index = key.get(4..12).and_then(number);
    let term = value.get(2..10).and_then(number);
    let leader = value.get(10..18).and_then(number);
    match (value.first(), index, term, leader) {
        (Some(&VERSION), Some(index), Some(term), Some(leader)) => Ok(LogEntry {
            id: LogId { term, leader, index },
            kind: value[1],
            payload: Bytes::copy_from_slice(&value[ENTRY_HEADER..]),
        }),
        _ => Err(StoreError::corrupt("log entry", format!("key {key:?}, {} bytes", value.len()))),
    }
}

pub(super) fn encode_vote(vote: Vote) -> Vec<u8> {
    encode_numbers(&[vote.term, vote.node, u64::from(vote.committed)])
}

pub(super) fn decode_vote(value: &[u8]) -> Result<Vote, StoreError> {
    let [term, node, committed] = decode_numbers("vote", value)?;
    Ok(Vote { term, node, committed: committed != 0 })
}

pub(super) fn encode_log_id(id: LogId) -> Vec<u8> {
    encode_numbers(&[id.term, id.leader, id.index])
}

pub(super) fn decode_log_id(value: &[u8]) -> Result<LogId, StoreError> {
    let [term, leader, index] = decode_numbers("log id", value)?;
    Ok(LogId { term, leader, index })
}

fn encode_numbers(numbers: &[u64]) -> Vec<u8> {
    let mut value = vec![VERSION];
    for number in numbers {
        value.extend_from_slice(&number.to_be_bytes());
    }
    value
}

fn decode_numbers<const N: usize>(what: &'static str, value: &[u8]) -> Result<[u64; N], StoreError> {
    if value.len() != 1 + 8 * N || value[0] != VERSION {
        return Err(StoreError::corrupt(what, format!("{} bytes", value.len())));
    }
    let mut numbers = [0; N];
    for (slot, part) in numbers.iter_mut().zip(value[1..].chunks_exact(8)) {
        *slot = number(part).unwrap_or_default();
    }
    Ok(numbers)
}

fn number(part: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(part.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_for_ever() {
        let entry =
            LogEntry { id: LogId { term: 2, leader: 3, index: 4 }, kind: 1, payload: Bytes::from_static(b"hi") };
        let key = entry_key(7, 4);
        assert_eq!(key, [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 4]);
        let value = encode_entry(&entry);
        assert_eq!(value, [1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, b'h', b'i']);
        assert_eq!(decode_entry(&key, &value).expect("it was just encoded"), entry);
        let vote = Vote { term: 5, node: 6, committed: true };
        assert_eq!(decode_vote(&encode_vote(vote)).expect("it was just encoded"), vote);
        assert!(decode_vote(&encode_log_id(entry.id)[..9]).is_err());
    }
}
