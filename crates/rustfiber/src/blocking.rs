//! Calls that block their thread, on threads that may block.
//!
//! One pool for the process: a queue under a lock, and threads that come when calls wait and go
//! when none has come for a while. A call lies in the frame of the fiber that waits for it, as the
//! stolen half of a join does, so it may borrow from there. (The crate `blocking` has such a pool,
//! but its closures must be `'static`.)

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use intrusive_waitlist::CompletionList;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::dump::{Site, WaitKind};
use crate::home::wake_all;
use crate::latch::{self, Awaited, Wait};
use crate::worker::Worker;

/// Threads that the pool has, at most; more calls than these wait in line.
const THREADS_MAX: usize = 512;

/// How long a thread without a call stays.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls `f`, which may block its thread for long, on a thread where that keeps no job waiting: for
/// system calls, and libraries that lock or wait on their own.
///
/// On a worker, `f` is called on a helper thread, where thread-locals are others, and where jobs
/// that it spawns go to the default runtime; at most 512 threads do this, and further calls wait in
/// line for one. Threads end when nothing has come for 10 seconds. If the system refuses a thread
/// while there are others, `f` waits in line for one of those; if there is none, and wherever the
/// caller is no fiber that can suspend, `f` is called in place, by its own caller.
///
/// # Panics
///
/// With the panic of `f`.
///
/// # Blocking
///
/// Suspends the fiber until `f` has returned. In place, `f` blocks the calling thread, and
/// with it, on a worker, all of that worker's fibers.
///
/// # Examples
///
/// ```
/// let name = String::from("Cargo.toml");
/// let manifest = rustfiber::blocking(|| std::fs::read_to_string(&name))?;
/// assert!(manifest.contains("[package]"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn blocking<F: FnOnce() -> R + Send, R: Send>(f: F) -> R {
    if !Worker::current().is_some_and(Worker::can_suspend) {
        return f();
    }
    call_on(&POOL, f, Location::caller())
}

/// Calls `f` on a thread of the pool. The caller is a fiber that can suspend.
fn call_on<F: FnOnce() -> R + Send, R: Send>(pool: &'static Pool, f: F, site: Site) -> R {
    let mut f = Some(f);
    let mut result = None;
    let done = CompletionList::new();
    let mut run = || result = f.take().map(|f| catch_unwind(AssertUnwindSafe(f)));
    // SAFETY: this frame waits for the call before it touches either again; `f` and `R` are `Send`.
    pool.submit(unsafe { Call::new(&mut run, &done) });
    latch::wait(&done, &Wait { what: Awaited::Sync(WaitKind::Blocking), site });
    match (result, f) {
        (Some(result), _) => result.unwrap_or_else(|payload| resume_unwind(payload)),
        (None, Some(f)) => f(), // no thread is to be had
        (None, None) => unreachable!("a call that took its closure has a result"),
    }
}

/// A call in the frame of whoever waits for it.
struct Call {
    run: NonNull<dyn FnMut()>,
    done: NonNull<CompletionList>,
}

// SAFETY: `Call::new` makes its caller vouch for it.
unsafe impl Send for Call {}

impl Call {
    /// # Safety
    ///
    /// Both stay until `done` is complete, and `run` is used by nobody else; it may be called on
    /// another thread, and does not unwind.
    unsafe fn new(run: &mut dyn FnMut(), done: &CompletionList) -> Call {
        let run: NonNull<dyn FnMut() + '_> = NonNull::from(run);
        // SAFETY: only the lifetime changes, which the caller vouches for.
        let run = unsafe { mem::transmute::<NonNull<dyn FnMut() + '_>, NonNull<dyn FnMut()>>(run) };
        Call { run, done: NonNull::from(done) }
    }

    fn run(mut self) {
        // SAFETY: `new` promised it.
        let run = unsafe { self.run.as_mut() };
        run();
        self.end();
    }

    /// Ends the wait for the call; whoever waited makes it where it has not been made.
    fn end(self) {
        // SAFETY: the frame stays until the list is complete.
        let done = unsafe { self.done.as_ref() };
        // The last touch of the frame.
        wake_all(done.complete());
    }
}

static POOL: Pool = Pool::new(THREADS_MAX, PATIENCE, Pool::spawn);

struct Pool {
    state: Mutex<State>,
    called: Condvar,
    threads_max: usize,
    patience: Duration,
    /// Starts a thread that works for the pool; false: the system refuses.
    spawn: fn(&'static Pool) -> bool,
}

struct State {
    /// Calls that no thread has taken yet.
    calls: VecDeque<Call>,
    threads: usize,
    /// Threads that wait for a call: each will take one if there is one.
    idle: usize,
}

impl Pool {
    const fn new(threads_max: usize, patience: Duration, spawn: fn(&'static Pool) -> bool) -> Pool {
        let state = State { calls: VecDeque::new(), threads: 0, idle: 0 };
        Pool { state: Mutex::new(state), called: Condvar::new(), threads_max, patience, spawn }
    }

    /// Has a thread run `call`, after those that were submitted before.
    fn submit(&'static self, call: Call) {
        let mut state = self.state.lock();
        state.calls.push_back(call);
        if state.calls.len() <= state.idle {
            self.called.notify_one();
            return;
        }
        if state.threads == self.threads_max {
            return; // PROGRESS: a thread that ends its call takes the next.
        }
        state.threads += 1;
        drop(state);
        if !(self.spawn)(self) {
            let mut state = self.state.lock();
            state.threads -= 1;
            if state.threads == 0 {
                // PROGRESS: there is no thread, nor one to be had; also for those that relied on
                // this one.
                let calls = mem::take(&mut state.calls);
                drop(state);
                calls.into_iter().for_each(Call::end);
            }
        }
    }

    fn spawn(&'static self) -> bool {
        let builder = thread::Builder::new().name("rustfiber-blocking".into());
        builder.spawn(|| self.work()).is_ok()
    }

    /// Runs the calls in line until there are none.
    fn run_calls<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while let Some(call) = state.calls.pop_front() {
            drop(state);
            call.run();
            state = self.state.lock();
        }
        state
    }

    /// A thread's life.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            state = self.run_calls(state);
            state.idle += 1;
            let is_bored = self.called.wait_for(&mut state, self.patience).timed_out();
            state.idle -= 1;
            if is_bored && state.calls.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Instant;

    use super::*;
    use crate::{Counter, Runtime, scope, yield_now};

    const AT_ONCE: Duration = Duration::from_millis(1);

    fn on_a_fiber<R: Send>(f: impl FnOnce() -> R + Send) -> R {
        Runtime::builder().workers(1).build().unwrap().run(f)
    }

    fn threads(pool: &Pool) -> usize {
        pool.state.lock().threads
    }

    #[test]
    fn calls_beyond_the_cap_wait_in_line_while_their_worker_goes_on() {
        static ONE: Pool = Pool::new(1, PATIENCE, Pool::spawn);
        let [asked, ran] = [(); 2].map(|()| Mutex::new(Vec::new()));
        let running = AtomicUsize::new(0);
        let gate = Counter::new(1);
        on_a_fiber(|| {
            scope(|s| {
                for n in 0..4 {
                    let (asked, ran, running, gate) = (&asked, &ran, &running, &gate);
                    s.spawn(move || {
                        asked.lock().push(n);
                        call_on(
                            &ONE,
                            || {
                                assert_eq!(running.fetch_add(1, SeqCst), 0, "one at a time");
                                gate.wait();
                                ran.lock().push(n);
                                running.fetch_sub(1, SeqCst);
                            },
                            Location::caller(),
                        );
                    });
                }
                // All wait: the first for the gate, the others in line.
                while ONE.state.lock().calls.len() != 3 {
                    yield_now();
                }
                gate.done();
            });
        });
        assert_eq!(*ran.lock(), *asked.lock(), "in the order of the calls");
        assert_eq!(threads(&ONE), 1);
    }

    #[test]
    fn threads_end_when_nothing_comes() {
        static BRIEF: Pool = Pool::new(4, AT_ONCE, Pool::spawn);
        on_a_fiber(|| {
            for n in 0..3 {
                assert_eq!(call_on(&BRIEF, || n, Location::caller()), n);
                let start = Instant::now();
                while threads(&BRIEF) != 0 {
                    assert!(start.elapsed() < Duration::from_secs(60), "a thread stays");
                    yield_now();
                }
            }
        });
    }

    #[test]
    fn an_idle_thread_takes_the_next_call() {
        static PATIENT: Pool = Pool::new(4, PATIENCE, Pool::spawn);
        on_a_fiber(|| {
            for n in 0..100 {
                assert_eq!(call_on(&PATIENT, || n, Location::caller()), n);
                while PATIENT.state.lock().idle == 0 {
                    yield_now();
                }
                assert_eq!(threads(&PATIENT), 1);
            }
        });
    }

    #[test]
    fn calls_that_wait_for_each_other_get_a_thread_each() {
        static TWO: Pool = Pool::new(2, PATIENCE, Pool::spawn);
        on_a_fiber(|| {
            for _ in 0..20 {
                let (here, there) = (Counter::new(1), Counter::new(1));
                let meet = |mine: &Counter, other: &Counter| {
                    mine.done();
                    other.wait();
                };
                scope(|s| {
                    s.spawn(|| call_on(&TWO, || meet(&here, &there), Location::caller()));
                    s.spawn(|| call_on(&TWO, || meet(&there, &here), Location::caller()));
                });
            }
        });
    }

    #[test]
    fn without_a_thread_each_fiber_makes_its_own_call() {
        /// Another call comes while the thread is asked for, and relies on it.
        fn refuse(pool: &'static Pool) -> bool {
            while pool.state.lock().calls.len() < 2 {
                yield_now();
            }
            false
        }
        static NONE: Pool = Pool::new(1, PATIENCE, refuse);
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let arrived = AtomicUsize::new(0);
        let call_here = || {
            arrived.fetch_add(1, SeqCst);
            while arrived.load(SeqCst) != 2 {
                thread::yield_now(); // does not suspend: the other is on the other worker
            }
            let here = || thread::current().id();
            assert_eq!(call_on(&NONE, here, Location::caller()), here());
        };
        runtime.run(|| scope(|s| (0..2).for_each(|_| s.spawn(call_here))));
        assert_eq!(threads(&NONE), 0);
        assert!(NONE.state.lock().calls.is_empty());
    }
}
