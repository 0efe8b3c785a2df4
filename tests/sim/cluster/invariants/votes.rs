//! A vote that was told of is never taken back, not even over a crash.

use std::collections::BTreeMap;

use sim::{require, Checked};

use crate::storage::Vote;

const NAME: &str = "votes";

#[derive(Debug, Default)]
pub struct Votes(BTreeMap<(u64, u32), (u64, u64, bool)>);

fn order(vote: Vote) -> (u64, u64, bool) {
    (vote.term, vote.node, vote.committed)
}

impl Votes {
    pub fn told(&mut self, node: u64, shard: u32, vote: Vote) -> Checked {
        let before = self.0.insert((node, shard), order(vote));
        require(before.is_none_or(|before| before <= order(vote)), NAME, || {
            format!("n{node} shard {shard}: {vote:?} after {before:?}")
        })
    }

    pub fn reopened(&mut self, node: u64, shard: u32, vote: Option<Vote>) -> Checked {
        let told = self.0.get(&(node, shard)).copied();
        require(told <= vote.map(order), NAME, || format!("n{node} shard {shard}: {vote:?} is left of {told:?}"))
    }
}
