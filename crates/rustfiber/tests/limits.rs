//! Bad values and refused resources: each gets an error that names the limit and the remedy, and
//! no job is lost.

mod support;

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustfiber::topology::Topology;
use rustfiber::{
    BuildError, Counter, Event, FiberLimit, PinningStrategy, Runtime, join, scope, spawn,
};

#[track_caller]
fn assert_refused(outcome: Result<Runtime, BuildError>, words: &[&str]) {
    let text = outcome.unwrap_err().to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} lacks one of {words:?}");
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    for workers in [0, 1025, 100_000, usize::MAX] {
        let asked = workers.to_string();
        assert_refused(Runtime::builder().workers(workers).build(), &[&asked, "1 to 1024"]);
    }
    for (bytes, limit) in [(0, "65536"), (16, "65536"), (1 << 40, "1073741824")] {
        let asked = bytes.to_string();
        assert_refused(Runtime::builder().stack_size(bytes).build(), &[&asked, limit]);
    }
    assert_refused(Runtime::builder().max_fibers(0).build(), &["0 fibers", "at least 1"]);
    assert_refused(Runtime::builder().thread_name("a\0b").build(), &["a\\0b", "zero byte"]);
}

#[test]
fn a_pin_that_the_system_refuses_is_an_error() {
    let elsewhere =
        Topology::from_files([("sys/devices/system/cpu/online", "60000-60001")], None).unwrap();
    let outcome =
        Runtime::builder().workers(2).pinning(PinningStrategy::Cores).topology(elsewhere).build();
    let error = outcome.unwrap_err();
    assert!(matches!(error, BuildError::Pin { .. }), "{error}");
    assert!(error.source().unwrap().to_string().contains("6000"), "{error:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn pinned_workers_run_on_one_cpu_each() {
    use rustfiber::topology;

    let allowed = Topology::detect().unwrap().allowed().len();
    let runtime =
        Runtime::builder().workers(allowed).pinning(PinningStrategy::Cores).build().unwrap();
    let all_here = Counter::new(allowed);
    let cpus = std::sync::Mutex::new(Vec::new());
    runtime.run(|| {
        scope(|s| {
            for _ in 0..allowed {
                s.spawn(|| {
                    all_here.done();
                    // Blocks the worker, so that each one has to take one of the jobs.
                    rustfiber::without_suspending(|| all_here.wait());
                    cpus.lock().unwrap().push(topology::current_affinity().unwrap().to_string());
                });
            }
        });
    });
    let mut cpus = cpus.into_inner().unwrap();
    cpus.sort();
    cpus.dedup();
    assert_eq!(cpus.len(), allowed, "each worker has a CPU of its own: {cpus:?}");
    assert!(cpus.iter().all(|cpu| cpu.parse::<usize>().is_ok()), "one CPU each: {cpus:?}");
}

#[test]
fn workers_have_the_name_and_the_stack_that_were_asked_for() {
    let runtime =
        Runtime::builder().workers(1).thread_name("engine").stack_size(1 << 26).build().unwrap();
    let name = runtime.run(|| std::thread::current().name().map(str::to_owned));
    assert_eq!(name.as_deref(), Some("engine-0"));

    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([levels; 1 << 10]);
        if levels == 0 { frame[0] } else { deep(levels - 1) + frame[levels] / levels }
    }
    // About 32 MiB of frames, far beyond the default stack.
    assert_eq!(runtime.run(|| deep(4000 - 3000)), 1000);
}

/// Starts `jobs` jobs that all wait at once, and returns how many could not.
fn wait_at_once(jobs: usize) -> (usize, Option<FiberLimit>) {
    let everybody = Counter::new(jobs);
    let (refused, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let limit = std::sync::Mutex::new(None);
    scope(|s| {
        for index in 0..jobs {
            let (everybody, refused, finished, limit) = (&everybody, &refused, &finished, &limit);
            s.spawn(move || {
                // What a job without a fiber may still do.
                assert_eq!(join(|| index, || index + 1), (index, index + 1));
                assert_eq!(spawn(move || index).join().unwrap(), index);
                everybody.done();
                if let Err(error) = everybody.try_wait() {
                    refused.fetch_add(1, Ordering::Relaxed);
                    *limit.lock().unwrap() = Some(error);
                }
                finished.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(finished.into_inner(), jobs, "no job is lost");
    (refused.into_inner(), limit.into_inner().unwrap())
}

#[test]
fn beyond_max_fibers_jobs_run_without_one_and_cannot_wait() {
    for workers in [1, 4] {
        let runtime = Runtime::builder().workers(workers).max_fibers(20).build().unwrap();
        let (refused, limit) = runtime.run(|| wait_at_once(200));
        // 20 fibers, and 16 stacks that each further worker may keep; one fiber is the scope's,
        // which runs a job itself.
        let most = 20 + (workers - 1) * 16;
        assert!((200 - most - 1..200).contains(&refused), "{refused} of 200 were refused");
        let text = limit.unwrap().to_string();
        assert!(text.contains(&most.to_string()) && text.contains("raise"), "{text}");
        assert!(runtime.stats().total().fibers_peak <= most as u64);
        // With the fibers back there is room again.
        assert_eq!(runtime.run(|| wait_at_once(10)).0, 0);
    }
}

#[test]
fn waiting_without_a_fiber_panics_with_the_limit_and_the_remedy() {
    let runtime = Runtime::builder().workers(1).max_fibers(1).build().unwrap();
    let (gate, others_ran) = (Counter::new(1), Event::new());
    let payload = runtime.run(|| {
        let (gate, waits) = (&gate, || gate.wait());
        let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| others_ran.set());
                s.spawn(waits); // first, and on the native stack, as the only fiber waits
                others_ran.wait();
            });
        }));
        gate.done();
        caught.unwrap_err()
    });
    let text = payload.downcast::<String>().unwrap();
    assert!(text.starts_with("FiberLimit") && text.contains("raise the pool's limit"), "{text}");
}

/// Runs `f` below a frame of `BYTES`.
#[inline(never)]
fn below_a_frame<const BYTES: usize, R>(f: impl FnOnce() -> R) -> R {
    let frame = std::hint::black_box([0_u8; BYTES]);
    let result = f();
    std::hint::black_box(&frame);
    result
}

fn address_here() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

#[test]
fn a_wait_runs_no_job_on_a_stack_that_is_used() {
    const STACK: usize = 64 * 1024;
    let runtime = Runtime::builder().workers(1).stack_size(STACK).build().unwrap();
    let waits = || {
        let job = spawn(address_here);
        (address_here(), job.join().unwrap())
    };
    let (waiter, job) = runtime.run(|| below_a_frame::<{ STACK / 4 }, _>(waits));
    assert!(waiter.abs_diff(job) >= STACK / 2, "{waiter:#x} and {job:#x} are on one stack");
}

/// Lets this process have `extra_bytes` more address space than it has now.
#[cfg(all(target_os = "linux", not(any(feature = "sanitizer", rustfiber_tsan))))]
fn limit_address_space(extra_bytes: usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: `sysconf` takes a plain number and touches no memory of ours.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let bytes = (pages * page_bytes + extra_bytes) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: `limit` is a valid structure that lives throughout the call.
    let answer = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
    assert_eq!(answer, 0);
}

// Not under a sanitizer, whose own mappings the limit would refuse.
#[test]
#[cfg(all(target_os = "linux", not(any(feature = "sanitizer", rustfiber_tsan))))]
fn refused_threads_are_an_error_and_leave_nothing_behind() {
    support::in_child("refused_threads_are_an_error_and_leave_nothing_behind", || {
        limit_address_space(2 << 30);
        for _ in 0..3 {
            // Large stacks, so that the last one is refused while the small things still find room.
            let builder = Runtime::builder().workers(1024).stack_size(256 << 20);
            let error = builder.build().unwrap_err();
            let BuildError::Thread { asked: 1024, started, .. } = error else {
                panic!("{error:?}");
            };
            assert!((1..1024).contains(&started), "{started} workers had started");
            let text = error.to_string();
            assert!(text.contains("of 1024") && text.contains("ulimit -u"), "{text}");
            assert!(error.source().is_some(), "the system's own reason is kept");
        }
        let runtime = Runtime::builder().workers(2).build().unwrap();
        assert_eq!(runtime.run(rustfiber::current_worker).map(|worker| worker < 2), Some(true));
    });
}

#[test]
#[cfg(all(target_os = "linux", not(any(feature = "sanitizer", rustfiber_tsan))))]
fn refused_mappings_cost_jobs_their_fibers_but_not_their_run() {
    support::in_child("refused_mappings_cost_jobs_their_fibers_but_not_their_run", || {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        while runtime.stats().active_workers != 0 {
            std::thread::yield_now(); // a worker that starts allocates, and may not be refused
        }
        limit_address_space(256 << 20);
        let (refused, limit) = runtime.run(|| wait_at_once(1000));
        assert!((1..1000).contains(&refused), "{refused} of 1000 were refused");
        let text = limit.unwrap().to_string();
        assert!(text.contains("ulimit -v") && text.contains("1048576 bytes"), "{text}");
    });
}
