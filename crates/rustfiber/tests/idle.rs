//! An idle runtime costs nothing. Alone in its process, since it measures the process.
#![cfg(target_os = "linux")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::sync::ManualResetEvent;
use rustfiber::{Counter, Runtime, scope, sleep};

const WORKERS: usize = 4;

/// What Linux tells of one worker's thread.
#[derive(Debug, PartialEq, Eq)]
struct Thread {
    is_asleep: bool,
    voluntary_switches: u64,
}

impl Thread {
    fn of_status(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(':').unwrap().1.trim().to_owned()
        };
        Thread {
            is_asleep: field("State").starts_with('S'),
            voluntary_switches: field("voluntary_ctxt_switches").parse().unwrap(),
        }
    }

    fn current() -> Self {
        Self::of_status(&fs::read_to_string("/proc/thread-self/status").unwrap())
    }
}

fn workers() -> Vec<Thread> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let statuses = tasks.map(|task| fs::read_to_string(task.join("status")).unwrap());
    let workers = statuses.filter(|status| status.starts_with("Name:\trustfiber-"));
    workers.map(|status| Thread::of_status(&status)).collect()
}

/// CPU time of the whole process, in user and kernel mode.
fn cpu_time() -> Duration {
    // SAFETY: an all-zero `timespec` is a valid value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is valid for writes during the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

#[test]
fn an_idle_runtime_burns_no_cpu_and_never_wakes() {
    let runtime = Runtime::builder().workers(WORKERS).build().unwrap();
    // Some work of every kind first, so that fibers, stacks and timers would be left over.
    let everybody = Counter::new(1000);
    runtime.run(|| {
        scope(|s| {
            for _ in 0..1000 {
                s.spawn(|| {
                    everybody.done();
                    everybody.wait();
                    sleep(Duration::from_micros(10));
                });
            }
        });
    });
    assert_sleeps(&runtime);
    // Fibers with deadlines that are far away wake nobody before.
    let (end, waiting) = (ManualResetEvent::new(false), Counter::new(100));
    let wait = || {
        waiting.done();
        assert!(end.wait_timeout(Duration::from_secs(3600)));
    };
    thread::scope(|s| {
        s.spawn(|| runtime.run(|| scope(|s| (0..100).for_each(|_| s.spawn(wait)))));
        waiting.wait();
        assert_sleeps(&runtime);
        end.set();
    });
}

/// Waits until all workers sleep, and then measures that they do.
fn assert_sleeps(runtime: &Runtime) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while runtime.stats().active_workers != 0 || !workers().iter().all(|thread| thread.is_asleep) {
        assert!(Instant::now() < deadline, "the workers never fell asleep: {:?}", workers());
        thread::yield_now();
    }
    let parks_before = runtime.stats().total().parks;
    let (before, after, cpu) = measure(5);
    assert_eq!(before.len(), WORKERS);
    assert_eq!(before, after, "a worker woke up");
    assert_eq!(runtime.stats().total().parks, parks_before);
    assert!(cpu < Duration::from_millis(10), "{cpu:?} of CPU time in 2 s");
}

/// Returns the workers before and after two seconds, and the CPU time between. Whoever stops the
/// whole process (a debugger, a pause of the machine) wakes each of its threads, this one too: then
/// it is measured again, up to so many times.
fn measure(times: usize) -> (Vec<Thread>, Vec<Thread>, Duration) {
    let (before, cpu_before, here_before) = (workers(), cpu_time(), Thread::current());
    // SLEEP: the stretch of time that is measured; nothing is waited for.
    thread::sleep(Duration::from_secs(2));
    let (here, after, cpu) = (Thread::current(), workers(), cpu_time() - cpu_before);
    let sleeps_here = here.voluntary_switches - here_before.voluntary_switches;
    if sleeps_here != 1 && times > 1 { measure(times - 1) } else { (before, after, cpu) }
}
