//! Tokens that clients carry for us: of tasks, queries and pages. Each names its namespace and is authenticated with the
//! cluster's key, so that a client can neither forge one nor use it in another namespace (RELIABILITY 6).
//!
//! ```text
//!   version 1 │ kind 1 │ namespace id 16 │ MAC 16 = HMAC-SHA256(key, version, kind, namespace id, body) │ body
//! ```
//! The body is a protobuf message of the kind. Its field numbers are for ever: tokens outlive an upgrade.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use prost::Message;
use sha2::Sha256;
use statemachine::{op, tables, Reject};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const HEADER_BYTES: usize = 2 + 16 + MAC_BYTES;

/// What a token is good for; part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    WorkflowTask = 1,
    ActivityTask = 2,
    Query = 3,
    HistoryPage = 4,
    ReverseHistoryPage = 5,
    ListPage = 6,
    NamespacePage = 7,
}

/// Of a query task: where its answer is awaited.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryRef {
    #[prost(uint64, tag = "1")]
    pub origin_node: u64,
    #[prost(uint64, tag = "2")]
    pub id: u64,
}

/// Where a list goes on; the bytes are those of `reads`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPage {
    #[prost(bytes = "bytes", tag = "1")]
    pub after: Bytes,
}

/// Why a token was not accepted; the call decides how to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadToken {
    /// Not ours, damaged, of another kind or another cluster.
    Unreadable,
    /// Genuine, of another namespace.
    OtherNamespace,
}

/// Seals and opens tokens with one cluster's key.
#[derive(Clone)]
pub struct Tokens {
    mac: Hmac<Sha256>,
}

impl Tokens {
    pub fn new(key: &[u8]) -> Self {
        Self { mac: Hmac::new_from_slice(key).expect("HMAC takes keys of any length") }
    }

    pub fn seal<M: Message>(&self, kind: Kind, namespace_id: &str, body: &M) -> Bytes {
        let mut token = Vec::with_capacity(HEADER_BYTES + body.encoded_len());
        token.extend_from_slice(&[VERSION, kind as u8]);
        token.extend_from_slice(&namespace_bytes(namespace_id));
        token.extend_from_slice(&[0; MAC_BYTES]);
        body.encode(&mut token).expect("a vector has room");
        let mac = self.mac_of(&token).finalize().into_bytes();
        token[18..HEADER_BYTES].copy_from_slice(&mac[..MAC_BYTES]);
        token.into()
    }

    pub fn open<M: Message + Default>(&self, kind: Kind, namespace_id: &str, token: &[u8]) -> Result<M, BadToken> {
        let namespace = self.authenticate(kind, token)?;
        if namespace != namespace_bytes(namespace_id) {
            return Err(BadToken::OtherNamespace);
        }
        M::decode(&token[HEADER_BYTES..]).map_err(|_| BadToken::Unreadable)
    }

    /// The task that a worker's token names.
    pub fn open_task(&self, kind: Kind, namespace_id: &str, token: &[u8]) -> Result<op::TaskRef, Reject> {
        self.open(kind, namespace_id, token).map_err(bad_task_token)
    }

    /// The namespace a genuine token is of: calls that carry one need not name it.
    pub fn namespace_of(&self, kind: Kind, token: &[u8]) -> Result<String, BadToken> {
        self.authenticate(kind, token).map(|id| tables::id_text(&id))
    }

    fn authenticate(&self, kind: Kind, token: &[u8]) -> Result<[u8; 16], BadToken> {
        if token.len() < HEADER_BYTES || token[0] != VERSION || token[1] != kind as u8 {
            return Err(BadToken::Unreadable);
        }
        self.mac_of(token).verify_truncated_left(&token[18..HEADER_BYTES]).map_err(|_| BadToken::Unreadable)?;
        token[2..18].try_into().map_err(|_| BadToken::Unreadable)
    }

    fn mac_of(&self, token: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&token[..18]);
        mac.update(&token[HEADER_BYTES..]);
        mac
    }
}

/// The refusal of a task's or query's token.
pub fn bad_task_token(why: BadToken) -> Reject {
    Reject::invalid_argument(match why {
        BadToken::Unreadable => "Error deserializing task token.",
        BadToken::OtherNamespace => "Operation requested with a token from a different namespace.",
    })
}

/// The refusal of a page's token.
pub fn bad_page_token(_: BadToken) -> Reject {
    Reject::invalid_argument("Invalid NextPageToken.")
}

/// What is of no namespace has all zeros.
fn namespace_bytes(namespace_id: &str) -> [u8; 16] {
    tables::id_bytes(namespace_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "32049b68-7872-4094-8e63-d0dd59896a83";
    const THERE: &str = "11111111-2222-4333-8444-555555555555";

    fn task() -> op::TaskRef {
        op::TaskRef { namespace_id: HERE.into(), workflow_id: "w".into(), attempt: 3, ..Default::default() }
    }

    #[test]
    fn a_token_gives_back_what_it_was_made_of() {
        let tokens = Tokens::new(b"key");
        let token = tokens.seal(Kind::WorkflowTask, HERE, &task());
        assert_eq!(tokens.open(Kind::WorkflowTask, HERE, &token), Ok(task()));
        assert_eq!(tokens.namespace_of(Kind::WorkflowTask, &token), Ok(HERE.to_owned()));
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let tokens = Tokens::new(b"key");
        let token = tokens.seal(Kind::ActivityTask, HERE, &task());
        for bit in 0..token.len() * 8 {
            let mut bad = token.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = tokens.open::<op::TaskRef>(Kind::ActivityTask, HERE, &bad);
            assert_eq!(opened, Err(BadToken::Unreadable), "bit {bit}");
        }
        for length in 0..token.len() {
            let opened = tokens.open::<op::TaskRef>(Kind::ActivityTask, HERE, &token[..length]);
            assert_eq!(opened, Err(BadToken::Unreadable), "length {length}");
        }
    }

    #[test]
    fn a_token_is_good_in_its_namespace_its_kind_and_its_cluster_only() {
        let tokens = Tokens::new(b"key");
        let token = tokens.seal(Kind::WorkflowTask, HERE, &task());
        let opened = tokens.open::<op::TaskRef>(Kind::WorkflowTask, THERE, &token);
        assert_eq!(opened, Err(BadToken::OtherNamespace));
        let opened = tokens.open::<op::TaskRef>(Kind::ActivityTask, HERE, &token);
        assert_eq!(opened, Err(BadToken::Unreadable));
        let opened = Tokens::new(b"other").open::<op::TaskRef>(Kind::WorkflowTask, HERE, &token);
        assert_eq!(opened, Err(BadToken::Unreadable));
    }

    #[test]
    fn refusals_of_task_tokens_are_temporals() {
        assert_eq!(bad_task_token(BadToken::Unreadable).message(), "Error deserializing task token.");
        let other = bad_task_token(BadToken::OtherNamespace);
        assert_eq!(other.message(), "Operation requested with a token from a different namespace.");
    }
}
