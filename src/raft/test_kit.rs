//! What the tests of this folder share.

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use sha2::{Digest, Sha256};
use statemachine::op;

/// Registers a namespace: the op id, the ids it makes and its rows all derive from `name`.
pub fn proposal(name: &str) -> Bytes {
    let request = RegisterNamespaceRequest { namespace: name.to_owned(), ..Default::default() };
    let kind = op::op::Kind::RegisterNamespace(op::RegisterNamespace { request: Some(request) });
    let proposal = op::Proposal {
        stamp: Some(op::Stamp { now: 1, seed: Bytes::copy_from_slice(&Sha256::digest(name)[..16]) }),
        op: Some(op::Op { kind: Some(kind) }),
        op_id: Bytes::copy_from_slice(name.as_bytes()),
        ..Default::default()
    };
    proposal.encode_to_vec().into()
}
