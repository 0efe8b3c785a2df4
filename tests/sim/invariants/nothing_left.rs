//! After the last run's retention nothing is left of any workflow but what the shard itself remembers.

use statemachine::tables::Table;

use crate::{require, Checked, World};

pub fn check(world: &World) -> Checked {
    let own =
        [Table::ShardTime, Table::Outbox, Table::Inbox, Table::NamespaceHere, Table::QueueConfig].map(|t| t as u8);
    for shard in &world.shards {
        let left = shard.kv.rows.iter().find(|(key, _)| !(key[..2] == [0xff, 0xff] && own.contains(&key[2])));
        require(left.is_none(), "nothing_left", || format!("{left:?}"))?;
        let messages = shard.kv.rows.keys().filter(|key| key[2] == Table::Outbox as u8 && key.len() > 3).count();
        require(messages == 0, "nothing_left", || format!("{messages} messages"))?;
    }
    Ok(())
}
