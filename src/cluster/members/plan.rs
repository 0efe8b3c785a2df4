//! Who should vote where: a pure function, the same for the same picture, and at rest when nothing has to change.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::SYSTEM_SHARD;

/// Voters of a data shard, and of the system shard in a small cluster.
const VOTERS: usize = 3;
/// From so many nodes on the system shard has `SYSTEM_VOTERS`: all others depend on it.
const LARGE: usize = 5;
const SYSTEM_VOTERS: usize = 5;

/// What is known when places are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// Nodes that may have replicas.
    pub(super) staying: BTreeSet<u64>,
    /// Those of them that are up: only they get a vote they do not have.
    pub(super) able: BTreeSet<u64>,
    /// Who is to get the replicas of a node that leaves.
    pub(super) replaced_by: BTreeMap<u64, u64>,
    /// Voters now, by shard.
    pub(super) placed: BTreeMap<u32, BTreeSet<u64>>,
    /// To move replicas that do not lead, where there is a choice.
    pub(super) leaders: BTreeMap<u32, u64>,
}

/// Voters of every shard: those that stay, replacements, then the nodes with fewest; at last the load is evened out, by
/// at most one replica a shard.
pub(super) fn plan(picture: &Picture) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut planned = BTreeMap::new();
    let mut moved = BTreeSet::new();
    for (&shard, voters) in &picture.placed {
        let kept: BTreeSet<u64> = voters.intersection(&picture.staying).copied().collect();
        planned.insert(shard, kept);
    }
    for (&shard, before) in &picture.placed {
        let mut voters = planned.remove(&shard).unwrap_or_default();
        replace(picture, before, &mut voters);
        fill(picture, shard, &planned, &mut voters);
        if voters != *before {
            moved.insert(shard);
        }
        planned.insert(shard, voters);
    }
    even_out(picture, &mut planned, &mut moved);
    planned
}

fn wanted(picture: &Picture, shard: u32, voters: &BTreeSet<u64>) -> usize {
    let nodes = picture.staying.iter().filter(|node| picture.able.contains(node) || voters.contains(node)).count();
    let most = if shard == SYSTEM_SHARD && nodes >= LARGE { SYSTEM_VOTERS } else { VOTERS };
    most.min(nodes)
}

fn replace(picture: &Picture, before: &BTreeSet<u64>, voters: &mut BTreeSet<u64>) {
    for gone in before.difference(&picture.staying) {
        if let Some(by) = picture.replaced_by.get(gone).filter(|by| picture.staying.contains(by)) {
            voters.insert(*by);
        }
    }
}

/// Adds the least loaded nodes, or takes the most loaded ones away.
fn fill(picture: &Picture, shard: u32, others: &BTreeMap<u32, BTreeSet<u64>>, voters: &mut BTreeSet<u64>) {
    let wanted = wanted(picture, shard, voters);
    let load = load(picture, others);
    let of = |node: u64| if shard == SYSTEM_SHARD { 0 } else { load.get(&node).copied().unwrap_or_default() };
    while voters.len() < wanted {
        let open = picture.staying.difference(voters).copied().filter(|node| picture.able.contains(node));
        let Some(node) = open.min_by_key(|&node| (of(node), node)) else { return };
        voters.insert(node);
    }
    while voters.len() > wanted {
        let leads = |node: u64| picture.leaders.get(&shard) == Some(&node);
        let Some(node) = voters.iter().copied().max_by_key(|&node| (!leads(node), of(node), node)) else { return };
        voters.remove(&node);
    }
}

fn load(picture: &Picture, planned: &BTreeMap<u32, BTreeSet<u64>>) -> BTreeMap<u64, usize> {
    let mut load: BTreeMap<u64, usize> = picture.staying.iter().map(|&node| (node, 0)).collect();
    for voters in planned.iter().filter(|(&shard, _)| shard != SYSTEM_SHARD).map(|(_, voters)| voters) {
        for node in voters {
            *load.entry(*node).or_default() += 1;
        }
    }
    load
}

fn even_out(picture: &Picture, planned: &mut BTreeMap<u32, BTreeSet<u64>>, moved: &mut BTreeSet<u32>) {
    loop {
        let load = load(picture, planned);
        let most = load.iter().max_by_key(|&(&node, &count)| (count, std::cmp::Reverse(node)));
        let least = load.iter().filter(|(node, _)| picture.able.contains(node));
        let least = least.min_by_key(|&(&node, &count)| (count, node));
        let (Some((&from, &high)), Some((&to, &low))) = (most, least) else { return };
        if high < low + 2 {
            return;
        }
        let movable = planned.iter().filter(|(&shard, voters)| {
            shard != SYSTEM_SHARD && !moved.contains(&shard) && voters.contains(&from) && !voters.contains(&to)
        });
        let leads = |shard: u32| picture.leaders.get(&shard) == Some(&from);
        let Some(shard) = movable.map(|(&shard, _)| shard).min_by_key(|&shard| (leads(shard), shard)) else { return };
        let voters = planned.entry(shard).or_default();
        voters.remove(&from);
        voters.insert(to);
        moved.insert(shard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(staying: &[u64], placed: &[&[u64]]) -> Picture {
        let placed = (0..).zip(placed).map(|(shard, voters)| (shard, voters.iter().copied().collect()));
        let staying: BTreeSet<u64> = staying.iter().copied().collect();
        Picture { able: staying.clone(), staying, placed: placed.collect(), ..Picture::default() }
    }

    fn voters(planned: &BTreeMap<u32, BTreeSet<u64>>) -> Vec<Vec<u64>> {
        planned.values().map(|voters| voters.iter().copied().collect()).collect()
    }

    #[test]
    fn a_cluster_in_order_stays_as_it_is() {
        let all: &[u64] = &[1, 2, 3];
        assert_eq!(voters(&plan(&picture(all, &[all, all, all, all]))), vec![all; 4]);
    }

    #[test]
    fn a_new_node_gets_its_share_from_those_with_most() {
        let all: &[u64] = &[1, 2, 3];
        let mut before = picture(&[1, 2, 3, 4], &[all, all, all, all]);
        before.leaders = BTreeMap::from([(1, 1), (2, 2), (3, 3)]);
        // Node 1 gives a shard away that it does not lead, and so does node 2.
        assert_eq!(voters(&plan(&before)), [vec![1, 2, 3], vec![1, 3, 4], vec![2, 3, 4], vec![1, 2, 3]]);
    }

    #[test]
    fn a_replacement_gets_what_the_other_had() {
        let all: &[u64] = &[1, 2, 3];
        let mut before = picture(&[1, 2, 4], &[all, all, all, all]);
        before.replaced_by = BTreeMap::from([(3, 4)]);
        assert_eq!(voters(&plan(&before)), vec![vec![1, 2, 4]; 4]);
    }

    #[test]
    fn few_nodes_have_few_voters_and_many_have_a_larger_system_shard() {
        assert_eq!(voters(&plan(&picture(&[1, 2], &[&[1, 2, 3], &[1, 2, 3]]))), vec![vec![1, 2]; 2]);
        assert_eq!(voters(&plan(&picture(&[1], &[&[1, 2], &[1, 2]]))), vec![vec![1]; 2]);
        let five = plan(&picture(&[1, 2, 3, 4, 5], &[&[1, 2, 3], &[1, 2, 3, 4, 5]]));
        assert_eq!((five[&0].len(), five[&1].len()), (5, 3));
    }

    #[test]
    fn a_node_that_is_down_gets_no_vote_but_keeps_the_one_it_has() {
        let all: &[u64] = &[1, 2, 3];
        let mut now = picture(&[1, 2, 3, 4, 5], &[all, all, all]);
        now.able = BTreeSet::from([1, 2, 5]);
        let planned = plan(&now);
        assert_eq!(planned[&0], BTreeSet::from([1, 2, 3]), "of four that could vote, three are as good");
        assert!(planned.values().all(|voters| !voters.contains(&4)));
        assert!(planned[&1].contains(&5) || planned[&2].contains(&5), "{planned:?}");
    }

    /// From any state, a few rounds come to rest with as many voters as there can be, evenly spread.
    #[test]
    fn every_history_of_nodes_comes_to_rest_evenly() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let mut now = picture(&[1, 2, 3], &[[1, 2, 3].as_slice(); 7]);
            for node in 4..10 {
                if random(2) == 0 || now.staying.len() < 2 {
                    now.staying.insert(node);
                } else {
                    let gone = now.staying.iter().copied().nth(random(now.staying.len() as u64) as usize);
                    now.staying.remove(&gone.expect("there are some"));
                }
                now.able = now.staying.clone();
                for _ in 0..20 {
                    now.placed = plan(&now);
                }
                assert_eq!(plan(&now), now.placed);
                let load = load(&now, &now.placed);
                let (least, most) = (load.values().min().expect("some"), load.values().max().expect("some"));
                assert!(most - least <= 1, "{now:?}");
                let full = |(&shard, voters): (&u32, &BTreeSet<u64>)| voters.len() == wanted(&now, shard, voters);
                assert!(now.placed.iter().all(full), "{now:?}");
                assert!(now.placed.values().all(|voters| voters.is_subset(&now.staying)));
            }
        }
    }
}
