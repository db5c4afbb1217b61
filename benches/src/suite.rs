//! The workloads, their sizes, and which systems run each.

use crate::fork_join::{
    Tree, cilksort, fibonacci, fibonacci_by_addition, parallel_for, plain_for, queens,
    queens_by_table, skynet, skynet_by_formula, tree_sum,
};
use crate::paired::System;
use crate::peers::{Chili, Pools, Rayon, RustFiber, Sequential};
use crate::tasks;

/// How much work each workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Some tens of milliseconds a run: for a look.
    Quick,
    /// What is recorded.
    Full,
}

/// A program that several systems run.
pub struct Workload {
    /// `group/name`.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    make: fn(&Pools, Size, With<'_>),
}

/// What is done with a workload's systems while its data is there.
type With<'a> = &'a mut dyn FnMut(&[System<'_>]);

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Workload {
    /// Prepares the data, and calls `with` with the systems, ours first.
    pub fn with_systems(&self, pools: &Pools, size: Size, with: With<'_>) {
        (self.make)(pools, size, with);
    }
}

/// Makes the four systems of a fork-join workload from one expression, generic over `$system`.
macro_rules! fork_join_systems {
    ($pools:expr, $expected:expr, |$scope:ident, $system:ident| $body:expr) => {{
        let (pools, expected) = ($pools, $expected);
        [
            System::new("rustfiber", expected, || {
                type $system = RustFiber;
                pools.rustfiber.run(|| {
                    let $scope = &mut ();
                    $body
                })
            }),
            System::new("rayon", expected, || {
                type $system = Rayon;
                pools.rayon.install(|| {
                    let $scope = &mut ();
                    $body
                })
            }),
            System::new("chili", expected, || {
                type $system = Chili;
                let $scope = &mut pools.chili.scope();
                $body
            }),
            System::new("sequential", expected, || {
                type $system = Sequential;
                let $scope = &mut ();
                $body
            }),
        ]
    }};
}

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "fork-join/fibonacci",
        about: "one join a call and nothing else: the cost of a join",
        make: |pools, size, with| {
            let n = if size == Size::Full { 36 } else { 27 };
            let expected = fibonacci_by_addition(n);
            with(&fork_join_systems!(pools, expected, |s, S| fibonacci::<S>(s, n)));
        },
    },
    Workload {
        name: "fork-join/skynet",
        about: "a full tree of joins down to single numbers",
        make: |pools, size, with| {
            let leaves = if size == Size::Full { 10_000_000 } else { 300_000 };
            let expected = skynet_by_formula(leaves);
            with(&fork_join_systems!(pools, expected, |s, S| skynet::<S>(s, 0, leaves)));
        },
    },
    Workload {
        name: "fork-join/queens",
        about: "an irregular tree with little work in a node",
        make: |pools, size, with| {
            let board = if size == Size::Full { 14 } else { 11 };
            let expected = queens_by_table(board);
            with(&fork_join_systems!(pools, expected, |s, S| queens::<S>(s, board)));
        },
    },
    Workload {
        name: "fork-join/tree-sum",
        about: "a full tree of boxed nodes: a join and a cache miss at each",
        make: |pools, size, with| {
            let tree = Tree::full(if size == Size::Full { 22 } else { 16 });
            let expected = tree.sum();
            with(&fork_join_systems!(pools, expected, |s, S| tree_sum::<S>(s, &tree)));
        },
    },
    Workload {
        name: "fork-join/unbalanced-tree",
        about: "the same, with one side of each node up to 15 times the other",
        make: |pools, size, with| {
            let tree = Tree::unbalanced(if size == Size::Full { 3_000_000 } else { 60_000 });
            let expected = tree.sum();
            with(&fork_join_systems!(pools, expected, |s, S| tree_sum::<S>(s, &tree)));
        },
    },
    Workload {
        name: "fork-join/cilksort",
        about: "merge sort with a parallel merge: memory bandwidth, few joins",
        make: |pools, size, with| {
            let count = if size == Size::Full { 10_000_000 } else { 300_000 };
            let mut random = fastrand::Rng::with_seed(7);
            let numbers: Vec<u32> = (0..count).map(|_| random.u32(..)).collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            // Comparing the whole result costs every system the same.
            let check = |result: Vec<u32>| result == sorted;
            with(&fork_join_systems!(pools, true, |s, S| {
                let (mut own, mut spare) = (numbers.clone(), vec![0; numbers.len()]);
                cilksort::<S>(s, &mut own, &mut spare);
                check(own)
            }));
        },
    },
    Workload {
        name: "parallel-for/100-ns",
        about: "a loop by halving down to single items of about 100 ns",
        make: |pools, size, with| for_items(pools, size, 60, with),
    },
    Workload {
        name: "parallel-for/1-us",
        about: "the same with items of about 1 µs",
        make: |pools, size, with| for_items(pools, size, 600, with),
    },
    Workload {
        name: "parallel-for/100-us",
        about: "the same with items of about 100 µs",
        make: |pools, size, with| for_items(pools, size, 60_000, with),
    },
    Workload {
        name: "spawning/scope",
        about: "empty jobs, spawned from inside into a scope",
        make: |pools, size, with| {
            with(&tasks::scope(pools, if size == Size::Full { 1_000_000 } else { 50_000 }));
        },
    },
    Workload {
        name: "spawning/foreign",
        about: "empty jobs, spawned by a thread that is no worker",
        make: |pools, size, with| {
            with(&tasks::foreign(pools, if size == Size::Full { 200_000 } else { 20_000 }));
        },
    },
    Workload {
        name: "fibers/phases",
        about: "a thousand fibers that wait for each other, phase by phase",
        make: |pools, size, with| {
            with(&tasks::phases(pools, 1000, if size == Size::Full { 200 } else { 10 }));
        },
    },
    Workload {
        name: "fibers/yield",
        about: "ten fibers that yield to each other",
        make: |pools, size, with| {
            with(&tasks::yields(pools, if size == Size::Full { 100_000 } else { 5_000 }));
        },
    },
];

/// Steps of all items of a loop together.
fn for_items(pools: &Pools, size: Size, work: u32, with: With<'_>) {
    let steps: u64 = if size == Size::Full { 300_000_000 } else { 20_000_000 };
    let items = steps / u64::from(work);
    let expected = plain_for(0..items, work);
    with(&fork_join_systems!(pools, expected, |s, S| parallel_for::<S>(s, 0..items, work)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_computes_the_answer_of_every_workload() {
        let pools = Pools::start(2);
        for workload in WORKLOADS {
            let mut systems_run = 0;
            workload.with_systems(&pools, Size::Quick, &mut |systems| {
                systems.iter().for_each(|system| (system.run)());
                systems_run = systems.len();
            });
            assert!(systems_run >= 2, "{} compares nothing", workload.name);
        }
    }
}
