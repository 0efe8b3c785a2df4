//! The same proposal twice in a row is answered alike and writes nothing the second time, but that it was seen.

use std::rc::Rc;

use prost::Message;
use statemachine::op::{op::Kind, Proposal};
use statemachine::state::Run;
use statemachine::tables::Table;
use statemachine::{MemoryKv, Outcome};

use crate::shard::Writes;
use crate::{require, Checked, World};

const NAME: &str = "doubled";

/// Commits the proposal once more.
pub fn check(world: &mut World, shard: usize, proposal: &Proposal, first: &Outcome) -> Checked {
    let kind = proposal.op.as_ref().and_then(|op| op.kind.as_ref());
    if matches!(kind, Some(Kind::Tick(_))) {
        return Ok(()); // The next rows that are due are others.
    }
    let mut again = proposal.clone();
    again.reservations.clear();
    let (second, writes) = world.shards[shard].apply(&again)?;
    let mut expected = first.answer.clone();
    expected.reserved.clear();
    // All but the last are the leader's own: nobody hears the answer. What is deleted cannot be found again.
    let is_unheard = matches!(
        kind,
        Some(Kind::UnqueueTask(_) | Kind::ReturnTask(_) | Kind::ChangeRetention(_) | Kind::DeleteWorkflow(_))
    );
    require(is_unheard || second.answer == expected, NAME, || {
        format!("{again:?} was answered {:?}, and then {:?}", expected, second.answer)
    })?;
    let changed = changes(&world.shards[shard].kv, &writes);
    require(changed.is_empty(), NAME, || format!("the second time {again:?} wrote {changed:?}"))?;
    world.commit(shard, Rc::new(again))?;
    Ok(())
}

/// The keys whose rows a write changes, but for the memory of calls and the count of writes.
pub fn changes(kv: &MemoryKv, writes: &Writes) -> Vec<Vec<u8>> {
    let is_change = |(key, value): &(&Vec<u8>, &Option<Vec<u8>>)| {
        let before = kv.rows.get(*key);
        before != value.as_ref() && !only_bookkeeping(key, before, value.as_ref())
    };
    writes.iter().filter(is_change).map(|(key, _)| key.clone()).collect()
}

fn only_bookkeeping(key: &[u8], before: Option<&Vec<u8>>, after: Option<&Vec<u8>>) -> bool {
    let table = key.get(2).copied();
    if table == Some(Table::ShardTime as u8) {
        return true;
    }
    let (true, Some(before), Some(after)) = (table == Some(Table::Run as u8), before, after) else { return false };
    let plain = |bytes: &Vec<u8>| {
        let row = Run::decode(bytes.as_slice()).unwrap_or_default();
        Run { recent_ops: Vec::new(), state_transitions: 0, ..row }
    };
    plain(before) == plain(after)
}
