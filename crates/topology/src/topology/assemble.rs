//! How a raw description becomes a [`Topology`]: a pure function, the same for every backend.
//!
//! CPUs belong together when they name the *same* set, so contradictory input still gives groups
//! that cover all CPUs and do not overlap. From the core upwards whole cores are grouped: a core's
//! lowest CPU speaks for it.

use super::{Cache, Core, Domain, NumaNode, Package, Topology};
use crate::cpu_set::CpuSet;
use crate::detect::{CpuFacts, Description};
use crate::domain::{self, Place};

impl Topology {
    /// Builds the topology of `description`.
    ///
    /// # Panics
    ///
    /// When `allowed` is empty or holds a CPU that `description` does not.
    pub(crate) fn assemble(description: &Description, allowed: CpuSet) -> Topology {
        let cpus: CpuSet = description.cpus.keys().copied().collect();
        assert!(!allowed.is_empty(), "a topology needs an allowed CPU");
        assert!(allowed.is_subset(&cpus), "allowed CPUs are online");

        let (sets, facts) = core_sets(description);
        let places = places(description, &sets, &facts);
        let caches = last_level_caches(&sets, &facts, &places);
        let domains = domain::group_cores(&places)
            .into_iter()
            .map(|members| describe_domain(members, &sets, &places, &caches))
            .collect::<Vec<Domain>>();
        let mut cores: Vec<Core> = (0..sets.len())
            .map(|core| Core {
                cpus: sets[core].clone(),
                package: places[core].package,
                numa_node: places[core].numa_node,
                domain: 0,
                last_level_cache: places[core].cache.map(|cache| cache.index),
                speed: facts[core].speed,
            })
            .collect();
        for (index, domain) in domains.iter().enumerate() {
            for &core in &domain.cores {
                cores[core].domain = index;
            }
        }
        let packages = unions(&sets, |core| Some(places[core].package));
        Topology {
            packages: packages.into_iter().map(|cpus| Package { cpus }).collect(),
            numa_nodes: numa_nodes(description, &sets, &places),
            last_level_caches: caches,
            domains,
            cores,
            cpus,
            allowed,
        }
    }
}

/// Returns the CPUs of each core, and the facts of its lowest CPU; a CPU that names no siblings is
/// a core of its own.
fn core_sets(description: &Description) -> (Vec<CpuSet>, Vec<&CpuFacts>) {
    let named = description.cpus.iter().map(|(&cpu, facts)| facts.core.clone().ok_or(cpu));
    let mut sets: Vec<CpuSet> = Vec::new();
    let mut leads = Vec::new();
    for ((&cpu, facts), core) in description.cpus.iter().zip(partition(named)) {
        if core == sets.len() {
            sets.push(CpuSet::new());
            leads.push(facts);
        }
        sets[core].insert(cpu);
    }
    (sets, leads)
}

fn places(description: &Description, sets: &[CpuSet], facts: &[&CpuFacts]) -> Vec<Place> {
    let packages = partition(facts.iter().map(|facts| &facts.package));
    let dies = partition(facts.iter().map(|facts| &facts.die));
    let nodes = partition(sets.iter().map(|set| os_node(description, set)));
    let cached = facts.iter().filter_map(|facts| facts.cache.as_ref());
    let mut caches = partition(cached.map(|cache| (cache.level, &cache.cpus))).into_iter();
    (0..sets.len())
        .map(|core| Place {
            cache: facts[core].cache.as_ref().and_then(|cache| {
                Some(domain::CachePlace { index: caches.next()?, level: cache.level })
            }),
            die: dies[core],
            package: packages[core],
            numa_node: nodes[core],
        })
        .collect()
}

fn last_level_caches(sets: &[CpuSet], facts: &[&CpuFacts], places: &[Place]) -> Vec<Cache> {
    let unions = unions(sets, |core| places[core].cache.map(|cache| cache.index));
    let describe = |(index, cpus)| {
        let core = places.iter().position(|place| place.cache.is_some_and(|c| c.index == index));
        let cache = core.and_then(|core| facts[core].cache.as_ref());
        Cache {
            cpus,
            level: cache.map_or(0, |cache| cache.level),
            bytes: cache.and_then(|cache| cache.bytes),
        }
    };
    unions.into_iter().enumerate().map(describe).collect()
}

fn describe_domain(
    members: Vec<usize>,
    sets: &[CpuSet],
    places: &[Place],
    caches: &[Cache],
) -> Domain {
    let cache = common(&members, |core| places[core].cache).flatten();
    Domain {
        cpus: members.iter().flat_map(|&core| &sets[core]).collect(),
        package: common(&members, |core| places[core].package),
        numa_node: common(&members, |core| places[core].numa_node),
        cache_bytes: cache.and_then(|cache| caches[cache.index].bytes),
        cores: members,
    }
}

fn numa_nodes(description: &Description, sets: &[CpuSet], places: &[Place]) -> Vec<NumaNode> {
    let unions = unions(sets, |core| Some(places[core].numa_node));
    let named: Vec<Option<usize>> = unions.iter().map(|cpus| os_node(description, cpus)).collect();
    let distances = |from: Option<usize>| -> Vec<u32> {
        let row = from.map(|node| &description.nodes[node].distances);
        let cell = |to: &Option<usize>| row?.get((*to)?).copied();
        named.iter().map(cell).collect::<Option<Vec<u32>>>().unwrap_or_default()
    };
    let describe = |(cpus, &node): (CpuSet, &Option<usize>)| NumaNode {
        cpus,
        os_id: node.map(|node| description.nodes[node].os_id),
        distances: distances(node),
    };
    unions.into_iter().zip(&named).map(describe).collect()
}

/// Returns which of the description's nodes holds the lowest CPU of `cpus`.
fn os_node(description: &Description, cpus: &CpuSet) -> Option<usize> {
    let lead = cpus.first()?;
    description.nodes.iter().position(|node| node.cpus.contains(lead))
}

/// Returns the group of each item, where items with equal keys are one group and groups are
/// numbered from 0 as they appear.
fn partition<K: PartialEq>(keys: impl Iterator<Item = K>) -> Vec<usize> {
    let mut seen: Vec<K> = Vec::new();
    keys.map(|key| {
        seen.iter().position(|other| *other == key).unwrap_or_else(|| {
            seen.push(key);
            seen.len() - 1
        })
    })
    .collect()
}

/// Returns the CPUs of each group of cores.
fn unions(sets: &[CpuSet], group_of: impl Fn(usize) -> Option<usize>) -> Vec<CpuSet> {
    let mut unions = Vec::new();
    for (core, set) in sets.iter().enumerate() {
        let Some(group) = group_of(core) else { continue };
        if group == unions.len() {
            unions.push(CpuSet::new());
        }
        unions[group].extend(set);
    }
    unions
}

/// Returns the value that all members have in common.
fn common<T: PartialEq>(members: &[usize], value: impl Fn(usize) -> T) -> Option<T> {
    let mut values = members.iter().map(|&core| value(core));
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}
