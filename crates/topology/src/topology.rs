//! The facts about one machine as plain data.

mod assemble;

use std::path::Path;

use crate::cpu_set::CpuSet;
use crate::detect::{self, DetectError};

/// Describes a machine: its packages, NUMA nodes, last-level caches, cores and logical CPUs.
///
/// The lists cover every *online* CPU; which of them this process may use is said beside them, by
/// [`Topology::allowed`]. Each list is sorted by its elements' lowest CPU, the elements of one list
/// never overlap, and packages, NUMA nodes, domains and cores each cover every online CPU. An
/// *index* in one structure points into the list of the same name.
///
/// Groups are told apart by the CPUs they hold, never by the numbers that firmware gives them:
/// those repeat across packages and differ between kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    cpus: CpuSet,
    allowed: CpuSet,
    packages: Vec<Package>,
    numa_nodes: Vec<NumaNode>,
    last_level_caches: Vec<Cache>,
    domains: Vec<Domain>,
    cores: Vec<Core>,
}

/// Describes a processor package (socket).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Package {
    /// The online CPUs of the package.
    pub cpus: CpuSet,
}

/// Describes a NUMA node that holds online CPUs; nodes of memory alone are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumaNode {
    /// The online CPUs of the node.
    pub cpus: CpuSet,
    /// The operating system's number of the node; `None` where it names no node for these CPUs.
    pub os_id: Option<usize>,
    /// The firmware's distance to each node of [`Topology::numa_nodes`], 10 meaning local; empty
    /// where it is unknown.
    pub distances: Vec<u32>,
}

/// Describes a last-level cache: the one of the highest level that a core has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cache {
    /// The online CPUs that share the cache.
    pub cpus: CpuSet,
    /// The cache's level, from 1.
    pub level: u32,
    /// The cache's size in bytes, where it is known.
    pub bytes: Option<u64>,
}

/// Describes a domain: cores that share a last-level cache, so that handing work between them is
/// cheap (a CCX or CCD on Zen, a cluster on Apple and ARM chips).
///
/// A domain is a last-level cache within one NUMA node, if it serves at least two cores (an L3)
/// or three (an L2). Cores whose cache serves fewer, or is unknown, are put together with what is
/// left of their die, package within the node, node, machine: the first that has two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Domain {
    /// The online CPUs of the domain.
    pub cpus: CpuSet,
    /// The indexes of the domain's cores, ascending.
    pub cores: Vec<usize>,
    /// The index of the package, or `None` when the domain spans several.
    pub package: Option<usize>,
    /// The index of the NUMA node, or `None` when the domain spans several.
    pub numa_node: Option<usize>,
    /// The size in bytes of the last-level cache that all the domain's cores share; `None` when
    /// they share none, or when its size is unknown.
    pub cache_bytes: Option<u64>,
}

/// Describes a physical core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Core {
    /// The online CPUs of the core, which are SMT siblings of each other.
    pub cpus: CpuSet,
    /// The index of the core's package.
    pub package: usize,
    /// The index of the core's NUMA node.
    pub numa_node: usize,
    /// The index of the core's domain.
    pub domain: usize,
    /// The index of the core's last-level cache, where one is known.
    pub last_level_cache: Option<usize>,
    /// What the operating system says of the core's speed.
    pub speed: CoreSpeed,
}

/// Holds the raw figures that tell performance cores from efficiency cores.
///
/// They compare only within one machine and within one field. The rank that firmware gives to
/// cores for boosting is left out: it differs between equal cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoreSpeed {
    /// The kernel's measure of relative throughput, 1024 for the fastest core.
    pub capacity: Option<u32>,
    /// The guaranteed frequency in kHz.
    pub base_khz: Option<u32>,
    /// The highest frequency in kHz.
    pub max_khz: Option<u32>,
}

impl Topology {
    /// Detects the machine that the program runs on, and the CPUs the calling thread may use.
    ///
    /// On Linux the facts come from sysfs and the allowed CPUs from the thread's affinity mask, so
    /// `taskset` and cgroup cpusets are honoured; call it *before* pinning the thread. A CPU quota
    /// (`cpu.max`) is no such set: [`std::thread::available_parallelism`] knows it. Elsewhere all
    /// that is known is the number of CPUs, taken as one domain of cores without siblings.
    ///
    /// What sysfs does not tell, as in many containers and virtual machines, is filled in: without
    /// sibling lists every CPU is a core, without cache facts the cores of a die or package within
    /// one NUMA node are a domain, without NUMA facts all CPUs are one node.
    ///
    /// # Errors
    ///
    /// When the system does not even tell how many CPUs there are.
    ///
    /// # Blocking
    ///
    /// Reads a few dozen small files per CPU on Linux; some milliseconds on a large machine.
    pub fn detect() -> Result<Topology, DetectError> {
        detect::detect()
    }

    /// Reads a machine from a directory that holds a copy of a Linux system's `sys` directory
    /// (`/` is the live system); `allowed` holds the CPUs to use, `None` means every online CPU.
    ///
    /// Files that are missing or damaged are treated as [`Topology::detect`] says. CPUs of
    /// `allowed` that are not online are left out.
    ///
    /// # Errors
    ///
    /// When the directory names no online CPU, or when `allowed` holds none of them.
    ///
    /// # Blocking
    ///
    /// Reads a few dozen small files per CPU.
    pub fn from_sysfs_root(
        root: impl AsRef<Path>,
        allowed: Option<&CpuSet>,
    ) -> Result<Topology, DetectError> {
        detect::from_root(root.as_ref(), allowed)
    }

    /// Reads a machine from the path and content of its sysfs files; otherwise like
    /// [`Topology::from_sysfs_root`].
    ///
    /// Useful to test against a machine that is not at hand: capture the files below
    /// `/sys/devices/system/cpu` and `/sys/devices/system/node` there, under their full paths.
    ///
    /// # Errors
    ///
    /// When the files name no online CPU, or when `allowed` holds none of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use topology::{CpuSet, Topology};
    ///
    /// // Two cores, the second one without an SMT sibling.
    /// let files = [
    ///     ("/sys/devices/system/cpu/online", "0-2\n"),
    ///     ("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1\n"),
    ///     ("/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n"),
    /// ];
    /// let topology = Topology::from_files(files, None)?;
    /// assert_eq!(topology.cores().len(), 2);
    /// assert_eq!(topology.smt_siblings(1), Some(&CpuSet::from([0, 1])));
    /// # Ok::<(), topology::DetectError>(())
    /// ```
    pub fn from_files<P, C>(
        files: impl IntoIterator<Item = (P, C)>,
        allowed: Option<&CpuSet>,
    ) -> Result<Topology, DetectError>
    where
        P: Into<String>,
        C: Into<String>,
    {
        let files = files.into_iter().map(|(path, content)| (path.into(), content.into()));
        detect::from_files(files, allowed)
    }

    /// Returns every online CPU.
    #[must_use]
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// Returns the online CPUs that may be used; never empty.
    #[must_use]
    pub fn allowed(&self) -> &CpuSet {
        &self.allowed
    }

    /// Returns the number of allowed CPUs, at least 1: the number of workers that fill the machine.
    #[must_use]
    pub fn cpu_count(&self) -> usize {
        self.allowed.len()
    }

    /// Returns the packages.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Returns the NUMA nodes; at least one, also on machines that know no NUMA.
    #[must_use]
    pub fn numa_nodes(&self) -> &[NumaNode] {
        &self.numa_nodes
    }

    /// Returns the last-level caches, none of them where nothing is known of caches.
    #[must_use]
    pub fn last_level_caches(&self) -> &[Cache] {
        &self.last_level_caches
    }

    /// Returns the domains, also those that hold no allowed CPU.
    #[must_use]
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// Returns the cores, also those that hold no allowed CPU.
    #[must_use]
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// Returns the core that `cpu` belongs to, or `None` when `cpu` is not online.
    #[must_use]
    pub fn core_of(&self, cpu: usize) -> Option<&Core> {
        self.cores.iter().find(|core| core.cpus.contains(cpu))
    }

    /// Returns the domain that `cpu` belongs to, or `None` when `cpu` is not online.
    #[must_use]
    pub fn domain_of(&self, cpu: usize) -> Option<&Domain> {
        self.core_of(cpu).map(|core| &self.domains[core.domain])
    }

    /// Returns the online CPUs of `cpu`'s core, itself included, or `None` when `cpu` is not
    /// online.
    #[must_use]
    pub fn smt_siblings(&self, cpu: usize) -> Option<&CpuSet> {
        self.core_of(cpu).map(|core| &core.cpus)
    }
}
