//! Our own encoding of what Raft stores and sends. Kinds of entries are for ever (`peer.v1.EntryKind`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::impls::{leader_id_adv::LeaderId, EmptyNode};
use openraft::EntryPayload;
use prost::Message;
use proto::everstep::peer::v1 as peer;

use super::types::{Command, RaftEntry, RaftLogId, RaftMembership, RaftStoredMembership, RaftVote};
use crate::storage::{LogEntry, LogId, StoreError, Vote};

const BLANK: u8 = peer::EntryKind::Blank as u8;
pub const PROPOSAL: u8 = peer::EntryKind::Proposal as u8;
const MEMBERSHIP: u8 = peer::EntryKind::Membership as u8;

pub fn log_id_to_store(id: &RaftLogId) -> LogId {
    LogId { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub fn log_id_from_store(id: LogId) -> RaftLogId {
    RaftLogId { leader_id: LeaderId { term: id.term, node_id: id.leader }, index: id.index }
}

pub fn log_id_to_peer(id: &RaftLogId) -> peer::LogId {
    peer::LogId { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub fn log_id_from_peer(id: &peer::LogId) -> RaftLogId {
    RaftLogId { leader_id: LeaderId { term: id.term, node_id: id.leader }, index: id.index }
}

pub fn vote_to_store(vote: &RaftVote) -> Vote {
    Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub fn vote_from_store(vote: Vote) -> RaftVote {
    RaftVote { leader_id: LeaderId { term: vote.term, node_id: vote.node }, committed: vote.committed }
}

pub fn vote_to_peer(vote: &RaftVote) -> peer::Vote {
    peer::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

/// A message without its vote is from nobody; it decodes to the lowest vote there is, which every node rejects.
pub fn vote_from_peer(vote: Option<&peer::Vote>) -> RaftVote {
    let vote = vote.cloned().unwrap_or_default();
    RaftVote { leader_id: LeaderId { term: vote.term, node_id: vote.node }, committed: vote.committed }
}

pub fn entry_to_store(entry: RaftEntry) -> LogEntry {
    let id = log_id_to_store(&entry.log_id);
    let (kind, payload) = payload_to_bytes(&entry.payload);
    LogEntry { id, kind, payload }
}

pub fn entry_from_store(entry: LogEntry) -> Result<RaftEntry, StoreError> {
    let payload = payload_from_bytes(entry.kind, entry.payload)?;
    Ok(RaftEntry { log_id: log_id_from_store(entry.id), payload })
}

pub fn entry_to_peer(entry: &RaftEntry) -> peer::Entry {
    let (kind, payload) = payload_to_bytes(&entry.payload);
    let leader = &entry.log_id.leader_id;
    peer::Entry { term: leader.term, leader: leader.node_id, index: entry.log_id.index, kind: kind.into(), payload }
}

pub fn entry_from_peer(entry: peer::Entry) -> Result<RaftEntry, StoreError> {
    let kind = u8::try_from(entry.kind).map_err(|error| StoreError::corrupt("entry kind", error))?;
    let log_id = RaftLogId { leader_id: LeaderId { term: entry.term, node_id: entry.leader }, index: entry.index };
    Ok(RaftEntry { log_id, payload: payload_from_bytes(kind, entry.payload)? })
}

type Payload = EntryPayload<Command, u64, EmptyNode>;

fn payload_to_bytes(payload: &Payload) -> (u8, Bytes) {
    match payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(command) => (PROPOSAL, command.0.clone()),
        EntryPayload::Membership(membership) => (MEMBERSHIP, membership_to_peer(membership).encode_to_vec().into()),
    }
}

fn payload_from_bytes(kind: u8, payload: Bytes) -> Result<Payload, StoreError> {
    match kind {
        BLANK => Ok(EntryPayload::Blank),
        PROPOSAL => Ok(EntryPayload::Normal(Command(payload))),
        MEMBERSHIP => {
            let membership =
                peer::Membership::decode(payload).map_err(|error| StoreError::corrupt("membership entry", error))?;
            Ok(EntryPayload::Membership(membership_from_peer(&membership)?))
        }
        unknown => Err(StoreError::corrupt("entry kind", unknown)),
    }
}

fn membership_to_peer(membership: &RaftMembership) -> peer::Membership {
    let configs = membership.get_joint_config().iter();
    peer::Membership {
        configs: configs.map(|voters| peer::Voters { nodes: voters.iter().copied().collect() }).collect(),
        nodes: membership.nodes().map(|(node, _)| *node).collect(),
    }
}

fn membership_from_peer(membership: &peer::Membership) -> Result<RaftMembership, StoreError> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.iter().map(|voters| voters.nodes.iter().copied().collect()).collect();
    if configs.is_empty() && membership.nodes.is_empty() {
        return Ok(RaftMembership::default());
    }
    let nodes: BTreeMap<u64, EmptyNode> = membership.nodes.iter().map(|node| (*node, EmptyNode::default())).collect();
    RaftMembership::new(configs, nodes).map_err(|error| StoreError::corrupt("membership", error))
}

/// The membership in force, as the state store and snapshots keep it.
pub fn stored_membership_to_bytes(stored: &RaftStoredMembership) -> Bytes {
    let message = peer::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_peer),
        membership: Some(membership_to_peer(stored.membership())),
    };
    message.encode_to_vec().into()
}

pub fn stored_membership_from_bytes(bytes: &[u8]) -> Result<RaftStoredMembership, StoreError> {
    let stored =
        peer::StoredMembership::decode(bytes).map_err(|error| StoreError::corrupt("stored membership", error))?;
    let membership = membership_from_peer(&stored.membership.unwrap_or_default())?;
    Ok(RaftStoredMembership::new(stored.log_id.as_ref().map(log_id_from_peer), membership))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joint_membership_survives() {
        let nodes: BTreeMap<u64, EmptyNode> = (1..=4).map(|node| (node, EmptyNode::default())).collect();
        let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let membership = RaftMembership::new(configs, nodes).expect("all voters are nodes");
        let log_id = log_id_from_store(LogId { term: 2, leader: 1, index: 9 });
        let stored = RaftStoredMembership::new(Some(log_id), membership.clone());
        let bytes = stored_membership_to_bytes(&stored);
        assert_eq!(stored_membership_from_bytes(&bytes).expect("it was just encoded"), stored);

        let entry = RaftEntry { log_id, payload: EntryPayload::Membership(membership) };
        let decoded = entry_from_store(entry_to_store(entry.clone())).expect("it was just encoded");
        assert_eq!(decoded, entry);
    }

    #[test]
    fn an_empty_membership_survives() {
        let stored = RaftStoredMembership::default();
        let bytes = stored_membership_to_bytes(&stored);
        assert_eq!(stored_membership_from_bytes(&bytes).expect("it was just encoded"), stored);
    }
}
