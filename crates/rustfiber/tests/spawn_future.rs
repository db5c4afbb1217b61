//! Futures on the workers: each wake is followed by one poll, whoever wakes, and nothing is lost.

mod support;

use std::future::{pending, poll_fn, ready};
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use rustfiber::sync::{Semaphore, channel};
use rustfiber::{
    Abandoned, Counter, Runtime, ShutdownError, block_on, current_worker, spawn, spawn_future,
    yield_now,
};
use support::{must_end, runtime_with};

/// Pending until its `polls`th poll; `on_poll` gets the waker of each before.
fn polled(
    polls: usize,
    on_poll: impl Fn(usize, &Waker) + Send + 'static,
) -> impl Future<Output = usize> + Send {
    let mut poll = 0;
    poll_fn(move |context| {
        poll += 1;
        if poll == polls {
            return Poll::Ready(poll);
        }
        on_poll(poll, context.waker());
        Poll::Pending
    })
}

#[test]
fn a_future_runs_on_the_workers_and_its_handle_has_the_output() {
    let runtime = runtime_with(2);
    assert!(runtime.spawn_future(async { current_worker().is_some() }).join().unwrap());
    assert_eq!(runtime.run(|| spawn_future(ready(2)).join()).unwrap(), 2);
    assert_eq!(block_on(spawn_future(ready(3))).unwrap(), 3);
    assert_eq!(
        runtime.spawn_future(async { spawn_future(ready(4)).await }).join().unwrap().unwrap(),
        4
    );
}

#[test]
fn a_wake_from_anywhere_is_followed_by_one_poll() {
    must_end(|| {
        let runtime = runtime_with(2);
        let (wakers, woken) = mpsc::channel::<Waker>();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let handle = runtime.spawn_future(polled(101, move |_, waker| {
            counted.fetch_add(1, Ordering::SeqCst);
            wakers.send(waker.clone()).unwrap();
        }));
        let job = || woken.recv().map(Waker::wake);
        for n in 0..100 {
            if n % 2 == 0 {
                job().unwrap()
            } else {
                woken.recv().map(|waker| runtime.run(|| waker.wake())).unwrap()
            }
        }
        assert_eq!(handle.join().unwrap(), 101);
        assert_eq!(polls.load(Ordering::SeqCst), 100, "as many polls as wakes");
    });
}

#[test]
fn wakes_during_a_poll_count_together_once() {
    must_end(|| {
        let runtime = runtime_with(1);
        let storm = |_, waker: &Waker| (0..10).for_each(|_| waker.wake_by_ref());
        assert_eq!(runtime.spawn_future(polled(5, storm)).join().unwrap(), 5);
        // Woken in the first poll only: the second is the last until somebody wakes again.
        let (sender, waker) = mpsc::channel();
        let future = polled(3, move |poll, waker| {
            if poll == 1 { waker.wake_by_ref() } else { sender.send(waker.clone()).unwrap() }
        });
        let handle = runtime.spawn_future(future);
        let waker = waker.recv().unwrap();
        while runtime.stats().total().jobs < 7 {
            thread::yield_now();
        }
        runtime.run(|| ()); // behind whatever would poll
        assert!(!handle.is_finished());
        waker.wake();
        assert_eq!(handle.join().unwrap(), 3);
    });
}

/// Whoever polls is suspended in the middle; wakes meanwhile are for the poll that follows.
#[test]
fn a_poll_may_suspend_its_fiber() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (gate, started) = (Arc::new(Counter::new(1)), Arc::new(Counter::new(1)));
        let (jobs_gate, jobs_started) = (Arc::clone(&gate), Arc::clone(&started));
        let (sender, waker) = mpsc::channel();
        let handle = runtime.spawn_future(polled(2, move |_, waker| {
            sender.send(waker.clone()).unwrap();
            jobs_started.done();
            jobs_gate.wait();
        }));
        started.wait();
        waker.recv().unwrap().wake();
        assert_eq!(runtime.run(|| 1), 1, "the worker goes on");
        gate.done();
        assert_eq!(handle.join().unwrap(), 2);
    });
}

#[test]
fn a_future_that_wakes_itself_lets_others_run() {
    must_end(|| {
        let runtime = runtime_with(1);
        let is_set = Arc::new(AtomicUsize::new(0));
        let flag = Arc::clone(&is_set);
        let handle = runtime.run(|| {
            spawn(move || flag.store(1, Ordering::SeqCst));
            spawn_future(poll_fn(move |context| {
                context.waker().wake_by_ref();
                if is_set.load(Ordering::SeqCst) == 1 { Poll::Ready(()) } else { Poll::Pending }
            }))
        });
        handle.join().unwrap();
    });
}

#[test]
fn panics_of_polls_and_destructors_come_out_of_the_handle() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any("destructor");
        }
    }
    let runtime = runtime_with(1);
    let panics = runtime.spawn_future(poll_fn(|_| -> Poll<()> { panic_any("poll") }));
    let bomb = Bomb;
    let bomb = runtime.spawn_future(poll_fn(move |_| {
        let _captured = &bomb;
        Poll::Ready(1)
    }));
    assert_eq!(*panics.join().unwrap_err().downcast::<&str>().unwrap(), "poll");
    assert_eq!(*bomb.join().unwrap_err().downcast::<&str>().unwrap(), "destructor");
}

#[test]
fn a_detached_futures_panic_goes_to_the_handler() {
    let (sender, handled) = mpsc::channel();
    let sender = Mutex::new(sender);
    let handler = move |payload: Box<dyn std::any::Any + Send>| {
        sender.lock().unwrap().send(*payload.downcast::<&str>().unwrap()).unwrap();
    };
    let runtime = Runtime::builder().workers(1).panic_handler(handler).build().unwrap();
    drop(runtime.spawn_future(async { panic_any("detached") }));
    drop(runtime.spawn_future(pending::<()>())); // abandoned: no panic
    drop(runtime);
    assert_eq!(handled.iter().collect::<Vec<_>>(), ["detached"]);
}

/// Tells when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_nobody_can_wake_is_dropped_and_its_handle_says_so() {
    must_end(|| {
        let runtime = runtime_with(2);
        let drops = Arc::new(AtomicUsize::new(0));
        // No waker was ever made; the last one is dropped by a poll, by a thread, by a job.
        let kept = Arc::new(Mutex::new(None::<Waker>));
        for way in 0..4 {
            let (guard, keep) = (Dropped(Arc::clone(&drops)), Arc::clone(&kept));
            let handle = runtime.spawn_future(poll_fn(move |context| -> Poll<()> {
                let _captured = &guard;
                match way {
                    0 => (),
                    1 => drop(context.waker().clone()),
                    _ => *keep.lock().unwrap() = Some(context.waker().clone()),
                }
                Poll::Pending
            }));
            if way > 1 {
                let waker = loop {
                    match kept.lock().unwrap().take() {
                        Some(waker) => break waker,
                        None => thread::yield_now(),
                    }
                };
                assert!(!handle.is_finished());
                if way == 2 { drop(waker) } else { runtime.run(|| drop(waker)) }
            }
            let payload = handle.join().unwrap_err();
            assert_eq!(*payload.downcast::<Abandoned>().unwrap(), Abandoned);
        }
        assert_eq!(drops.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn wakers_may_outlive_their_future_and_its_runtime() {
    let runtime = runtime_with(1);
    let (sender, waker) = mpsc::channel();
    let handle = runtime.spawn_future(polled(2, move |_, waker| {
        sender.send(waker.clone()).unwrap();
        waker.wake_by_ref();
    }));
    let waker = waker.recv().unwrap();
    assert_eq!(handle.join().unwrap(), 2);
    waker.wake_by_ref();
    drop(runtime);
    let clone = waker.clone();
    waker.wake();
    drop(clone);
}

#[test]
fn a_handle_of_a_future_outlives_its_runtime() {
    let runtime = runtime_with(1);
    let handle = runtime.spawn_future(async { String::from("late") });
    drop(runtime);
    assert_eq!(handle.join().unwrap(), "late");
}

#[test]
fn the_end_of_a_runtime_waits_for_its_futures() {
    must_end(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let runtime = runtime_with(2);
        let semaphore = Arc::new(Semaphore::new(0));
        for _ in 0..10 {
            let (permits, guard) = (Arc::clone(&semaphore), Dropped(Arc::clone(&drops)));
            drop(runtime.spawn_future(async move {
                permits.acquire_async().await.unwrap().forget();
                drop(guard);
            }));
        }
        let waker = thread::spawn(move || {
            // SLEEP: lets the drop below begin to wait; if it does not, the test shows less.
            thread::sleep(Duration::from_millis(20));
            semaphore.add_permits(10);
        });
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 10);
        waker.join().unwrap();
    });
}

#[test]
fn a_shutdown_does_not_wait_longer_than_it_may_for_a_future_that_is_not_woken() {
    let runtime = runtime_with(1);
    let (sender, waker) = mpsc::channel();
    let handle =
        runtime.spawn_future(polled(2, move |_, waker| sender.send(waker.clone()).unwrap()));
    let waker = waker.recv().unwrap();
    let error = runtime.shutdown(Duration::from_millis(10)).unwrap_err();
    assert!(matches!(error, ShutdownError::TimedOut { .. }));
    // It goes on, on its own.
    waker.wake();
    assert_eq!(handle.join().unwrap(), 2);
}

#[test]
fn futures_and_fibers_pass_values_on() {
    must_end(|| {
        const COUNT: usize = 1000;
        for workers in 1..=2 {
            let runtime = runtime_with(workers);
            let (sender, receiver) = channel::bounded::<usize>(4);
            let totals: Vec<_> = (0..4)
                .map(|_| {
                    let receiver = receiver.clone();
                    runtime.spawn_future(async move {
                        let mut total = 0;
                        while let Ok(n) = receiver.recv_async().await {
                            total += n;
                        }
                        total
                    })
                })
                .collect();
            runtime.run(|| {
                let senders = [(); 2].map(|()| sender.clone());
                rustfiber::scope(|s| {
                    for sender in senders {
                        s.spawn(move || (0..COUNT).for_each(|n| sender.send(n).unwrap()));
                    }
                });
            });
            drop(sender);
            let total: usize = totals.into_iter().map(|handle| handle.join().unwrap()).sum();
            assert_eq!(total, COUNT * (COUNT - 1));
        }
    });
}

/// Wakers are cloned, called and dropped by two threads at any time.
#[test]
fn wakes_race_with_polls_drops_and_the_end() {
    must_end(|| {
        let runtime = runtime_with(2);
        for round in 0..100 {
            let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
            let shared = Arc::clone(&wakers);
            let handle = runtime.spawn_future(polled(20, move |_, waker| {
                shared.lock().unwrap().push(waker.clone());
            }));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let wakers = Arc::clone(&wakers);
                    thread::spawn(move || {
                        while Arc::strong_count(&wakers) > 2 {
                            let waker = wakers.lock().unwrap().last().cloned();
                            waker.map_or_else(thread::yield_now, Waker::wake);
                        }
                    })
                })
                .collect();
            if round % 2 == 0 {
                assert_eq!(handle.join().unwrap(), 20);
            } else {
                drop(handle);
                while Arc::strong_count(&wakers) > 3 {
                    yield_now();
                }
            }
            drop(wakers);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    });
}
