//! Many fibers resumed in random order against a sequential oracle.

use fastrand::Rng;
use fiber_stack::{Fiber, Resumed, StackCache, StackPool, StackSize, Suspender};
use test_support::seed;

const FIBER_COUNT: usize = 100;
const GENERATION_COUNT: usize = 30;

/// One step of the computation that fibers and the oracle both make.
fn step(state: u64, input: u64) -> u64 {
    Rng::with_seed(state ^ input.rotate_left(17)).u64(..)
}

/// What a fiber will do, and what the oracle has computed for it so far.
struct Plan {
    seed: u64,
    suspensions: usize,
    depth: usize,
    panics: bool,
    expected: u64,
    made: usize,
}

impl Plan {
    fn draw(random: &mut Rng) -> Plan {
        let seed = random.u64(..);
        Plan {
            seed,
            suspensions: random.usize(..40),
            depth: random.usize(..20),
            panics: random.usize(..8) == 0,
            expected: seed,
            made: 0,
        }
    }
}

/// Suspends at the bottom of `depth` frames, each with a local that must survive the suspension.
fn suspend_deep(suspender: &Suspender<u64, u64>, value: u64, depth: usize) -> u64 {
    let local = std::hint::black_box([value ^ depth as u64; 8]);
    let input = match depth {
        0 => suspender.suspend(value),
        _ => suspend_deep(suspender, value, depth - 1),
    };
    assert!(local.iter().all(|&word| word == value ^ depth as u64), "a frame was overwritten");
    input
}

fn run_plan(
    suspender: &Suspender<u64, u64>,
    first: u64,
    plan: (u64, usize, usize, bool),
) -> Box<u64> {
    let (seed, suspensions, depth, panics) = plan;
    let mut state = Box::new(step(seed, first)); // On the heap, so that a lost drop shows.
    for _ in 0..suspensions {
        let input = suspend_deep(suspender, *state, depth);
        *state = step(*state, input);
    }
    if panics {
        std::panic::resume_unwind(Box::new(*state));
    }
    state
}

#[test]
fn random_interleaving_computes_what_sequential_code_computes() {
    let mut random = Rng::with_seed(seed());
    let pool = StackPool::new(StackSize::new(64 * 1024).unwrap(), Some(FIBER_COUNT));
    let mut cache = StackCache::new();

    let mut begun = 0;
    let mut running = Vec::new();
    while begun < FIBER_COUNT * GENERATION_COUNT || !running.is_empty() {
        if running.len() < FIBER_COUNT && begun < FIBER_COUNT * GENERATION_COUNT {
            let plan = Plan::draw(&mut random);
            let copy = (plan.seed, plan.suspensions, plan.depth, plan.panics);
            let body = move |suspender: &_, first| run_plan(suspender, first, copy);
            running.push((Fiber::new(pool.take(&mut cache).unwrap(), body), plan));
            begun += 1;
            if running.len() < FIBER_COUNT / 2 {
                continue;
            }
        }
        let chosen = random.usize(..running.len());
        let (fiber, plan) = &mut running[chosen];
        let input = random.u64(..);
        plan.expected = step(plan.expected, input);
        let last = plan.made == plan.suspensions;
        plan.made += 1;
        match fiber.resume(input) {
            Resumed::Suspended(value) => {
                assert!(!last, "a fiber suspended once too often");
                assert_eq!(value, plan.expected);
                continue;
            }
            Resumed::Finished(Ok(value)) => {
                assert!(last && !plan.panics, "a fiber finished early");
                assert_eq!(*value, plan.expected);
            }
            Resumed::Finished(Err(payload)) => {
                assert!(last && plan.panics, "a fiber panicked");
                assert_eq!(payload.downcast_ref(), Some(&plan.expected));
            }
        }
        let (fiber, _) = running.swap_remove(chosen);
        pool.give_back(&mut cache, fiber.into_stack());
    }
    assert!(pool.created() <= FIBER_COUNT);
    assert_eq!(pool.live(), pool.created());
}
