//! The machine that the tests run on: detection against other sources, and pinning. Threads are
//! pinned only if the test spawned them.

use std::{fs, thread};

use crate::common::assert_consistent;
use topology::{CpuSet, PinError, Topology, current_affinity, pin_current_thread, placement};

/// Returns what the kernel prints as this thread's mask, independently of the system call.
fn printed_affinity() -> CpuSet {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap().parse().unwrap()
}

fn on_a_thread<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(test).join().unwrap())
}

#[test]
fn detection_agrees_with_the_scheduler_and_the_standard_library() {
    let topology = Topology::detect().unwrap();
    assert_consistent(&topology);
    assert_eq!(*topology.allowed(), current_affinity().unwrap());
    assert_eq!(topology.allowed().difference(&printed_affinity()), CpuSet::new());
    // The standard library also knows the cgroup quota, which can only lower the count.
    let parallelism = thread::available_parallelism().unwrap().get();
    assert!(parallelism <= topology.cpu_count(), "{parallelism} of {}", topology.cpu_count());
    println!("{} allowed, {parallelism} at once, {topology:#?}", topology.allowed());
}

#[test]
fn a_thread_can_be_pinned_to_each_allowed_cpu_in_turn_and_back() {
    let topology = Topology::detect().unwrap();
    on_a_thread(|| {
        for cpu in placement(&topology, topology.cpu_count()) {
            let pin = CpuSet::from([cpu]);
            pin_current_thread(&pin).unwrap();
            assert_eq!(current_affinity().unwrap(), pin);
            assert_eq!(printed_affinity(), pin);
        }
        pin_current_thread(topology.allowed()).unwrap();
        assert_eq!(current_affinity().unwrap(), *topology.allowed());
    });
    assert_eq!(current_affinity().unwrap(), *topology.allowed(), "only that thread was pinned");
}

#[test]
fn a_pinned_thread_detects_only_the_cpus_it_is_pinned_to() {
    let before = Topology::detect().unwrap();
    let after = on_a_thread(|| {
        pin_current_thread(&before.allowed().first().into_iter().collect()).unwrap();
        Topology::detect().unwrap()
    });
    assert_eq!(after.cpu_count(), 1);
    assert_eq!(after.domains(), before.domains(), "the machine is the same");
}

#[test]
fn a_set_that_could_be_granted_only_in_part_is_refused_and_changes_nothing() {
    let allowed = current_affinity().unwrap();
    let mut asked = CpuSet::from([CpuSet::CPU_MAX]);
    asked.extend(&allowed);
    on_a_thread(|| {
        let error = pin_current_thread(&asked).unwrap_err();
        assert_eq!(current_affinity().unwrap(), allowed, "the thread keeps its CPUs");
        let text = error.to_string();
        assert!(text.contains(&format!("CPUs {asked}, but 65535 cannot be used")), "{text}");
        let PinError::Refused { asked: named, allowed: usable } = error else {
            panic!("{error:?} is not a refusal");
        };
        assert_eq!(named, asked);
        assert!(allowed.is_subset(&usable) && !usable.contains(CpuSet::CPU_MAX), "{usable}");
    });
}

#[test]
fn a_set_of_no_usable_cpu_is_refused_and_changes_nothing() {
    let allowed = current_affinity().unwrap();
    let narrow: CpuSet = allowed.first().into_iter().collect();
    on_a_thread(|| {
        pin_current_thread(&narrow).unwrap();
        for cpu in [1023, 1024, 9000].into_iter().filter(|&cpu| !allowed.contains(cpu)) {
            let error = pin_current_thread(&CpuSet::from([cpu])).unwrap_err();
            let PinError::Refused { allowed: usable, .. } = &error else {
                panic!("{error:?} is not a refusal");
            };
            // What the process may use, not what this thread happens to be pinned to.
            assert!(allowed.is_subset(usable), "{error}");
            assert_eq!(current_affinity().unwrap(), narrow, "the thread keeps its pin");
        }
    });
}

#[test]
fn pinning_to_no_cpu_is_refused() {
    let error = pin_current_thread(&CpuSet::new()).unwrap_err();
    assert!(matches!(error, PinError::Empty));
    assert!(error.to_string().contains("`Topology::allowed`"));
}
