//! The network between nodes and to clients, as the harness can break it.
//!
//! ```text
//!   proxy mode (no root):  node 1 ──► 127.0.0.1:port(1→2) = proxy of ours ──► 127.0.0.1:peer(2)
//!   netns mode (root):     node 1 in its namespace ──veth── bridge ──veth── node 2 in its own, nftables in each
//! ```
//! A fault is about directed pairs; node 0 stands for the clients.

pub mod balancer;
pub mod grudge;
pub mod links;
pub mod netns;
pub mod proxy;

use std::sync::Arc;

use links::{Links, Pair, Trouble};
use netns::Namespaces;

/// How nodes reach each other.
pub enum Net {
    Proxy(Arc<Links>),
    Netns(Namespaces),
}

impl Net {
    /// Makes these pairs as given; a pair may already be in other trouble, which this replaces.
    pub async fn trouble(&self, pairs: &[(Pair, Trouble)]) -> anyhow::Result<()> {
        match self {
            Self::Proxy(links) => {
                links.set(pairs);
                Ok(())
            }
            Self::Netns(namespaces) => namespaces.trouble(pairs).await,
        }
    }

    /// Takes all trouble away from these pairs.
    pub async fn heal(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        match self {
            Self::Proxy(links) => {
                links.heal(pairs);
                Ok(())
            }
            Self::Netns(namespaces) => namespaces.heal(pairs).await,
        }
    }
}
