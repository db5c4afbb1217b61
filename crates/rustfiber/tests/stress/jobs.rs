//! Random trees of jobs that use everything at once: each job runs as often as it should, whatever
//! is lent is there, and each value is dropped once.

use std::hint::{black_box, spin_loop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;
use rustfiber::{
    Counter, Event, JoinHandle, Runtime, join, join_all, par_for, par_map, par_map_reduce,
    par_sort_by, par_sort_unstable_by, scope, spawn, without_suspending, yield_now,
};

use crate::tally::{CANARY, Tally, Value, add, assert_on_purpose, caught, panic_on_purpose, read};

/// From so many jobs on, a round makes no more.
const JOBS_MAX: usize = if cfg!(debug_assertions) { 1000 } else { 4000 };

/// The depth of a job that never waits, for those who block their thread until it has ended: a
/// chain of such waits over jobs that do may hang, as docs/soundness.md says.
const NEVER_WAITS: u32 = u32::MAX;

/// What each closure owns: its drop is counted, and sometimes joins, waits or panics.
struct Owned {
    tally: Arc<Tally>,
    acts: u32,
    /// Says whether it is still what it was.
    canary: Box<u64>,
}

impl Owned {
    fn new(tally: &Arc<Tally>, depth: u32, random: &mut Rng) -> Self {
        add(&tally.made);
        let acts = if depth == NEVER_WAITS { u32::MAX } else { random.u32(..64) };
        Owned { tally: Arc::clone(tally), acts, canary: Box::new(CANARY) }
    }

    fn check(&self) {
        assert_eq!(*self.canary, CANARY, "a closure was used after its end");
        add(&self.tally.run);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        assert_eq!(std::mem::replace(&mut *self.canary, 0), CANARY, "a closure was dropped twice");
        add(&self.tally.closures_dropped);
        match self.acts {
            0 => _ = join(|| black_box(1), || black_box(2)),
            1 => scope(|s| s.spawn(spin_loop)),
            2 => _ = spawn(|| black_box(3)).join(),
            _ => {}
        }
    }
}

/// What all jobs of a round may use.
struct Round<'a> {
    tally: Arc<Tally>,
    runtimes: &'a [Runtime],
    /// One in so many jobs panics; zero: none.
    panics: u32,
}

impl<'r> Round<'r> {
    fn may_panic(&self, random: &mut Rng) {
        if self.panics != 0 && random.u32(..self.panics) == 0 {
            panic_on_purpose();
        }
    }

    /// A job of this round: it owns something, and makes some more jobs.
    fn job<'a>(
        &'a self,
        depth: u32,
        random: &mut Rng,
    ) -> impl FnOnce() -> Value + Send + use<'a, 'r> {
        let (owned, mut random) = (Owned::new(&self.tally, depth, random), random.fork());
        move || {
            owned.check();
            self.node(depth, &mut random);
            self.may_panic(&mut random);
            Value::new(&self.tally, &mut random)
        }
    }

    /// A job that borrows nothing.
    fn free_job(
        &self,
        depth: u32,
        random: &mut Rng,
    ) -> impl FnOnce() -> Value + Send + 'static + use<> {
        let owned = Owned::new(&self.tally, depth, random);
        let (mut random, panics) = (random.fork(), self.panics);
        move || {
            owned.check();
            let round = Round { tally: Arc::clone(&owned.tally), runtimes: &[], panics };
            round.node(depth, &mut random);
            round.may_panic(&mut random);
            Value::new(&owned.tally, &mut random)
        }
    }

    fn node(&self, depth: u32, random: &mut Rng) {
        if depth == 0 || depth == NEVER_WAITS || read(&self.tally.made) > JOBS_MAX {
            return match random.u32(..8) {
                0 if depth != NEVER_WAITS => yield_now(),
                1 => (0..random.u32(..2000)).for_each(|_| spin_loop()),
                _ => {}
            };
        }
        let depth = depth - 1;
        match random.u32(..16) {
            0..=2 => self.joins(depth, random),
            3..=4 => self.scope(depth, random),
            5 => self.scope_from_elsewhere(depth, random),
            6 => self.counted(depth, random),
            7 => self.handles(random),
            8 => self.detached(random),
            9 => self.ping_pong(random),
            10 => without_suspending(|| self.joins(NEVER_WAITS, random)),
            11 => without_suspending(|| self.scope(NEVER_WAITS, random)),
            12 => self.loops(depth, random),
            13 => self.sorts(random),
            14 => self.other_runtime(depth, random),
            _ => self.in_a_panic(random),
        }
    }

    fn joins(&self, depth: u32, random: &mut Rng) {
        let (a, b) = (self.job(depth, random), self.job(depth, random));
        if random.bool() {
            let c = self.job(depth, random);
            self.excuse(3, || {
                let (a, b, c) = join_all((a, b, c));
                [a, b, c].into_iter().for_each(Value::take);
            });
        } else {
            self.excuse(2, || {
                let (a, b) = join(a, b);
                [a, b].into_iter().for_each(Value::take);
            });
        }
    }

    /// Calls `f`, after whose panic up to `jobs` may not have run; and goes on with the panic, or
    /// not.
    fn excuse(&self, jobs: usize, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            assert_on_purpose(payload);
            self.tally.excused.fetch_add(jobs, Ordering::Relaxed);
        }
    }

    fn scope(&self, depth: u32, random: &mut Rng) {
        let count = random.usize(..12);
        let (ended, mut lent) = (AtomicUsize::new(0), vec![0_u8; count]);
        let body_panics = self.panics != 0 && random.u32(..10) == 0;
        let body_waits = depth != NEVER_WAITS && random.u32(..4) == 0;
        let mut spawned = 0;
        caught(|| {
            scope(|s| {
                for place in &mut lent {
                    let (job, ended) = (self.job(depth, random), &ended);
                    let nested = (random.u32(..4) == 0).then(|| self.job(depth, random));
                    spawned += 1 + usize::from(nested.is_some());
                    s.spawn(move || {
                        if let Some(nested) = nested {
                            s.spawn(move || {
                                let end = Counting(ended);
                                nested();
                                drop(end);
                            });
                        }
                        let _end = Counting(ended);
                        *place += 1;
                        job();
                    });
                    if depth != NEVER_WAITS && random.u32(..8) == 0 {
                        yield_now();
                    }
                }
                if body_waits {
                    _ = join(yield_now, || black_box(1));
                }
                if body_panics {
                    panic_on_purpose();
                }
            });
        });
        assert_eq!(read(&ended), spawned, "a scope ended before its jobs");
        assert!(lent.iter().all(|runs| *runs == 1));
    }

    /// Jobs of one scope that are spawned by plain threads, by other runtimes' jobs, by both halves
    /// of a join.
    fn scope_from_elsewhere(&self, depth: u32, random: &mut Rng) {
        let (ended, ended_too) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let jobs = random.usize(1..20);
        let mut more: Vec<_> = (0..jobs).map(|_| self.job(depth.min(1), random)).collect();
        let half = more.split_off(jobs / 2);
        let runtime = self.runtimes.get(random.usize(..4));
        let by_thread = random.u32(..8) == 0;
        caught(|| {
            scope(|s| {
                let (ended, ended_too) = (&ended, &ended_too);
                let spawn_all = |jobs: Vec<_>| {
                    for job in jobs {
                        s.spawn(move || {
                            let _end = Counting(ended);
                            self.call(job);
                        });
                    }
                };
                if by_thread {
                    thread::scope(|t| {
                        t.spawn(|| spawn_all(more));
                        spawn_all(half);
                    });
                } else if let Some(runtime) = runtime {
                    join(|| runtime.run(|| spawn_all(more)), || spawn_all(half));
                } else {
                    join(|| spawn_all(more), || spawn_all(half));
                }
                s.spawn(move || add(ended_too));
            });
        });
        assert_eq!((read(&ended), read(&ended_too)), (jobs, 1), "a scope ended before its jobs");
    }

    fn call(&self, job: impl FnOnce() -> Value) {
        job();
    }

    fn counted(&self, depth: u32, random: &mut Rng) {
        let count = random.usize(1..10);
        let (counter, ended) = (Counter::new(count), AtomicUsize::new(0));
        let blocks = random.u32(..4) == 0;
        let depth = if blocks { NEVER_WAITS } else { depth };
        caught(|| {
            scope(|s| {
                for _ in 0..count {
                    let (job, ended) = (self.job(depth, random), &ended);
                    s.spawn_counted(&counter, move || {
                        let _end = Counting(ended);
                        job();
                    });
                }
                let waits = || {
                    counter.wait();
                    assert_eq!(read(&ended), count, "a wait ended before its jobs");
                };
                if blocks { without_suspending(waits) } else { waits() }
            });
        });
        assert_eq!(counter.value(), 0);
    }

    fn handles(&self, random: &mut Rng) {
        let (count, blocks) = (random.usize(1..8), random.u32(..4) == 0);
        let depth = if blocks { NEVER_WAITS } else { 1 };
        let mut handles: Vec<JoinHandle<Value>> =
            (0..count).map(|_| spawn(self.free_job(depth, random))).collect();
        if random.bool() {
            handles.reverse();
        }
        for handle in handles {
            let outcome = match random.u32(..4) {
                _ if blocks => without_suspending(|| handle.join()),
                0 => {
                    while !handle.is_finished() {
                        yield_now();
                    }
                    handle.join()
                }
                _ => handle.join(),
            };
            match outcome {
                Ok(value) => value.take(),
                Err(payload) => assert_on_purpose(payload),
            }
        }
    }

    fn detached(&self, random: &mut Rng) {
        for _ in 0..random.usize(..4) {
            add(&self.tally.detached);
            let (job, tally) = (self.free_job(1, random), Arc::clone(&self.tally));
            drop(spawn(move || {
                let value = catch_unwind(AssertUnwindSafe(job));
                add(&tally.detached_run);
                value
            }));
        }
    }

    fn ping_pong(&self, random: &mut Rng) {
        let (ping, pong, rounds) = (Event::new(), Event::new(), random.usize(..20));
        join(
            || (0..rounds).for_each(|_| (ping.set(), pong.wait()).1),
            || (0..rounds).for_each(|_| (ping.wait(), pong.set()).1),
        );
    }

    fn loops(&self, depth: u32, random: &mut Rng) {
        let count = random.usize(..300);
        let seed = random.u64(..);
        let job = |number: usize| {
            let mut random = Rng::with_seed(seed.wrapping_add(number as u64));
            if number % 64 == 7 {
                self.node(depth.min(1), &mut random);
            }
        };
        let calls = AtomicUsize::new(0);
        par_for(0..count, |number| {
            job(number);
            add(&calls);
        });
        assert_eq!(read(&calls), count);
        self.excuse(0, || {
            let values = par_map(0..count, |number| {
                let mut random = Rng::with_seed(seed.wrapping_add(number as u64));
                if self.panics != 0 && random.u32(..2000) == 0 {
                    panic_on_purpose();
                }
                Value::new(&self.tally, &mut random)
            });
            assert_eq!(values.len(), count);
            values.into_iter().for_each(Value::take);
        });
        let sum = par_map_reduce(0..count, |number| number, |a, b| a + b);
        assert_eq!(sum.unwrap_or(0), count * count.saturating_sub(1) / 2);
    }

    fn sorts(&self, random: &mut Rng) {
        if random.u32(..20) != 0 {
            return;
        }
        let mut items: Vec<Box<u32>> = (0..40_000).map(|_| Box::new(random.u32(..1000))).collect();
        let sum = |items: &[Box<u32>]| items.iter().map(|item| u64::from(**item)).sum::<u64>();
        let before = sum(&items);
        let last = if self.panics == 0 { usize::MAX } else { random.usize(..1_500_000) };
        let comparisons = AtomicUsize::new(0);
        #[expect(clippy::borrowed_box, reason = "what is sorted is boxed")]
        let compare = |a: &Box<u32>, b: &Box<u32>| {
            if comparisons.fetch_add(1, Ordering::Relaxed) == last {
                panic_on_purpose();
            }
            a.cmp(b)
        };
        caught(|| match random.bool() {
            true => par_sort_by(&mut items, compare),
            false => par_sort_unstable_by(&mut items, compare),
        });
        assert_eq!(sum(&items), before);
    }

    fn other_runtime(&self, depth: u32, random: &mut Rng) {
        let Some(runtime) = self.runtimes.get(random.usize(..4)) else { return };
        let job = self.job(depth, random);
        caught(|| runtime.run(|| self.call(job)));
        let handle = runtime.spawn(self.free_job(1, random));
        match handle.join() {
            Ok(value) => value.take(),
            Err(payload) => assert_on_purpose(payload),
        }
    }

    /// Joins and scopes in a destructor, while the thread panics.
    fn in_a_panic(&self, random: &mut Rng) {
        struct InDrop<F: FnMut()>(F);
        impl<F: FnMut()> Drop for InDrop<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        if self.panics == 0 {
            return;
        }
        let random = &mut random.fork();
        caught(|| {
            let _in_drop = InDrop(|| {
                // A panic must not leave a destructor while another goes on.
                caught(|| self.joins(NEVER_WAITS, random));
                caught(|| self.scope(NEVER_WAITS, random));
            });
            panic_on_purpose();
        });
    }
}

/// Counts the end of a job, also by a panic.
struct Counting<'a>(&'a AtomicUsize);

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        add(self.0);
    }
}

pub(crate) fn run_round(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let tally = Arc::new(Tally::default());
    let workers = [1, 1, 2, 2, 3, 4, 8];
    let runtimes: Vec<Runtime> = (0..random.usize(1..3))
        .map(|_| {
            let workers = workers[random.usize(..workers.len())];
            Runtime::builder().workers(workers).fenced(random.bool()).build().unwrap()
        })
        .collect();
    let panics = [0, 0, 100, 20][random.usize(..4)];
    let round = Round { tally: Arc::clone(&tally), runtimes: &runtimes, panics };
    let depth = random.u32(3..6);
    for _ in 0..random.usize(1..20) {
        let mut jobs: Vec<_> = (0..random.usize(1..4)).map(|_| random.fork()).collect();
        thread::scope(|t| {
            for random in &mut jobs {
                let (round, runtime) = (&round, &runtimes[random.usize(..runtimes.len())]);
                t.spawn(move || caught(|| runtime.run(|| round.node(depth, random))));
            }
        });
    }
    drop(runtimes); // ends the detached jobs, too
    assert_eq!(read(&tally.detached), read(&tally.detached_run), "a detached job was lost");
    let (made, run) = (read(&tally.made), read(&tally.run));
    assert!(run <= made && run + read(&tally.excused) >= made, "{tally:?}");
    assert_eq!(made, read(&tally.closures_dropped), "{tally:?}");
    assert_eq!(read(&tally.values_made), read(&tally.values_dropped), "{tally:?}");
}
