//! Shapes of partitions as sets of directed pairs.

use super::links::Pair;

/// Both directions between the two sides.
pub fn apart(left: &[u64], right: &[u64]) -> Vec<Pair> {
    left.iter().flat_map(|&a| right.iter().flat_map(move |&b| [(a, b), (b, a)])).collect()
}

/// One node alone.
pub fn isolate(node: u64, nodes: &[u64]) -> Vec<Pair> {
    let others: Vec<u64> = nodes.iter().copied().filter(|&other| other != node).collect();
    apart(&[node], &others)
}

/// Two sides; the larger one keeps a majority.
pub fn halves(nodes: &[u64]) -> Vec<Pair> {
    let (left, right) = nodes.split_at(nodes.len() / 2);
    apart(left, right)
}

/// Two sides that both reach one node in the middle.
pub fn bridge(nodes: &[u64]) -> Vec<Pair> {
    let middle = nodes.len() / 2;
    apart(&nodes[..middle], &nodes[middle + 1..])
}

/// Every node reaches only its two neighbours; with three nodes one pair is cut, which is a bridge.
pub fn ring(nodes: &[u64]) -> Vec<Pair> {
    let count = nodes.len();
    if count <= 3 {
        return bridge(nodes);
    }
    let far = |a: usize, b: usize| {
        let distance = a.abs_diff(b).min(count - a.abs_diff(b));
        distance > 1
    };
    let all = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    all.filter(|&(a, b)| a != b && far(a, b)).map(|(a, b)| (nodes[a], nodes[b])).collect()
}

/// The node is heard by nobody, but hears the others.
pub fn mute(node: u64, nodes: &[u64]) -> Vec<Pair> {
    nodes.iter().filter(|&&other| other != node).map(|&other| (node, other)).collect()
}

/// The node hears nobody, but is heard.
pub fn deaf(node: u64, nodes: &[u64]) -> Vec<Pair> {
    nodes.iter().filter(|&&other| other != node).map(|&other| (other, node)).collect()
}

/// Every pair, both ways.
pub fn all_pairs(nodes: &[u64]) -> Vec<Pair> {
    nodes.iter().flat_map(|&a| nodes.iter().filter(move |&&b| a != b).map(move |&b| (a, b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: [u64; 5] = [1, 2, 3, 4, 5];

    #[test]
    fn shapes() {
        assert_eq!(isolate(2, &[1, 2, 3]), [(2, 1), (1, 2), (2, 3), (3, 2)]);
        assert_eq!(mute(2, &[1, 2, 3]), [(2, 1), (2, 3)]);
        assert_eq!(deaf(2, &[1, 2, 3]), [(1, 2), (3, 2)]);
        assert_eq!(halves(&FIVE).len(), 2 * 2 * 3);
        let cut = bridge(&FIVE);
        assert!(cut.iter().all(|&(a, b)| a != 3 && b != 3), "node 3 reaches everybody");
        assert_eq!(cut.len(), 8);
        let cut = ring(&FIVE);
        assert_eq!(cut.len(), 10);
        assert!(!cut.contains(&(1, 5)) && !cut.contains(&(1, 2)) && cut.contains(&(1, 3)));
        assert_eq!(all_pairs(&[1, 2, 3]).len(), 6);
    }

    #[test]
    fn every_shape_is_symmetric_but_the_one_way_ones() {
        for cut in [isolate(1, &FIVE), halves(&FIVE), bridge(&FIVE), ring(&FIVE)] {
            assert!(cut.iter().all(|&(a, b)| cut.contains(&(b, a))));
        }
    }
}
