//! Futures that wait for a wake are what keeps a runtime from its end, so dumps and its report name
//! them.

mod support;

use std::future::{pending, poll_fn};
use std::panic::panic_any;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rustfiber::sync::Semaphore;
use rustfiber::{Counter, Dump, FiberState, Runtime, WaitKind};
use support::{must_end, runtime_with};

/// Waits until a dump is as `condition` says.
fn dump_when(runtime: &Runtime, condition: impl Fn(&Dump) -> bool) -> Dump {
    loop {
        let dump = runtime.dump();
        if condition(&dump) {
            return dump;
        }
        thread::yield_now();
    }
}

#[test]
fn a_shutdown_that_times_out_names_the_future_that_waits() {
    let (runtime, permits) = (runtime_with(1), Arc::new(Semaphore::new(0)));
    let futures_permits = Arc::clone(&permits);
    let handle = runtime.spawn_future(async move {
        futures_permits.acquire_async().await.unwrap().forget();
    });
    runtime.run(|| ()); // the future has been polled, or is about to be
    let report = runtime.shutdown(Duration::from_millis(100)).unwrap_err().to_string();
    permits.add_permits(1);
    handle.join().unwrap();
    assert!(report.contains("unfinished_futures.rs"), "{report}");
}

#[test]
fn a_future_that_is_polled_is_a_fibers_job_and_waits_only_afterwards() {
    must_end(|| {
        let (runtime, permits) = (runtime_with(1), Arc::new(Semaphore::new(0)));
        let gate = Arc::new(Counter::new(1));
        let (futures_permits, futures_gate) = (Arc::clone(&permits), Arc::clone(&gate));
        let line = line!() + 1;
        let handle = runtime.spawn_future(async move {
            futures_gate.wait(); // suspends the fiber that polls
            futures_permits.acquire_async().await.unwrap().forget();
        });
        let is_polled = |dump: &Dump| {
            let at_the_gate = FiberState::Waiting(WaitKind::Counter);
            dump.fibers.iter().any(|fiber| fiber.state == at_the_gate)
        };
        let polled = dump_when(&runtime, is_polled);
        gate.done();
        let waiting = dump_when(&runtime, |dump| !is_polled(dump) && !dump.futures.is_empty());
        permits.add_permits(1);
        handle.join().unwrap();
        assert!(polled.futures.is_empty(), "{polled}");
        let [future] = &waiting.futures[..] else { panic!("one future: {waiting}") };
        assert_eq!((future.spawned_at.file(), future.spawned_at.line()), (file!(), line));
        let text = waiting.to_string();
        let expected = format!("future from {} waits for a wake", future.spawned_at);
        assert!(text.lines().any(|line| line == expected), "{text}");
        assert!(runtime.dump().futures.is_empty());
    });
}

#[test]
fn each_future_is_in_the_dump_until_its_end_in_any_order() {
    const COUNT: usize = 64; // several in each list
    must_end(|| {
        let runtime = runtime_with(1);
        let spawn = |_| {
            let permits = Arc::new(Semaphore::new(0));
            let futures_permits = Arc::clone(&permits);
            let future = async move { futures_permits.acquire_async().await.unwrap().forget() };
            (permits, runtime.spawn_future(future))
        };
        let mut futures: Vec<_> = (0..COUNT).map(spawn).collect();
        let all = dump_when(&runtime, |dump| dump.futures.len() == COUNT).to_string();
        let mut counts = Vec::new();
        // The newest half; then every other one; then the rest, oldest first.
        let newest = futures.split_off(COUNT / 2);
        let (even, odd): (Vec<_>, Vec<_>) =
            futures.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
        let strip = |part: Vec<(usize, _)>| part.into_iter().map(|(_, it)| it).collect::<Vec<_>>();
        for part in [newest, strip(even), strip(odd)] {
            for (permits, handle) in part {
                permits.add_permits(1);
                handle.join().unwrap();
            }
            counts.push(runtime.dump().futures.len());
        }
        assert_eq!(counts, [COUNT / 2, COUNT / 4, 0]);
        assert!(all.contains(&format!("\n{COUNT} futures from {}:", file!())), "{all}");
    });
}

#[test]
fn a_future_that_panics_or_is_abandoned_leaves_the_dump() {
    let runtime = runtime_with(1);
    runtime.spawn_future(poll_fn(|_| -> Poll<()> { panic_any("poll") })).join().unwrap_err();
    runtime.spawn_future(pending::<()>()).join().unwrap_err();
    let dump = runtime.dump();
    assert!(dump.futures.is_empty(), "{dump}");
}

/// On many lists and in few blocks, which each future leaves to the next.
#[test]
fn dumps_race_with_futures_that_end() {
    must_end(|| {
        let runtime = runtime_with(2);
        let permits = Arc::new(Semaphore::new(0));
        thread::scope(|threads| {
            let spawner = threads.spawn(|| {
                for _ in 0..2000 {
                    let futures_permits = Arc::clone(&permits);
                    let handle = runtime.spawn_future(async move {
                        futures_permits.acquire_async().await.unwrap().forget();
                    });
                    permits.add_permits(1);
                    handle.join().unwrap();
                }
            });
            while !spawner.is_finished() {
                assert!(runtime.dump().futures.len() <= 1);
            }
        });
    });
}
