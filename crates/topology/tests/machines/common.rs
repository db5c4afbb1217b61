//! Machines made by code: sysfs files from a few facts.

use topology::{CpuSet, Topology};

/// Tells how a machine is built; every count is per next larger thing.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) packages: usize,
    /// Each domain has its own L3 and its own cores.
    pub(crate) domains_per_package: usize,
    pub(crate) nodes_per_package: usize,
    pub(crate) cores_per_domain: usize,
    pub(crate) threads_per_core: usize,
    pub(crate) numbering: Numbering,
    /// Extra cores of one thread in the last package, below its last L3.
    pub(crate) efficiency_cores: usize,
    pub(crate) with_caches: bool,
    pub(crate) offline: CpuSet,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Numbering {
    /// Siblings are neighbours: 0 and 1.
    Adjacent,
    /// Siblings follow all first threads: 0 and +N.
    Strided,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            packages: 1,
            domains_per_package: 2,
            nodes_per_package: 1,
            cores_per_domain: 8,
            threads_per_core: 2,
            numbering: Numbering::Strided,
            efficiency_cores: 0,
            with_caches: true,
            offline: CpuSet::new(),
        }
    }
}

struct Cpu {
    number: usize,
    core: usize,
    domain: usize,
    node: usize,
    package: usize,
    is_efficient: bool,
}

impl Machine {
    pub(crate) fn topology(&self, allowed: Option<&str>) -> Topology {
        let allowed: Option<CpuSet> = allowed.map(|list| list.parse().unwrap());
        Topology::from_files(self.files(), allowed.as_ref()).unwrap()
    }

    /// Returns the sysfs files, as a kernel with these CPUs offline prints them.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let cpus = self.cpus();
        let mut files = vec![("sys/devices/system/cpu/online".into(), list(&cpus, |_| true))];
        for cpu in &cpus {
            self.cpu_files(cpu, &cpus, &mut files);
        }
        for number in &self.offline {
            let path = format!("sys/devices/system/cpu/cpu{number}/online");
            files.push((path, "0\n".into()));
        }
        let nodes = self.packages * self.nodes_per_package;
        for node in 0..nodes {
            let base = format!("sys/devices/system/node/node{node}");
            files.push((format!("{base}/cpulist"), list(&cpus, |cpu| cpu.node == node)));
            let distance = |other: usize| match other {
                other if other == node => "10",
                other if other / self.nodes_per_package == node / self.nodes_per_package => "12",
                _ => "32",
            };
            let row: Vec<&str> = (0..nodes).map(distance).collect();
            files.push((format!("{base}/distance"), row.join(" ") + "\n"));
        }
        files
    }

    /// Returns the online CPUs.
    fn cpus(&self) -> Vec<Cpu> {
        let domains = self.packages * self.domains_per_package;
        let cores = domains * self.cores_per_domain;
        let big = cores * self.threads_per_core;
        let mut cpus = Vec::new();
        for thread in 0..self.threads_per_core {
            for core in 0..cores {
                let domain = core / self.cores_per_domain;
                let package = domain / self.domains_per_package;
                let number = match self.numbering {
                    Numbering::Adjacent => core * self.threads_per_core + thread,
                    Numbering::Strided => thread * cores + core,
                };
                let node = domain * self.packages * self.nodes_per_package / domains;
                cpus.push(Cpu { number, core, domain, node, package, is_efficient: false });
            }
        }
        cpus.extend((0..self.efficiency_cores).map(|extra| Cpu {
            number: big + extra,
            core: cores + extra,
            domain: domains - 1,
            node: self.packages * self.nodes_per_package - 1,
            package: self.packages - 1,
            is_efficient: true,
        }));
        cpus.retain(|cpu| !self.offline.contains(cpu.number));
        cpus
    }

    fn cpu_files(&self, cpu: &Cpu, cpus: &[Cpu], files: &mut Vec<(String, String)>) {
        let mut put = |name: &str, text: String| {
            let number = cpu.number;
            files.push((format!("sys/devices/system/cpu/cpu{number}/{name}"), text));
        };
        let package = list(cpus, |other| other.package == cpu.package);
        put("topology/core_cpus_list", list(cpus, |other| other.core == cpu.core));
        put("topology/package_cpus_list", package.clone());
        put("topology/die_cpus_list", package);
        // Numbers as unhelpful as firmware's: they repeat in every domain.
        put("topology/core_id", format!("{}\n", cpu.core % self.cores_per_domain));
        put("topology/physical_package_id", format!("{}\n", cpu.package));
        let base = if cpu.is_efficient { "1400000\n" } else { "1900000\n" };
        put("cpufreq/base_frequency", base.into());
        if !self.with_caches {
            return;
        }
        let cluster = |core: usize| if cpu.is_efficient { core / 4 } else { core };
        let shares_l2 = |other: &Cpu| {
            other.is_efficient == cpu.is_efficient && cluster(other.core) == cluster(cpu.core)
        };
        let levels = [
            (1, "48K", "Data", list(cpus, |other| other.core == cpu.core)),
            (1, "32K", "Instruction", list(cpus, |other| other.core == cpu.core)),
            (2, "1024K", "Unified", list(cpus, shares_l2)),
            (3, "32768K", "Unified", list(cpus, |other| other.domain == cpu.domain)),
        ];
        for (index, (level, size, kind, shared)) in levels.into_iter().enumerate() {
            put(&format!("cache/index{index}/level"), format!("{level}\n"));
            put(&format!("cache/index{index}/size"), format!("{size}\n"));
            put(&format!("cache/index{index}/type"), format!("{kind}\n"));
            put(&format!("cache/index{index}/shared_cpu_list"), shared);
        }
    }
}

fn list(cpus: &[Cpu], belongs: impl Fn(&Cpu) -> bool) -> String {
    let set: CpuSet = cpus.iter().filter(|cpu| belongs(cpu)).map(|cpu| cpu.number).collect();
    format!("{set}\n")
}

/// Panics unless the lists of `topology` cover the online CPUs, do not overlap, nest, are sorted,
/// and point at each other correctly.
pub(crate) fn assert_consistent(topology: &Topology) {
    let partition = |what: &str, sets: Vec<&CpuSet>| {
        let total: usize = sets.iter().map(|set| set.len()).sum();
        let union = sets.iter().fold(CpuSet::new(), |union, set| union.union(set));
        assert_eq!(union, *topology.cpus(), "the {what} cover the CPUs");
        assert_eq!(total, union.len(), "the {what} do not overlap");
        assert!(sets.iter().all(|set| !set.is_empty()), "no {what} is empty");
        assert!(sets.is_sorted_by_key(|set| set.first()), "the {what} are sorted");
    };
    partition("packages", topology.packages().iter().map(|package| &package.cpus).collect());
    partition("NUMA nodes", topology.numa_nodes().iter().map(|node| &node.cpus).collect());
    partition("domains", topology.domains().iter().map(|domain| &domain.cpus).collect());
    partition("cores", topology.cores().iter().map(|core| &core.cpus).collect());

    assert!(topology.allowed().is_subset(topology.cpus()));
    assert!(topology.cpu_count() >= 1);
    for (index, core) in topology.cores().iter().enumerate() {
        let domain = &topology.domains()[core.domain];
        assert!(domain.cores.contains(&index));
        assert!(core.cpus.is_subset(&domain.cpus));
        assert!(core.cpus.is_subset(&topology.packages()[core.package].cpus));
        assert!(core.cpus.is_subset(&topology.numa_nodes()[core.numa_node].cpus));
        if let Some(cache) = core.last_level_cache {
            assert!(core.cpus.is_subset(&topology.last_level_caches()[cache].cpus));
        }
        for cpu in &core.cpus {
            assert_eq!(topology.core_of(cpu), Some(core));
            assert_eq!(topology.domain_of(cpu), Some(domain));
            assert_eq!(topology.smt_siblings(cpu), Some(&core.cpus));
        }
    }
    for domain in topology.domains() {
        assert!(domain.cores.is_sorted());
        let node = domain.numa_node.map(|node| &topology.numa_nodes()[node].cpus);
        assert!(node.is_none_or(|cpus| domain.cpus.is_subset(cpus)));
        let package = domain.package.map(|package| &topology.packages()[package].cpus);
        assert!(package.is_none_or(|cpus| domain.cpus.is_subset(cpus)));
    }
    for node in topology.numa_nodes() {
        assert!([0, topology.numa_nodes().len()].contains(&node.distances.len()));
    }
}
