//! One leader at a time: with openraft's leader ids, (term, node), a term may see a second leader, but only a greater one.

use std::collections::BTreeMap;

use sim::{require, Checked};

const NAME: &str = "leaders";

/// By shard and term: the node that was leader last.
#[derive(Debug, Default)]
pub struct Leaders(BTreeMap<(u32, u64), u64>);

impl Leaders {
    pub fn announced(&mut self, node: u64, shard: u32, term: u64) -> Checked {
        let before = self.0.insert((shard, term), node);
        require(before.is_none_or(|before| before <= node), NAME, || {
            format!("shard {shard} term {term}: n{node} leads after n{}", before.unwrap_or_default())
        })
    }
}
