//! Programs made of joins: the system's own `join`, and the same work on every side.

use std::hint::black_box;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rustfiber::Runtime;

use super::{Context, With, Workload};
use crate::fork_join::{
    Tree, cilksort, fibonacci, fibonacci_by_addition, mix, parallel_for, plain_for, queens,
    queens_by_table, skynet, skynet_by_formula, tree_sum,
};
use crate::matmul::{Matrix, multiply};
use crate::paired::System;
use crate::peers::{Chili, ChiliEachJoin, Opaque, Rayon, RustFiber, Sequential};

/// Makes the systems of a fork-join workload from one expression, generic over `$system`.
///
/// `opaque` adds a sequential form whose calls the compiler cannot fold into each other, as no
/// system's `join` lets it.
macro_rules! fork_join_systems {
    ($pools:expr, $check:expr, |$scope:ident, $system:ident| $body:expr) => {{
        let (pools, check) = (&$pools, $check);
        vec![
            System::checked(
                "rustfiber",
                || {
                    type $system = RustFiber;
                    pools.rustfiber.run(|| {
                        let $scope = &mut ();
                        $body
                    })
                },
                check,
            ),
            System::checked(
                "rayon",
                || {
                    type $system = Rayon;
                    pools.rayon.install(|| {
                        let $scope = &mut ();
                        $body
                    })
                },
                check,
            ),
            System::checked(
                "chili",
                || {
                    type $system = Chili;
                    let $scope = &mut pools.chili.scope();
                    $body
                },
                check,
            ),
            System::checked(
                "sequential",
                || {
                    type $system = Sequential;
                    let $scope = &mut ();
                    $body
                },
                check,
            ),
        ]
    }};
    (opaque $pools:expr, $check:expr, |$scope:ident, $system:ident| $body:expr) => {{
        let mut systems = fork_join_systems!($pools, $check, |$scope, $system| $body);
        systems.push(System::checked(
            "chili, each join",
            || {
                type $system = ChiliEachJoin;
                let $scope = &mut $pools.chili.scope();
                $body
            },
            $check,
        ));
        systems.push(System::checked(
            "sequential, opaque",
            || {
                type $system = Opaque;
                let $scope = &mut ();
                $body
            },
            $check,
        ));
        systems
    }};
}

/// Returns what panics unless an answer is `expected`.
fn equals(expected: u64) -> impl Fn(u64) + Copy {
    move |answer| assert_eq!(answer, expected, "a wrong answer")
}

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "fork-join/fibonacci",
        about: "fib(36), one join a call and nothing else: the cost of a join",
        bound: "half of sequential, opaque",
        make: |context, with| {
            let n = context.pick(32, 36);
            let expected = equals(fibonacci_by_addition(n));
            with(&fork_join_systems!(opaque context.pools, expected, |s, S| {
                fibonacci::<S>(s, n)
            }));
        },
    },
    Workload {
        name: "fork-join/fibonacci-1-worker",
        about: "the same with one worker: what a join costs that nobody steals",
        bound: "sequential, opaque",
        make: |context, with| {
            let n = context.pick(30, 34);
            let expected = equals(fibonacci_by_addition(n));
            with(&fork_join_systems!(opaque context.single, expected, |s, S| {
                fibonacci::<S>(s, n)
            }));
        },
    },
    Workload {
        name: "fork-join/fenced",
        about: "the same, and where the system has no asymmetric barrier: two fences a join",
        bound: "rustfiber",
        make: |context, with| {
            let n = context.pick(26, 30);
            let check = equals(fibonacci_by_addition(n));
            let run = |runtime: &Runtime| runtime.run(|| fibonacci::<RustFiber>(&mut (), n));
            let start = || Runtime::builder().workers(1).fenced(true).build();
            let fenced = start().expect("a runtime starts");
            with(&[
                System::checked("rustfiber", || run(&context.single.rustfiber), check),
                System::checked("fenced", || run(&fenced), check),
            ]);
        },
    },
    Workload {
        name: "fork-join/skynet",
        about: "a full tree of joins down to ten million single numbers",
        bound: "half of sequential, opaque",
        make: |context, with| {
            let leaves = context.pick(3_000_000, 10_000_000);
            let expected = equals(skynet_by_formula(leaves));
            with(&fork_join_systems!(opaque context.pools, expected, |s, S| {
                skynet::<S>(s, 0, leaves)
            }));
        },
    },
    Workload {
        name: "fork-join/queens",
        about: "14 queens: an irregular tree with little work in a node",
        bound: "half of sequential",
        make: |context, with| {
            let board = context.pick(12, 14);
            let expected = equals(queens_by_table(board));
            with(&fork_join_systems!(context.pools, expected, |s, S| queens::<S>(s, board)));
        },
    },
    Workload {
        name: "fork-join/matmul",
        about: "two matrices of 2048 × 2048 numbers: few joins, much arithmetic",
        bound: "half of sequential, less what both cores share",
        make: |context, with| {
            let size = context.pick(512, 2048);
            let (a, b) = (Matrix::random(size, 1), Matrix::random(size, 2));
            let check = |product: Matrix| assert!(product.is_product_of(&a, &b), "a wrong product");
            with(&fork_join_systems!(context.pools, check, |s, S| multiply::<S>(s, &a, &b)));
        },
    },
    Workload {
        name: "fork-join/tree-sum",
        about: "a full tree of 2^22 boxed nodes: a join and a cache miss at each",
        bound: "memory latency: a node is a cache line",
        make: |context, with| {
            let tree = Tree::full(context.pick(19, 22));
            let expected = equals(tree.sum());
            with(&fork_join_systems!(context.pools, expected, |s, S| tree_sum::<S>(s, &tree)));
        },
    },
    Workload {
        name: "fork-join/unbalanced-tree",
        about: "three million nodes, one side of each up to 15 times the other, no cut-off",
        bound: "memory latency; a thief has to find the large side",
        make: |context, with| {
            let tree = Tree::unbalanced(context.pick(600_000, 3_000_000));
            let expected = equals(tree.sum());
            with(&fork_join_systems!(context.pools, expected, |s, S| tree_sum::<S>(s, &tree)));
        },
    },
    Workload {
        name: "fork-join/cilksort",
        about: "merge sort of ten million numbers with a parallel merge: memory, few joins",
        bound: "half of sequential, less what both cores share",
        make: |context, with| {
            let count = context.pick(2_000_000, 10_000_000);
            let mut random = fastrand::Rng::with_seed(7);
            let numbers: Vec<u32> = (0..count).map(|_| random.u32(..)).collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let check = |result: Vec<u32>| assert!(result == sorted, "not sorted");
            with(&fork_join_systems!(context.pools, check, |s, S| {
                let (mut own, mut spare) = (numbers.clone(), vec![0; numbers.len()]);
                cilksort::<S>(s, &mut own, &mut spare);
                own
            }));
        },
    },
    Workload {
        name: "parallel-for/100-ns",
        about: "a loop over items of about 100 ns, as each system's users write it; chili has no \
                loop, and halves",
        bound: "half of sequential",
        make: |context, with| for_items(context, 60, with),
    },
    Workload {
        name: "parallel-for/1-us",
        about: "the same with items of about 1 µs",
        bound: "half of sequential",
        make: |context, with| for_items(context, 600, with),
    },
    Workload {
        name: "parallel-for/10-us",
        about: "the same with items of about 10 µs",
        bound: "half of sequential",
        make: |context, with| for_items(context, 6_000, with),
    },
    Workload {
        name: "parallel-for/100-us",
        about: "the same with items of about 100 µs",
        bound: "half of sequential",
        make: |context, with| for_items(context, 60_000, with),
    },
    Workload {
        name: "parallel-for/map",
        about: "a vector of a million numbers, each of about 10 ns",
        bound: "half of sequential",
        make: |context, with| {
            let (count, work) = (context.pick(300_000, 1_000_000), 6);
            let (rustfiber, rayon) = (&context.pools.rustfiber, &context.pools.rayon);
            let item = move |number: usize| mix(number as u64, work);
            let expected: Vec<u64> = (0..count).map(item).collect();
            let check = |values: Vec<u64>| assert!(values == expected, "wrong values");
            let map = || rustfiber.run(|| rustfiber::par_map(0..count, item));
            let collect = || rayon.install(|| (0..count).into_par_iter().map(item).collect());
            with(&[
                System::checked("rustfiber", map, check),
                System::checked("rayon", collect, check),
                System::checked("sequential", || (0..count).map(item).collect(), check),
            ]);
        },
    },
    Workload {
        name: "parallel-for/empty",
        about: "ten thousand loops of 16 empty items each on a hot pool, one after the other",
        bound: "sequential: there is nothing to gain",
        make: |context, with| {
            let loops = context.pick(5_000, 10_000);
            let expected = equals(plain_for(0..16, 0).wrapping_mul(loops));
            with(&loop_systems(context, loops, 16, 0, expected));
        },
    },
];

/// As many items as make up some steps of all together.
fn for_items(context: &Context, work: u32, with: With<'_>) {
    let steps: u64 = context.pick(60_000_000, 300_000_000);
    let items = steps / u64::from(work);
    let expected = equals(plain_for(0..items, work));
    with(&loop_systems(context, 1, items, work, expected));
}

/// A loop so often, as each system's users would write it: where there is no loop, by halving.
fn loop_systems<'a>(
    context: &'a Context,
    loops: u64,
    items: u64,
    work: u32,
    check: impl Fn(u64) + Copy + 'a,
) -> Vec<System<'a>> {
    let pools = &context.pools;
    let repeat = move |one: &dyn Fn(u64) -> u64| {
        (0..loops).map(|_| one(black_box(items))).fold(0, u64::wrapping_add)
    };
    vec![
        System::checked(
            "rustfiber",
            move || {
                let one = |items: u64| {
                    let item = |item| mix(item as u64, work);
                    rustfiber::par_map_reduce(0..items as usize, item, u64::wrapping_add)
                        .expect("there are items")
                };
                pools.rustfiber.run(|| repeat(&one))
            },
            check,
        ),
        System::checked(
            "rayon",
            move || {
                let one = |items: u64| {
                    let items = (0..items).into_par_iter().map(|item| mix(item, work));
                    items.reduce(|| 0, u64::wrapping_add)
                };
                pools.rayon.install(|| repeat(&one))
            },
            check,
        ),
        System::checked(
            "chili",
            move || {
                let halve = |items| parallel_for::<Chili>(&mut pools.chili.scope(), 0..items, work);
                repeat(&halve)
            },
            check,
        ),
        System::checked("sequential", move || repeat(&|items| plain_for(0..items, work)), check),
    ]
}
