//! What an op decides with: the transaction, the time, a source of ids and the limits in force.

use crate::limits::Limits;
use crate::time::MILLISECOND;
use crate::{op, QueueKey, Txn};

/// One proposal being applied.
pub struct Context<'a, 'b> {
    pub txn: &'a mut Txn<'b>,
    /// Nanoseconds since the epoch; never earlier than any op applied before on this shard.
    pub now: i64,
    pub limits: Limits,
    /// Names the call, over all its tries.
    pub op_id: Vec<u8>,
    /// Parked pollers that tasks made ready by this op may be given to.
    pub reservations: Vec<op::Reservation>,
    pub reserved: Vec<op::ReservationAnswer>,
    ids: Ids,
}

impl<'a, 'b> Context<'a, 'b> {
    pub fn new(txn: &'a mut Txn<'b>, now: i64, proposal: &op::Proposal) -> Self {
        let seed = proposal.stamp.as_ref().map(|stamp| stamp.seed.as_ref()).unwrap_or_default();
        Self {
            txn,
            now,
            limits: Limits::from_proposal(proposal.limits.as_ref()),
            op_id: proposal.op_id.to_vec(),
            reservations: proposal.reservations.clone(),
            reserved: Vec::new(),
            ids: Ids::new(seed),
        }
    }

    /// Takes out a parked poller of this queue, if the proposal brought one.
    pub fn take_reservation(&mut self, queue: &QueueKey) -> Option<op::Reservation> {
        let at = self.reservations.iter().position(|held| {
            held.task_type == queue.task_type as i32
                && held.queue == queue.name
                && held.namespace_id == queue.namespace_id
        })?;
        Some(self.reservations.remove(at))
    }

    /// A new id in the form of a UUID of version 7, which begins with the time; the same on every replica.
    pub fn new_id(&mut self) -> String {
        let mut bytes = self.ids.next();
        let milliseconds = (self.now / MILLISECOND).max(0) as u64;
        bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
        bytes[6] = (bytes[6] & 0x0f) | 0x70;
        crate::tables::id_text(&bytes)
    }

    /// An id of the call: the same for each of its tries.
    pub fn call_id(&self) -> String {
        crate::tables::id_text(&Ids::new(&self.op_id).next())
    }

    /// A number in [0, bound) from the stamp's seed, for jitter.
    pub fn jitter(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.ids.number() % bound
    }
}

/// Ids from a seed: splitmix64 over its halves.
struct Ids {
    a: u64,
    b: u64,
}

impl Ids {
    fn new(seed: &[u8]) -> Self {
        let mut bytes = [0u8; 16];
        let n = seed.len().min(16);
        bytes[..n].copy_from_slice(&seed[..n]);
        let (a, b) = bytes.split_at(8);
        let word = |half: &[u8]| half.iter().fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
        Self { a: word(a), b: word(b) }
    }

    fn number(&mut self) -> u64 {
        self.a = self.a.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.a ^ self.b.rotate_left(17))
    }

    /// The bytes of a random UUID (version 4).
    fn next(&mut self) -> [u8; 16] {
        let high = self.number();
        let low = mix(self.b ^ high);
        self.b = self.b.wrapping_add(0xd1b5_4a32_d192_ed03);
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        bytes
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
