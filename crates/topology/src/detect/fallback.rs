//! The machine of which only the number of CPUs is known: one domain of cores without siblings.

use std::thread;

use super::{CpuFacts, Description, DetectError};
use crate::topology::Topology;

pub(crate) fn detect() -> Result<Topology, DetectError> {
    let count = thread::available_parallelism().map_err(DetectError::UnknownCount)?;
    super::restricted(&uniform(count.get()), None)
}

fn uniform(cpu_count: usize) -> Description {
    let cpus = (0..cpu_count).map(|cpu| (cpu, CpuFacts::default())).collect();
    Description { cpus, nodes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_is_one_domain_of_lone_cores() {
        let topology = super::super::restricted(&uniform(6), None).unwrap();
        assert_eq!(topology.cpu_count(), 6);
        assert_eq!(topology.cores().len(), 6);
        assert_eq!(topology.packages().len(), 1);
        assert_eq!(topology.numa_nodes().len(), 1);
        assert_eq!(topology.domains().len(), 1);
        assert_eq!(topology.domains()[0].cache_bytes, None);
    }

    #[test]
    fn the_fallback_counts_what_the_standard_library_counts() {
        let count = thread::available_parallelism().unwrap().get();
        assert_eq!(detect().unwrap().cpu_count(), count);
    }
}
