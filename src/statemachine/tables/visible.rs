//! Visibility: what lists and counts read, in the order lists show it: open runs by start time, newest first, then
//! closed ones by close time, newest first. Key [0xFFFF][table][namespace id 16][closed u8][!time ns u64][slot u16]
//! [run 16]; value `state::Visible`.

use prost::Message;

use super::{id_bytes, prefix_end, KeyReader, KeyWriter, RunKey, Table};
use crate::slot::SHARD_WIDE;
use crate::{state, Fault, Kv, Txn};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisibleKey {
    pub namespace: [u8; 16],
    pub closed: bool,
    /// Start time of an open run, close time of a closed one.
    pub time: i64,
    pub run: RunKey,
}

impl VisibleKey {
    fn namespace_prefix(namespace_id: &str) -> Vec<u8> {
        KeyWriter::new(SHARD_WIDE, Table::Visible).raw(&id_bytes(namespace_id).unwrap_or_default()).done()
    }

    pub fn encode(&self) -> Vec<u8> {
        KeyWriter::new(SHARD_WIDE, Table::Visible)
            .raw(&self.namespace)
            .u8(u8::from(self.closed))
            .u64(!(self.time.max(0) as u64))
            .u16(self.run.slot)
            .raw(&self.run.run)
            .done()
    }

    pub fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = KeyReader::new(key)?;
        let namespace = reader.id()?;
        let closed = reader.u8()? != 0;
        let time = !reader.u64()? as i64;
        Ok(Self { namespace, closed, time, run: RunKey { slot: reader.u16()?, run: reader.id()? } })
    }

    pub fn put(&self, txn: &mut Txn<'_>, row: &state::Visible) {
        txn.put(self.encode(), row.encode_to_vec());
    }

    pub fn delete(&self, txn: &mut Txn<'_>) {
        txn.delete(self.encode());
    }

    /// Visits the rows of a namespace in list order, after the encoded key `after` if given. The value is an encoded
    /// `state::Visible`, left to the visitor to decode.
    pub fn scan(
        kv: &dyn Kv,
        namespace_id: &str,
        after: Option<&[u8]>,
        visit: &mut crate::kv::Visit<'_>,
    ) -> Result<(), Fault> {
        let prefix = Self::namespace_prefix(namespace_id);
        let from = after.map_or_else(
            || prefix.clone(),
            |after| {
                let mut from = after.to_vec();
                from.push(0);
                from
            },
        );
        kv.scan(&from, &prefix_end(&prefix), visit)
    }
}
