//! rayon's nested-steal family (rayon#854, #1064, #592, #1181): waiting jobs do not pile up on one
//! stack, and a lock held across a wait does not meet itself. What waits is found wherever it lies.

mod support;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rustfiber::{Counter, JoinHandle, Runtime, join, scope, spawn, without_suspending, yield_now};

use support::{must_end, runtime_with};

const STACK_BYTES: usize = 64 * 1024;

/// How a job waits for the next one.
#[derive(Clone, Copy)]
enum By {
    Handle,
    Scope,
    Counter,
}

/// Waits for a job that waits for a job, and so on. Notes where each one's frame lies.
fn nest(levels: usize, by: By, frames: &Arc<Mutex<Vec<usize>>>) {
    // Four of these on one stack would overflow it.
    let frame = black_box([levels as u8; STACK_BYTES / 4]);
    frames.lock().unwrap().push(frame.as_ptr().addr());
    if levels == 0 {
        return;
    }
    let more = Arc::clone(frames);
    match by {
        By::Handle => spawn(move || nest(levels - 1, by, &more)).join().unwrap(),
        By::Scope => scope(|s| s.spawn(|| nest(levels - 1, by, &more))),
        By::Counter => {
            let counter = Arc::new(Counter::new(1));
            let ticket = Arc::clone(&counter).ticket_owned();
            spawn(move || {
                let _ticket = ticket;
                nest(levels - 1, by, &more);
            });
            counter.wait();
        }
    }
    assert_eq!(black_box(&frame)[levels % frame.len()], levels as u8, "the frame was kept");
}

#[track_caller]
fn assert_ten_thousand_nested_waits_share_no_stack(by: By) {
    // ThreadSanitizer takes mappings of its own for each live fiber, and the system has no more.
    const LEVELS: usize = if cfg!(rustfiber_tsan) { 1_000 } else { 10_000 };
    for workers in [1, 2, 4] {
        must_end(move || {
            let builder = Runtime::builder().workers(workers).stack_size(STACK_BYTES);
            let runtime = builder.build().unwrap();
            let frames = Arc::default();
            runtime.run(|| nest(LEVELS, by, &frames));
            // The last job may still be about to drop its reference.
            let mut frames = std::mem::take(&mut *frames.lock().unwrap());
            assert_eq!(frames.len(), LEVELS + 1);
            // At the deepest point all are alive at once, so no two may share a stack.
            frames.sort_unstable();
            let nearest = frames.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
            assert!(nearest >= STACK_BYTES, "two jobs' frames are {nearest} bytes apart");
        });
    }
}

#[test]
fn ten_thousand_nested_handles_each_have_a_stack_of_their_own() {
    assert_ten_thousand_nested_waits_share_no_stack(By::Handle);
}

#[test]
fn ten_thousand_nested_scopes_each_have_a_stack_of_their_own() {
    assert_ten_thousand_nested_waits_share_no_stack(By::Scope);
}

#[test]
fn ten_thousand_nested_counters_each_have_a_stack_of_their_own() {
    assert_ten_thousand_nested_waits_share_no_stack(By::Counter);
}

/// Room for many jobs that would pile up, so that they are counted and do not overflow.
const ROOMY_BYTES: usize = 2 * 1024 * 1024;

/// Frames of jobs that have started and not ended.
#[derive(Default)]
struct Alive {
    frames: Mutex<BTreeSet<usize>>,
    /// Jobs that started within reach of another one's frame.
    piled: AtomicUsize,
}

impl Alive {
    /// Runs `f` as a job whose frame is here.
    fn during(&self, f: impl FnOnce()) {
        let mark = black_box([0_u8; 8]);
        let here = mark.as_ptr().addr();
        let mut frames = self.frames.lock().unwrap();
        // Two stacks are a stack apart, give or take how deep their jobs begin.
        let reach = here - ROOMY_BYTES / 2..here + ROOMY_BYTES / 2;
        let nearby = frames.range(reach).count();
        self.piled.fetch_add(nearby, Ordering::Relaxed);
        frames.insert(here);
        drop(frames);
        f();
        assert!(self.frames.lock().unwrap().remove(&here));
    }
}

#[test]
fn no_unrelated_job_starts_on_the_stack_of_one_that_waits() {
    const JOBS: usize = 400;
    for workers in [1, 2, 4] {
        must_end(move || {
            let builder = Runtime::builder().workers(workers).stack_size(ROOMY_BYTES);
            let runtime = builder.build().unwrap();
            let alive = Alive::default();
            let gates: Arc<Vec<Counter>> = Arc::new((0..JOBS).map(|_| Counter::new(1)).collect());
            let started = Counter::new(JOBS);
            runtime.run(|| {
                scope(|s| {
                    for index in 0..JOBS {
                        let (alive, started, gates) = (&alive, &started, Arc::clone(&gates));
                        let job = move || {
                            started.done();
                            let gate = &gates[index];
                            match index % 4 {
                                0 => gate.wait(),
                                1 => drop(join(|| gate.wait(), || ())),
                                2 => scope(|s| s.spawn(|| gate.wait())),
                                _ => {
                                    let gates = Arc::clone(&gates);
                                    spawn(move || gates[index].wait()).join().unwrap();
                                }
                            }
                        };
                        s.spawn(move || alive.during(job));
                    }
                    started.wait(); // so all of them are alive at once
                    (0..JOBS).for_each(|step| gates[step * 7 % JOBS].done());
                });
            });
            let piled = alive.piled.into_inner();
            assert_eq!(piled, 0, "jobs started on stacks of jobs that waited");
        });
    }
}

#[test]
fn a_lock_held_across_waits_never_hangs_inside_without_suspending() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 2000 } else { 10_000 };
    const JOBS: usize = 20;
    for workers in [1, 2, 4, 16] {
        must_end(move || {
            let runtime = runtime_with(workers);
            let lock = Mutex::new(0);
            let round = |kind: usize| {
                without_suspending(|| {
                    let mut held = lock.lock().unwrap();
                    match kind % 3 {
                        0 => *held += join(|| 0, || 1).1,
                        1 => {
                            let inner = Mutex::new(0);
                            scope(|s| s.spawn(|| *inner.lock().unwrap() += 1));
                            *held += inner.into_inner().unwrap();
                        }
                        _ => {
                            let counter = Counter::new(1);
                            scope(|s| {
                                s.spawn_counted(&counter, || ());
                                counter.wait();
                            });
                            *held += 1;
                        }
                    }
                });
            };
            runtime.run(|| {
                scope(|s| {
                    for job in 0..JOBS {
                        let round = &round;
                        s.spawn(move || (0..ROUNDS / JOBS).for_each(|index| round(job + index)));
                    }
                });
            });
            assert_eq!(lock.into_inner().unwrap(), ROUNDS);
        });
    }
}

/// What such a wait runs itself may be a job that another worker has not published, and cannot, as
/// it sits in a long job.
#[test]
fn a_wait_without_suspending_finds_a_job_that_is_private_to_another_worker() {
    must_end(|| {
        let runtime = runtime_with(2);
        for round in 0..200 {
            let result = runtime.run(move || {
                let (has_started, start) = mpsc::channel();
                let (send, receive) = mpsc::channel::<JoinHandle<i32>>();
                let (ended, end) = mpsc::channel();
                let waiting = spawn(move || {
                    has_started.send(()).unwrap();
                    let handle = receive.recv().unwrap();
                    ended.send(without_suspending(|| handle.join().unwrap())).unwrap();
                });
                start.recv().unwrap(); // on the other worker
                // With that push a demand was answered, so this one stays private.
                send.send(spawn(move || round)).unwrap();
                let result = end.recv().unwrap();
                waiting.join().unwrap();
                result
            });
            assert_eq!(result, round);
        }
    });
}

/// It looks through what there is when it begins, not through what comes.
#[test]
fn a_wait_without_suspending_ends_beside_a_worker_that_spawns_without_pause() {
    must_end(|| {
        runtime_with(2).run(|| {
            let (gate, has_ended) = (Counter::new(1), AtomicBool::new(false));
            scope(|s| {
                let (has_started, start) = mpsc::channel();
                let (gate, has_ended) = (&gate, &has_ended);
                s.spawn(move || {
                    has_started.send(()).unwrap();
                    without_suspending(|| gate.wait());
                    has_ended.store(true, Ordering::Relaxed);
                });
                start.recv().unwrap(); // on the other worker
                for count in 1.. {
                    drop(spawn(|| ()));
                    if count == 1000 {
                        gate.done();
                    }
                    if has_ended.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        });
    });
}

/// Before a fiber suspends it hands its open joins over: also to the loop on its own worker.
#[test]
fn a_joins_second_half_runs_while_the_first_one_waits_or_yields_for_it_on_one_worker() {
    /// Keeps its worker from looking around.
    fn spawn_again(until: Arc<AtomicBool>) {
        if !until.load(Ordering::Relaxed) {
            drop(spawn(|| spawn_again(until)));
        }
    }
    must_end(|| {
        runtime_with(1).run(|| {
            let (gate, has_run) = (Counter::new(1), Arc::new(AtomicBool::new(false)));
            spawn_again(Arc::clone(&has_run));
            let second = || {
                gate.done();
                has_run.store(true, Ordering::Relaxed);
            };
            join(|| gate.wait(), second);
            has_run.store(false, Ordering::Relaxed);
            let yields = || {
                while !has_run.load(Ordering::Relaxed) {
                    yield_now();
                }
            };
            join(yields, || has_run.store(true, Ordering::Relaxed));
        });
    });
}
