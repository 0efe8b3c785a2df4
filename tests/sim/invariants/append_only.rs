//! A batch of history that was there stays as it was.

use statemachine::tables::RunKey;

use crate::digest::Digest;
use crate::ledger::Ledger;
use crate::view::RunRows;
use crate::{require, Checked};

pub fn check(shard: usize, key: RunKey, rows: &RunRows<'_>, ledger: &mut Ledger) -> Checked {
    let seen = ledger.batches.entry((shard, key)).or_default();
    for (first, hash) in seen.iter() {
        let found = rows.batches.iter().find(|(at, _)| at == first).map(|(_, bytes)| Digest::of(bytes));
        require(found == Some(*hash), "append_only", || format!("batch {first} of {key:?} changed or went"))?;
    }
    *seen = rows.batches.iter().map(|(first, bytes)| (*first, Digest::of(bytes))).collect();
    Ok(())
}
