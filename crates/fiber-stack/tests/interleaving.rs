//! Many fibers resumed in random order against a sequential oracle.

use std::time::{SystemTime, UNIX_EPOCH};

use fiber_stack::{Fiber, Resumed, StackCache, StackPool, StackSize, Suspender};

const FIBER_COUNT: usize = 100;
const GENERATION_COUNT: usize = 30;

/// SplitMix64: small, and good enough to shuffle.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// One step of the computation that fibers and the oracle both make.
fn step(state: u64, input: u64) -> u64 {
    Random(state ^ input.rotate_left(17)).next()
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
    fn draw(random: &mut Random) -> Plan {
        let seed = random.next();
        Plan {
            seed,
            suspensions: random.below(40),
            depth: random.below(20),
            panics: random.below(8) == 0,
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
    let seed = match std::env::var("FIBER_STACK_SEED") {
        Ok(text) => text.parse().expect("FIBER_STACK_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("seed: FIBER_STACK_SEED={seed}");
    let mut random = Random(seed);
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
        let chosen = random.below(running.len());
        let (fiber, plan) = &mut running[chosen];
        let input = random.next();
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
