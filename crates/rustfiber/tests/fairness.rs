//! No order of work starves a job or a fiber for ever: all on one worker, where nobody else helps.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustfiber::{Counter, scope, spawn, yield_now};

use support::{must_end, runtime_with};

/// Spawns itself again, always as the newest job, until `stop` is set.
fn respawn(stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    if !stop.load(Ordering::Relaxed) {
        rounds.fetch_add(1, Ordering::Relaxed);
        spawn(move || respawn(stop, rounds));
    }
}

#[test]
fn a_job_that_respawns_itself_does_not_starve_the_oldest_job() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let oldest_stop = Arc::clone(&stop);
        let started = Arc::clone(&rounds);
        runtime.run(|| {
            spawn(move || oldest_stop.store(true, Ordering::Relaxed));
            spawn(move || respawn(stop, rounds));
        });
        drop(runtime); // waits for both
        assert!(started.load(Ordering::Relaxed) >= 1, "the newest job came first");
    });
}

#[test]
fn a_job_that_respawns_itself_does_not_starve_a_ready_fiber() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let gate = Counter::new(1);
        runtime.run(|| {
            scope(|s| {
                let waiter_stop = Arc::clone(&stop);
                let gate = &gate;
                s.spawn(move || {
                    gate.wait();
                    waiter_stop.store(true, Ordering::Relaxed);
                });
                yield_now(); // it waits now
                s.spawn(move || {
                    gate.done();
                    respawn(stop, rounds);
                });
            });
        });
    });
}

#[test]
fn a_job_that_respawns_itself_does_not_starve_the_injector() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (respawner_stop, seen) = (Arc::clone(&stop), Arc::clone(&rounds));
        runtime.spawn(move || respawn(respawner_stop, rounds));
        while seen.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        runtime.run(|| stop.store(true, Ordering::Relaxed));
    });
}

#[test]
fn a_job_that_yields_lets_a_chain_of_others_run() {
    must_end(|| {
        let runtime = runtime_with(1);
        let flag = AtomicBool::new(false);
        runtime.run(|| {
            scope(|s| {
                let flag = &flag;
                // Each link is spawned by the one before, and the last sets the flag.
                s.spawn(move || {
                    scope(|s| {
                        s.spawn(move || scope(|s| s.spawn(|| flag.store(true, Ordering::Relaxed))))
                    });
                });
                while !flag.load(Ordering::Relaxed) {
                    yield_now();
                }
            });
        });
    });
}

#[test]
fn many_yielding_fibers_all_make_progress() {
    must_end(|| {
        let runtime = runtime_with(1);
        let turns: Vec<AtomicU64> = (0..10).map(|_| AtomicU64::new(0)).collect();
        runtime.run(|| {
            scope(|s| {
                for own in &turns {
                    let turns = &turns;
                    s.spawn(move || {
                        // Ends only when everybody has had a thousand turns.
                        while turns.iter().any(|turn| turn.load(Ordering::Relaxed) < 1000) {
                            own.fetch_add(1, Ordering::Relaxed);
                            yield_now();
                        }
                    });
                }
            });
        });
        let most = turns.iter().map(|turn| turn.load(Ordering::Relaxed)).max().unwrap();
        assert!(most < 2000, "the turns are about equal: {turns:?}");
    });
}
