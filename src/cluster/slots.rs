//! Which shard owns a slot.

use statemachine::{slot_of, state, SLOTS};

/// The shard of each slot. Ranges come from the system shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMap {
    shards: Vec<u32>,
}

impl SlotMap {
    /// `None` if a slot has no owner.
    pub fn from_ranges(ranges: &[state::SlotRange]) -> Option<Self> {
        let mut shards = vec![0; usize::from(SLOTS)];
        for range in ranges {
            let slots = shards.get_mut(range.first_slot as usize..=range.last_slot as usize)?;
            slots.fill(range.shard);
        }
        shards.iter().all(|&shard| shard > 0).then_some(Self { shards })
    }

    /// Slots in equal ranges over the data shards 1..=`data_shards`.
    pub fn even_ranges(data_shards: u32) -> Vec<state::SlotRange> {
        let slots = u32::from(SLOTS);
        let first = |shard: u32| (shard - 1) * slots / data_shards;
        (1..=data_shards)
            .map(|shard| state::SlotRange { first_slot: first(shard), last_slot: first(shard + 1) - 1, shard })
            .collect()
    }

    pub fn shard_of(&self, namespace_id: &str, workflow_id: &str) -> u32 {
        self.shards[usize::from(slot_of(namespace_id, workflow_id))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_ranges_cover_every_slot_once() {
        for data_shards in [1, 2, 3, 5, 16, 64] {
            let ranges = SlotMap::even_ranges(data_shards);
            let covered: u32 = ranges.iter().map(|range| range.last_slot - range.first_slot + 1).sum();
            assert_eq!(covered, u32::from(SLOTS));
            let map = SlotMap::from_ranges(&ranges).expect("no slot is without an owner");
            let least = u32::from(SLOTS) / data_shards;
            for shard in 1..=data_shards {
                let owned = map.shards.iter().filter(|&&owner| owner == shard).count() as u32;
                assert!((least..=least + 1).contains(&owned), "shard {shard} of {data_shards} owns {owned}");
            }
        }
    }

    #[test]
    fn a_hole_or_a_slot_out_of_range_makes_no_map() {
        let mut ranges = SlotMap::even_ranges(3);
        ranges.remove(1);
        assert_eq!(SlotMap::from_ranges(&ranges), None);
        let beyond = state::SlotRange { first_slot: 0, last_slot: u32::from(SLOTS), shard: 1 };
        assert_eq!(SlotMap::from_ranges(&[beyond]), None);
    }
}
