//! The rule by which cores form domains: a pure function of where each core sits.
//!
//! A domain is a last-level cache within one NUMA node. An L3 counts from two cores on, since one
//! that is private to a core tells nothing of neighbours; an L2 from three on, since clusters of
//! Apple and ARM cores are domains, but the pairs of Core 2 and of Knights Landing tiles are too
//! small to be. Cores that get no domain this way climb: die, package within the node, node,
//! machine, until they find company. A climbing core joins only others that climb, so domains
//! never overlap; the last stage takes whoever is left, also a single core.

const L3_CORES_MIN: usize = 2;
const L2_CORES_MIN: usize = 3;
const CLIMB_CORES_MIN: usize = 2;

/// Tells where a core sits. Each number is the index of a group told apart by its CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cache: Option<CachePlace>,
    pub(crate) die: usize,
    pub(crate) package: usize,
    pub(crate) numa_node: usize,
}

/// Tells which last-level cache a core has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachePlace {
    pub(crate) index: usize,
    pub(crate) level: u32,
}

/// A stage of the climb: the cell that a core is in, and how many cores make the cell a domain.
type Stage = fn(&Place) -> Option<(Cell, usize)>;
type Cell = [usize; 3];

const STAGES: [Stage; 5] = [
    cache_cell,
    |place| Some(([place.die, place.package, place.numa_node], CLIMB_CORES_MIN)),
    |place| Some(([place.package, place.numa_node, 0], CLIMB_CORES_MIN)),
    |place| Some(([place.numa_node, 0, 0], CLIMB_CORES_MIN)),
    |_machine| Some(([0; 3], 1)),
];

/// Groups cores into domains: each core is in exactly one, members ascend, and domains are sorted
/// by their first core.
pub(crate) fn group_cores(places: &[Place]) -> Vec<Vec<usize>> {
    let mut domains = Vec::new();
    let mut left: Vec<usize> = (0..places.len()).collect();
    for stage in STAGES {
        let mut cells: Vec<(Cell, usize, Vec<usize>)> = Vec::new();
        for &core in &left {
            let Some((cell, cores_min)) = stage(&places[core]) else { continue };
            match cells.iter_mut().find(|(other, ..)| *other == cell) {
                Some((_, _, members)) => members.push(core),
                None => cells.push((cell, cores_min, vec![core])),
            }
        }
        let formed = cells.into_iter().filter(|(_, cores_min, cores)| cores.len() >= *cores_min);
        let formed: Vec<Vec<usize>> = formed.map(|(_, _, cores)| cores).collect();
        left.retain(|core| !formed.iter().any(|cores| cores.contains(core)));
        domains.extend(formed);
    }
    domains.sort_by_key(|cores| cores.first().copied());
    domains
}

fn cache_cell(place: &Place) -> Option<(Cell, usize)> {
    let cache = place.cache?;
    let cores_min = match cache.level {
        0 | 1 => return None,
        2 => L2_CORES_MIN,
        _ => L3_CORES_MIN,
    };
    Some(([cache.index, place.numa_node, 0], cores_min))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core whose die is its package and whose package is its node.
    fn core(cache: Option<(usize, u32)>, package: usize) -> Place {
        let cache = cache.map(|(index, level)| CachePlace { index, level });
        Place { cache, die: package, package, numa_node: package }
    }

    #[test]
    fn an_l3_counts_from_two_cores() {
        let places = [core(Some((0, 3)), 0), core(Some((1, 3)), 0)];
        assert_eq!(group_cores(&places), [[0, 1]], "private ones climb to the package");
        let places = [0, 1, 0, 1].map(|cache| core(Some((cache, 3)), 0));
        assert_eq!(group_cores(&places), [[0, 2], [1, 3]]);
    }

    #[test]
    fn an_l2_counts_from_three_cores() {
        let places = [0, 0, 1, 1].map(|cache| core(Some((cache, 2)), 0));
        assert_eq!(group_cores(&places), [[0, 1, 2, 3]], "pairs climb to the package");
        let places = [0, 0, 0, 1, 1, 1].map(|cache| core(Some((cache, 2)), 0));
        assert_eq!(group_cores(&places), [[0, 1, 2], [3, 4, 5]]);
    }

    #[test]
    fn a_cache_that_spans_numa_nodes_is_cut() {
        let cache = Some(CachePlace { index: 0, level: 3 });
        let places = [0, 1, 0, 1].map(|numa_node| Place { cache, numa_node, ..Place::default() });
        assert_eq!(group_cores(&places), [[0, 2], [1, 3]]);
    }

    #[test]
    fn a_climbing_core_joins_only_others_that_climb() {
        let mut places = [core(Some((0, 3)), 0); 5];
        places[2] = core(Some((1, 2)), 0);
        places[4] = core(None, 0);
        assert_eq!(group_cores(&places), [vec![0, 1, 3], vec![2, 4]]);
        places[4] = places[0];
        assert_eq!(group_cores(&places), [vec![0, 1, 3, 4], vec![2]]);
    }

    #[test]
    fn cores_climb_only_as_far_as_they_must() {
        let die = |die, package| Place { die, package, numa_node: package, ..Place::default() };
        let places = [die(0, 0), die(0, 0), die(1, 0), die(2, 0), die(3, 1), die(4, 2)];
        assert_eq!(group_cores(&places), [[0, 1], [2, 3], [4, 5]]);
    }

    #[test]
    fn a_first_level_cache_is_no_domain() {
        let places = [0, 0, 1, 1].map(|cache| core(Some((cache, 1)), 0));
        assert_eq!(group_cores(&places), [[0, 1, 2, 3]]);
    }

    #[test]
    fn the_domains_are_a_partition_whatever_the_places() {
        assert!(group_cores(&[]).is_empty());
        for seed in 0..500_usize {
            let places: Vec<Place> = (0..seed % 17)
                .map(|core| {
                    let mix = |salt: usize| (seed * 31 + core * 17 + salt).wrapping_mul(2654435761);
                    let pick = |salt, limit| (mix(salt) >> 7) % limit;
                    let cache = CachePlace { index: pick(1, 4), level: pick(2, 5) as u32 };
                    Place {
                        cache: (pick(3, 3) > 0).then_some(cache),
                        die: pick(4, 3),
                        package: pick(5, 2),
                        numa_node: pick(6, 3),
                    }
                })
                .collect();
            let mut cores = group_cores(&places).concat();
            cores.sort_unstable();
            assert!(cores.into_iter().eq(0..places.len()), "seed {seed}");
        }
    }
}
