//! Which of the fixed hash buckets a workflow belongs to.

/// Slots of a cluster; fixed for ever.
pub const SLOTS: u16 = 4096;

/// First part of the keys of rows that are ordered over a whole shard, not within a slot.
pub const SHARD_WIDE: u16 = u16::MAX;

/// The slot of a workflow id: FNV-1a over namespace id, a zero byte and the id, folded. Frozen by a test.
pub fn slot_of(namespace_id: &str, workflow_id: &str) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in namespace_id.bytes().chain([0]).chain(workflow_id.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let folded = hash ^ (hash >> 32);
    let mixed = folded ^ (folded >> 12) ^ (folded >> 24);
    (mixed & u64::from(SLOTS - 1)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_an_id_never_changes() {
        let seen = ["a", "order-1", "order-2", "ünï"].map(|id| slot_of("ns", id));
        assert_eq!(seen, SEEN);
    }

    #[test]
    fn ids_spread_over_the_slots() {
        let mut hit = vec![0u32; usize::from(SLOTS)];
        for n in 0..SLOTS as u32 * 16 {
            hit[usize::from(slot_of("32049b68-7872-4094-8e63-d0dd59896a83", &format!("order-{n}")))] += 1;
        }
        assert!(hit.iter().all(|&n| n > 0 && n < 64), "min {:?} max {:?}", hit.iter().min(), hit.iter().max());
    }

    const SEEN: [u16; 4] = [4095, 401, 1976, 1217];
}
