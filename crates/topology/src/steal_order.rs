//! In which order workers get CPUs, and in which order each worker tries its victims: pure
//! functions of the topology.

use crate::cpu_set::CpuSet;
use crate::topology::{Core, Topology};

/// Tells how near two workers are, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proximity {
    /// Both run on the CPUs of one core, and share all its caches.
    SmtMate,
    /// Both run in one domain, and share its last-level cache.
    SameDomain,
    /// Both run in one NUMA node, and share its memory.
    SameNode,
    /// They share nothing that is known.
    Remote,
}

impl Proximity {
    /// Returns the proximity of two workers that run on the CPUs `a` and `b`.
    ///
    /// A worker counts for a core, a domain or a node when *all* its online CPUs lie in it; one
    /// without online CPUs is remote from everybody.
    ///
    /// # Examples
    ///
    /// ```
    /// use topology::{CpuSet, Proximity, Topology};
    ///
    /// let topology = Topology::from_files([("sys/devices/system/cpu/online", "0-3")], None)?;
    /// let proximity = Proximity::of(&topology, &CpuSet::from([0]), &CpuSet::from([1, 2]));
    /// assert_eq!(proximity, Proximity::SameDomain);
    /// # Ok::<(), topology::DetectError>(())
    /// ```
    #[must_use]
    pub fn of(topology: &Topology, a: &CpuSet, b: &CpuSet) -> Proximity {
        Seat::of(topology, a).proximity(&Seat::of(topology, b))
    }
}

/// Returns the CPU for each of `worker_count` workers: the default placement.
///
/// First come the first hardware threads of the cores of the first domain, then those of the other
/// domains, nearest first, then the second threads of all cores in the same order, and so on. The
/// first domain is the one with the lowest allowed CPU; only allowed CPUs are handed out, so a
/// core's first thread is the first that is allowed. With more workers than CPUs the order starts
/// over.
///
/// # Examples
///
/// ```
/// use topology::{Topology, placement};
///
/// // Two cores, each of two threads that are neighbours by number.
/// let files = [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")].map(|(cpu, siblings)| {
///     (format!("sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list"), siblings)
/// });
/// let topology = Topology::from_files(files, None)?;
/// assert_eq!(placement(&topology, 5), [0, 2, 1, 3, 0]);
/// # Ok::<(), topology::DetectError>(())
/// ```
#[must_use]
pub fn placement(topology: &Topology, worker_count: usize) -> Vec<usize> {
    let threads: Vec<Vec<usize>> = cores_near_first(topology)
        .iter()
        .map(|core| core.cpus.intersection(topology.allowed()).iter().collect())
        .collect();
    let ranks = threads.iter().map(Vec::len).max().unwrap_or(0);
    let by_rank = |rank| threads.iter().filter_map(move |threads: &Vec<usize>| threads.get(rank));
    (0..ranks).flat_map(by_rank).copied().cycle().take(worker_count).collect()
}

/// Returns, for each worker, the indexes of all other workers in the order to steal from them:
/// SMT mates, the same domain, the same NUMA node, remote ones by the distance of their node.
///
/// `workers` holds the CPUs that each worker is pinned to; a worker that is not pinned (`None`) is
/// taken to be on the CPU that [`placement`] gives it. Among equals a worker begins after its own
/// index and wraps around, so that thieves do not all try the same victim first; where one class
/// ends and the next begins is told by [`Proximity::of`].
///
/// # Examples
///
/// ```
/// use topology::{Topology, steal_order};
///
/// // Two cores, each of two threads that are neighbours by number.
/// let files = [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")].map(|(cpu, siblings)| {
///     (format!("sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list"), siblings)
/// });
/// let topology = Topology::from_files(files, None)?;
/// let order = steal_order(&topology, &[None, None, None, None]); // on CPUs 0, 2, 1, 3
/// assert_eq!(order, [[2, 1, 3], [3, 2, 0], [0, 3, 1], [1, 0, 2]]);
/// # Ok::<(), topology::DetectError>(())
/// ```
#[must_use]
pub fn steal_order(topology: &Topology, workers: &[Option<CpuSet>]) -> Vec<Vec<usize>> {
    let count = workers.len();
    let seats: Vec<Seat> = workers
        .iter()
        .zip(placement(topology, count))
        .map(|(pinned, placed)| match pinned {
            Some(cpus) => Seat::of(topology, cpus),
            None => Seat::of(topology, &CpuSet::from([placed])),
        })
        .collect();
    let victims = |thief: usize| {
        let mut victims: Vec<usize> = (1..count).map(|step| (thief + step) % count).collect();
        let (seats, thief) = (&seats, &seats[thief]);
        victims.sort_by_cached_key(|&victim| {
            let victim = &seats[victim];
            (thief.proximity(victim), node_distance(topology, thief.numa_node, victim.numa_node))
        });
        victims
    };
    (0..count).map(victims).collect()
}

/// Where a worker sits: `None` where its CPUs do not lie in one core, domain or node.
struct Seat {
    core: Option<usize>,
    domain: Option<usize>,
    numa_node: Option<usize>,
}

impl Seat {
    fn of(topology: &Topology, cpus: &CpuSet) -> Seat {
        let cores = topology.cores();
        let touched: Vec<usize> =
            (0..cores.len()).filter(|&core| !cores[core].cpus.is_disjoint(cpus)).collect();
        let only = |group: fn(&Core) -> usize| {
            let mut groups = touched.iter().map(|&core| group(&cores[core]));
            let first = groups.next()?;
            groups.all(|other| other == first).then_some(first)
        };
        Seat {
            core: touched.first().copied().filter(|_| touched.len() == 1),
            domain: only(|core| core.domain),
            numa_node: only(|core| core.numa_node),
        }
    }

    fn proximity(&self, other: &Seat) -> Proximity {
        let same = |a: Option<usize>, b: Option<usize>| a.is_some() && a == b;
        if same(self.core, other.core) {
            Proximity::SmtMate
        } else if same(self.domain, other.domain) {
            Proximity::SameDomain
        } else if same(self.numa_node, other.numa_node) {
            Proximity::SameNode
        } else {
            Proximity::Remote
        }
    }
}

/// Returns the cores that hold an allowed CPU: those of the first domain, then the other domains,
/// nearest first.
fn cores_near_first(topology: &Topology) -> Vec<&Core> {
    let first = topology.allowed().first().and_then(|cpu| topology.core_of(cpu));
    let mut cores: Vec<&Core> = topology.cores().iter().collect();
    cores.retain(|core| !core.cpus.is_disjoint(topology.allowed()));
    cores.sort_by_cached_key(|core| {
        let near = first.map(|first| {
            (
                core.domain != first.domain,
                core.numa_node != first.numa_node,
                core.package != first.package,
                node_distance(topology, Some(first.numa_node), Some(core.numa_node)),
            )
        });
        (near, core.domain)
    });
    cores
}

/// Returns the firmware's distance between two nodes; the unknown is farthest.
fn node_distance(topology: &Topology, from: Option<usize>, to: Option<usize>) -> u32 {
    let distance = |from: usize, to: usize| topology.numa_nodes()[from].distances.get(to).copied();
    from.zip(to).and_then(|(from, to)| distance(from, to)).unwrap_or(u32::MAX)
}
