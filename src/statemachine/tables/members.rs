//! Tables of the system shard about nodes and the places of replicas. Key layouts after [0xFFFF][table]:
//!
//! | table     | key         | value            |
//! |-----------|-------------|------------------|
//! | Member    | node id u64 | state::Member    |
//! | Placement | shard u32   | state::Placement |

use prost::Message;

use super::rows::{read, read_all};
use super::{KeyWriter, Table};
use crate::slot::SHARD_WIDE;
use crate::{state, Fault, Kv, Txn};

fn key(table: Table) -> KeyWriter {
    KeyWriter::new(SHARD_WIDE, table)
}

pub fn member(kv: &dyn Kv, node_id: u64) -> Result<Option<state::Member>, Fault> {
    read(kv, "member row", &key(Table::Member).u64(node_id).done())
}

/// By node id, those removed included.
pub fn members(kv: &dyn Kv) -> Result<Vec<state::Member>, Fault> {
    read_all(kv, "member row", &key(Table::Member).done(), usize::MAX)
}

pub fn put_member(txn: &mut Txn<'_>, row: &state::Member) {
    txn.put(key(Table::Member).u64(row.node_id).done(), row.encode_to_vec());
}

pub fn placement(kv: &dyn Kv, shard: u32) -> Result<Option<state::Placement>, Fault> {
    read(kv, "placement row", &key(Table::Placement).raw(&shard.to_be_bytes()).done())
}

/// By shard.
pub fn placements(kv: &dyn Kv) -> Result<Vec<state::Placement>, Fault> {
    read_all(kv, "placement row", &key(Table::Placement).done(), usize::MAX)
}

pub fn put_placement(txn: &mut Txn<'_>, row: &state::Placement) {
    txn.put(key(Table::Placement).raw(&row.shard.to_be_bytes()).done(), row.encode_to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryKv;

    #[test]
    fn bytes_are_for_ever() {
        let mut kv = MemoryKv::default();
        let base = kv.clone();
        let mut txn = Txn::new(&base);
        put_member(&mut txn, &state::Member { node_id: 4, draining: true, ..Default::default() });
        put_placement(&mut txn, &state::Placement { shard: 2, voters: vec![1, 4], version: 3, ..Default::default() });
        let writes: Vec<_> = txn.into_writes().into_iter().collect();
        let expected: [(Vec<u8>, Option<Vec<u8>>); 2] = [
            (vec![0xff, 0xff, 34, 0, 0, 0, 0, 0, 0, 0, 4], Some(vec![8, 4, 32, 1])),
            (vec![0xff, 0xff, 35, 0, 0, 0, 2], Some(vec![8, 2, 18, 2, 1, 4, 24, 3])),
        ];
        assert_eq!(writes, expected);
        kv.write(writes);
        assert_eq!(members(&kv).expect("readable").len(), 1);
        assert_eq!(placement(&kv, 2).expect("readable").map(|row| row.version), Some(3));
        assert_eq!(placement(&kv, 1).expect("readable"), None);
    }
}
