//! `join` against its peers', in one process, each on its own pool of as many workers as CPUs.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rustfiber_benches::fork_join::{Tree, fibonacci, fibonacci_by_addition, tree_sum};
use rustfiber_benches::peers::{Chili, Pools, Rayon, RustFiber};
use rustfiber_benches::report::Machine;

/// The Fibonacci number that is computed.
const N: u32 = 22;

/// Levels of the tree whose values are summed.
const LEVELS: u32 = 14;

/// Benchmarks an expression in each system, after a look at the answer.
macro_rules! compare {
    ($criterion:expr, $group:literal, $pools:expr, $expected:expr,
     |$scope:ident, $system:ident| $body:expr) => {{
        let (pools, expected) = ($pools, $expected);
        let rustfiber = || {
            type $system = RustFiber;
            pools.rustfiber.run(|| {
                let $scope = &mut ();
                $body
            })
        };
        let rayon = || {
            type $system = Rayon;
            pools.rayon.install(|| {
                let $scope = &mut ();
                $body
            })
        };
        let chili = || {
            type $system = Chili;
            let $scope = &mut pools.chili.scope();
            $body
        };
        assert_eq!([rustfiber(), rayon(), chili()], [expected; 3]);
        let mut group = $criterion.benchmark_group($group);
        group.bench_function("rustfiber", |bencher| bencher.iter(rustfiber));
        group.bench_function("rayon", |bencher| bencher.iter(rayon));
        group.bench_function("chili", |bencher| bencher.iter(chili));
        group.finish();
    }};
}

fn join(criterion: &mut Criterion) {
    let machine = Machine::this();
    println!("{machine:?}");
    let pools = &Pools::start(machine.cpus);
    let tree = &Tree::full(LEVELS);

    compare!(criterion, "fibonacci", pools, fibonacci_by_addition(N), |s, S| {
        fibonacci::<S>(s, black_box(N))
    });
    compare!(criterion, "tree-sum", pools, tree.sum(), |s, S| tree_sum::<S>(s, black_box(tree)));
}

criterion_group! {
    name = benches;
    // Six measurements, which `cargo xtask bench` makes after its own.
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = join
}
criterion_main!(benches);
