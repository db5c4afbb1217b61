//! Machines made by code: what the reader makes of them, of their gaps and of contradictions.

use crate::common::{Machine, Numbering, assert_consistent};
use topology::{CpuSet, DetectError, Proximity, Topology, placement, steal_order};

fn domains(topology: &Topology) -> Vec<String> {
    topology.domains().iter().map(|domain| domain.cpus.to_string()).collect()
}

fn pins<const N: usize>(lists: [&str; N]) -> Vec<Option<CpuSet>> {
    lists.into_iter().map(|list| Some(list.parse().unwrap())).collect()
}

#[test]
fn two_ccds_are_two_domains_whatever_the_numbering() {
    let strided = Machine::default().topology(None);
    assert_consistent(&strided);
    assert_eq!(domains(&strided), ["0-7,16-23", "8-15,24-31"]);
    assert_eq!(strided.smt_siblings(0), Some(&CpuSet::from([0, 16])));

    let adjacent = Machine { numbering: Numbering::Adjacent, ..Machine::default() };
    let adjacent = adjacent.topology(None);
    assert_consistent(&adjacent);
    assert_eq!(domains(&adjacent), ["0-15", "16-31"]);
    assert_eq!(adjacent.smt_siblings(0), Some(&CpuSet::from([0, 1])));

    for topology in [strided, adjacent] {
        assert_eq!((topology.packages().len(), topology.numa_nodes().len()), (1, 1));
        assert_eq!((topology.cores().len(), topology.cpu_count()), (16, 32));
        assert_eq!(topology.last_level_caches().len(), 2);
        assert_eq!(topology.domains()[1].cache_bytes, Some(32 << 20));
        assert_eq!(topology.domains()[1].cores.len(), 8);
        assert_eq!(topology.smt_siblings(99), None);
        assert_eq!(topology.domain_of(99), None);
    }
}

#[test]
fn placement_takes_first_threads_of_the_first_domain_then_others_then_siblings() {
    let strided = placement(&Machine::default().topology(None), 32);
    assert!(strided.into_iter().eq(0..32));

    let adjacent = Machine { numbering: Numbering::Adjacent, ..Machine::default() };
    let adjacent = placement(&adjacent.topology(None), 32);
    assert!(adjacent[..16].iter().copied().eq((0..32).step_by(2)));
    assert!(adjacent[16..].iter().copied().eq((1..32).step_by(2)));
}

#[test]
fn placement_wraps_and_hands_out_only_allowed_cpus() {
    // Core 0 is allowed only by its second thread, CPU 16.
    let topology = Machine::default().topology(Some("1,8,16,17"));
    assert_eq!(topology.cpu_count(), 4);
    assert_eq!(placement(&topology, 6), [16, 1, 8, 17, 16, 1]);
    assert!(placement(&topology, 0).is_empty());
}

/// Five L3s of two cores, numbered without regard to nearness: the second is in another package,
/// the third in another node of the first package, the fourth in the first node.
fn scattered(distances: Option<&str>) -> Topology {
    let mut files = vec![("sys/devices/system/cpu/online".to_owned(), "0-9".to_owned())];
    for cpu in 0..10 {
        let base = format!("sys/devices/system/cpu/cpu{cpu}");
        let first = cpu / 2 * 2;
        files.push((format!("{base}/cache/index0/level"), "3".to_owned()));
        let shared = format!("{first}-{}", first + 1);
        files.push((format!("{base}/cache/index0/shared_cpu_list"), shared));
        let package = ["0-1,4-7", "2-3", "0-1,4-7", "0-1,4-7", "8-9"][cpu / 2];
        files.push((format!("{base}/topology/package_cpus_list"), package.to_owned()));
    }
    for (node, cpus) in ["0-1,6-7", "2-3", "4-5", "8-9"].into_iter().enumerate() {
        let base = format!("sys/devices/system/node/node{node}");
        files.push((format!("{base}/cpulist"), cpus.to_owned()));
        files.extend(distances.map(|row| (format!("{base}/distance"), row.to_owned())));
    }
    Topology::from_files(files, None).unwrap()
}

#[test]
fn placement_visits_the_other_domains_nearest_first() {
    let near_first = [0, 1, 6, 7, 4, 5, 2, 3, 8, 9];
    assert_eq!(placement(&scattered(None), 10), near_first);
    // By distance the last package is nearer than the second.
    let by_distance = [0, 1, 6, 7, 4, 5, 8, 9, 2, 3];
    assert_eq!(placement(&scattered(Some("10 32 12 20\n")), 10), by_distance);
}

#[test]
fn placement_begins_in_the_domain_of_the_lowest_allowed_cpu() {
    let topology = Machine::default().topology(Some("8-9,17"));
    assert_eq!(placement(&topology, 3), [8, 9, 17]);
}

#[test]
fn distances_that_are_not_one_for_each_node_are_not_believed() {
    for row in ["10 32 12\n", "10 32 12 20 20\n", "10 x 12 20\n"] {
        let topology = scattered(Some(row));
        assert_consistent(&topology);
        assert!(topology.numa_nodes().iter().all(|node| node.distances.is_empty()), "{row}");
    }
    assert_eq!(scattered(Some("10 32 12 20")).numa_nodes()[3].distances, [10, 32, 12, 20]);
}

#[test]
fn steal_order_goes_from_mate_to_domain_to_node_to_remote() {
    let machine = Machine { packages: 2, cores_per_domain: 2, ..Machine::default() };
    let topology = machine.topology(None);
    assert_consistent(&topology);
    assert_eq!(domains(&topology), ["0-1,8-9", "2-3,10-11", "4-5,12-13", "6-7,14-15"]);
    let workers: Vec<Option<CpuSet>> = (0..16).map(|cpu| Some(CpuSet::from([cpu]))).collect();
    let order = steal_order(&topology, &workers);
    let (mate, domain, node) = ([8], [1, 9], [2, 3, 10, 11]);
    let remote = [4, 5, 6, 7, 12, 13, 14, 15];
    assert_eq!(order[0], [&mate[..], &domain, &node, &remote].concat());
    // Worker 9 begins each class after itself.
    assert_eq!(order[9], [1, 0, 8, 10, 11, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7]);
}

#[test]
fn steal_order_names_each_other_worker_once_and_never_leaves_a_nearer_one_behind() {
    let machine = Machine { packages: 2, nodes_per_package: 2, ..Machine::default() };
    let topology = machine.topology(None);
    for count in [0, 1, 2, 3, 32, 64, 100] {
        let order = steal_order(&topology, &vec![None; count]);
        assert_eq!(order.len(), count);
        let cpus = placement(&topology, count);
        for (thief, victims) in order.iter().enumerate() {
            let mut sorted = victims.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq((0..count).filter(|&other| other != thief)));
            let place = |worker: usize| CpuSet::from([cpus[worker]]);
            let near = |&victim: &usize| Proximity::of(&topology, &place(thief), &place(victim));
            assert!(victims.is_sorted_by_key(near));
        }
    }
}

#[test]
fn thieves_of_one_domain_do_not_all_begin_with_the_same_victim() {
    let topology = Machine { threads_per_core: 1, ..Machine::default() }.topology(None);
    let order = steal_order(&topology, &[const { None }; 16]);
    let first: CpuSet = order[..8].iter().map(|victims| victims[0]).collect();
    assert_eq!(first.len(), 8);
}

#[test]
fn remote_nodes_are_tried_by_distance() {
    let machine = Machine {
        packages: 2,
        nodes_per_package: 2,
        cores_per_domain: 2,
        threads_per_core: 1,
        ..Machine::default()
    };
    let order = steal_order(&machine.topology(None), &[const { None }; 8]);
    assert_eq!(order[6], [7, 4, 5, 0, 1, 2, 3], "node 2 is nearer to node 3 than nodes 0 and 1");
}

#[test]
fn masks_count_for_the_smallest_group_that_holds_them() {
    let topology = Machine { packages: 2, ..Machine::default() }.topology(None);
    let near =
        |a: &str, b: &str| Proximity::of(&topology, &a.parse().unwrap(), &b.parse().unwrap());
    assert_eq!(near("0", "32"), Proximity::SmtMate);
    assert_eq!(near("0", "0"), Proximity::SmtMate);
    assert_eq!(near("0,32", "32"), Proximity::SmtMate);
    assert_eq!(near("0-7", "32-39"), Proximity::SameDomain);
    assert_eq!(near("0-7", "0"), Proximity::SameDomain);
    assert_eq!(near("0-7", "8-15"), Proximity::SameNode);
    assert_eq!(near("0-8", "0"), Proximity::SameNode);
    assert_eq!(near("0", "16"), Proximity::Remote);
    assert_eq!(near("0-31", "0"), Proximity::Remote);
    assert_eq!(near("", ""), Proximity::Remote);
    assert_eq!(near("999", "999"), Proximity::Remote);
    let order = steal_order(&topology, &pins(["0-7", "16-23", "999", "8-15", "32-39"]));
    assert_eq!(order[0], [4, 3, 1, 2], "the one of unknown place comes last");
}

#[test]
fn a_hybrid_is_one_domain_with_the_facts_that_tell_its_kinds() {
    let machine = Machine {
        domains_per_package: 1,
        cores_per_domain: 6,
        numbering: Numbering::Adjacent,
        efficiency_cores: 8,
        ..Machine::default()
    };
    let topology = machine.topology(None);
    assert_consistent(&topology);
    assert_eq!(domains(&topology), ["0-19"]);
    assert_eq!(topology.cores().len(), 14);
    let base = |cpu| topology.core_of(cpu).and_then(|core| core.speed.base_khz);
    assert_eq!((base(0), base(12)), (Some(1_900_000), Some(1_400_000)));
    let expected: CpuSet = "0,2,4,6,8,10".parse().unwrap();
    let order = placement(&topology, 20);
    assert_eq!(order[..6].iter().copied().collect::<CpuSet>(), expected);
    assert_eq!(order[14..].iter().copied().collect::<CpuSet>(), "1,3,5,7,9,11".parse().unwrap());
}

#[test]
fn without_cache_facts_the_package_within_a_node_is_the_domain() {
    let machine = Machine { packages: 2, with_caches: false, ..Machine::default() };
    let topology = machine.topology(None);
    assert_consistent(&topology);
    assert_eq!(domains(&topology), ["0-15,32-47", "16-31,48-63"]);
    assert!(topology.last_level_caches().is_empty());
    assert_eq!(topology.domains()[0].cache_bytes, None);
    let topology = Machine { nodes_per_package: 2, ..machine }.topology(None);
    assert_consistent(&topology);
    assert_eq!(domains(&topology), ["0-7,32-39", "8-15,40-47", "16-23,48-55", "24-31,56-63"]);
}

#[test]
fn offline_cpus_leave_lone_siblings_and_smaller_domains() {
    let offline: CpuSet = "1,8-15,17,24-30".parse().unwrap();
    let topology = Machine { offline, ..Machine::default() }.topology(None);
    assert_consistent(&topology);
    assert_eq!(topology.cpus().to_string(), "0,2-7,16,18-23,31");
    // What is left of the second CCD is one core; it stays alone, and its cache is its own.
    assert_eq!(domains(&topology), ["0,2-7,16,18-23", "31"]);
    assert_eq!(topology.domains()[1].cache_bytes, Some(32 << 20));
    assert_eq!(topology.smt_siblings(31), Some(&CpuSet::from([31])));
    assert_eq!(topology.smt_siblings(1), None);
}

#[test]
fn lone_cores_of_several_packages_meet_at_the_machine() {
    let machine = Machine {
        packages: 4,
        domains_per_package: 1,
        cores_per_domain: 1,
        threads_per_core: 1,
        ..Machine::default()
    };
    let topology = machine.topology(None);
    assert_consistent(&topology);
    assert_eq!(domains(&topology), ["0-3"]);
    let domain = &topology.domains()[0];
    assert_eq!((domain.package, domain.numa_node, domain.cache_bytes), (None, None, None));
}

#[test]
fn allowed_cpus_do_not_change_the_domains() {
    let topology = Machine::default().topology(Some("8-9,200"));
    assert_consistent(&topology);
    assert_eq!(topology.allowed().to_string(), "8-9");
    assert_eq!(domains(&topology), ["0-7,16-23", "8-15,24-31"]);
}

#[test]
fn a_list_of_cpus_alone_is_enough() {
    let online = [("sys/devices/system/cpu/online", "0-2,5\n")];
    let topology = Topology::from_files(online, None).unwrap();
    assert_consistent(&topology);
    assert_eq!((topology.cores().len(), topology.domains().len()), (4, 1));
    assert_eq!(topology.numa_nodes()[0].os_id, None);
    assert_eq!(placement(&topology, 4), [0, 1, 2, 5]);
}

#[test]
fn memory_only_nodes_are_left_out_together_with_their_distances() {
    let node = |id: usize, name: &str, text: &str| {
        (format!("/sys/devices/system/node/node{id}/{name}"), text.to_owned())
    };
    let files = [
        ("/sys/devices/system/cpu/online".to_owned(), "0-3".to_owned()),
        node(0, "cpulist", "0-1\n"),
        node(0, "distance", "10 17 21\n"),
        node(1, "cpulist", "\n"),
        node(1, "distance", "17 10 28\n"),
        node(2, "cpulist", "2-3\n"),
        node(2, "distance", "21 28 10\n"),
    ];
    let topology = Topology::from_files(files, None).unwrap();
    assert_consistent(&topology);
    let facts: Vec<_> =
        topology.numa_nodes().iter().map(|node| (node.os_id, node.distances.clone())).collect();
    assert_eq!(facts, [(Some(0), vec![10, 21]), (Some(2), vec![21, 10])]);
}

#[test]
fn nothing_and_nobody_allowed_are_errors_that_say_what_to_do() {
    let none: [(&str, &str); 0] = [];
    let error = Topology::from_files(none, None).unwrap_err();
    assert!(matches!(error, DetectError::NoCpus));
    assert!(error.to_string().contains("the directory that holds `sys`"), "{error}");
    let error = Topology::from_sysfs_root("no/such/place", None).unwrap_err();
    assert!(matches!(error, DetectError::NoCpus));
    let beyond = CpuSet::from([64]);
    let error = Topology::from_files(Machine::default().files(), Some(&beyond)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"64\"") && text.contains("0-31"), "{text}");
}

#[test]
fn a_machine_beyond_1024_cpus_is_described() {
    let machine = Machine {
        packages: 2,
        domains_per_package: 8,
        nodes_per_package: 8,
        cores_per_domain: 64,
        ..Machine::default()
    };
    let topology = machine.topology(None);
    assert_consistent(&topology);
    assert_eq!((topology.cpu_count(), topology.domains().len()), (2048, 16));
    assert_eq!(topology.smt_siblings(1023), Some(&CpuSet::from([1023, 2047])));
}

#[test]
fn whatever_is_missing_or_damaged_the_description_stays_consistent() {
    let machine = Machine {
        packages: 2,
        cores_per_domain: 3,
        nodes_per_package: 2,
        efficiency_cores: 4,
        ..Machine::default()
    };
    let files = machine.files();
    let junk = ["", "\n", "-1", "x", "0", "0-1", "1-0", "0-99999999", "7-300", "3,1,2", "00000003"];
    for seed in 1..=400_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        };
        let harm_in = 2 + random(40);
        let mut harmed = Vec::new();
        for (path, text) in &files {
            match random(harm_in) {
                0 => {}
                1 => harmed.push((path.clone(), junk[random(junk.len())].to_owned())),
                _ => harmed.push((path.clone(), text.clone())),
            }
        }
        match Topology::from_files(harmed, None) {
            Ok(topology) => {
                println!("seed {seed}: {} CPUs", topology.cpu_count());
                assert_consistent(&topology);
                let _ = steal_order(&topology, &[const { None }; 12]);
            }
            Err(error) => assert!(matches!(error, DetectError::NoCpus), "seed {seed}: {error}"),
        }
    }
}

#[test]
fn a_directory_and_files_in_memory_give_the_same_machine() {
    let root = std::env::temp_dir().join(format!("topology-test-{}", std::process::id()));
    let files = Machine::default().files();
    for (path, text) in &files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let allowed = CpuSet::from([3, 4]);
    let read = Topology::from_sysfs_root(&root, Some(&allowed)).unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!(read, Topology::from_files(files, Some(&allowed)).unwrap());
}
