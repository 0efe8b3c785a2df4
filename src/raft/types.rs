//! The types openraft is run with. None of them is stored or sent as openraft lays it out; see `codec`.

use std::fmt;

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::impls::{leader_id_adv, BoxedErrorSource, EmptyNode, InlineBatch, ProgressResponder};
use openraft::raft::ClientWriteResponse;
use openraft::{alias, EntryPayload, OptionalSend, RaftTypeConfig};
use statemachine::op;

/// An encoded `op::Proposal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What applying an entry answered; nothing for entries that are not proposals.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response(pub Option<op::Answer>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Command;
    type R = Response;
    type NodeId = u64;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Command, u64, EmptyNode>;
    type Entry = openraft::impls::Entry<Self::LeaderId, Self::Payload>;
    type AsyncRuntime = super::runtime::Runtime;
    type Responder<T>
        = ProgressResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub type LeaderId = leader_id_adv::LeaderId<u64, u64>;
/// How a proposal ended, if its group did not end first.
pub type Written = Result<ClientWriteResponse<TypeConfig>, ClientWriteError<TypeConfig>>;
pub type RaftLogId = alias::LogIdOf<TypeConfig>;
pub type RaftVote = alias::VoteOf<TypeConfig>;
pub type RaftEntry = alias::EntryOf<TypeConfig>;
pub type RaftMembership = openraft::Membership<u64, EmptyNode>;
pub type RaftStoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub type RaftHandle = openraft::Raft<TypeConfig, super::machine::Machine>;
