//! The scheduler as one worker loop sees it: the order of picks, sweeps, and what a worker leaves
//! to the others when it finds something or sleeps. Most tests are one thread's steps in a fixed
//! order.
#![cfg(not(loom))]

use std::cell::Cell;
use std::env;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use deque_scheduler::ring::TakeBack;
use deque_scheduler::sleep::{GenericParker, ParkSlot};
use deque_scheduler::{Barrier, Find, Job, Scheduler, WorkerQueues};

fn token(number: usize) -> Job {
    let pointer = NonNull::new(std::ptr::without_provenance_mut(number)).unwrap();
    // SAFETY: the pointer is only compared.
    unsafe { Job::new(pointer) }
}

fn number(job: Job) -> usize {
    job.into_pointer().addr().get()
}

fn is_number(wanted: usize) -> impl Fn(NonNull<()>) -> bool {
    move |job| job.addr().get() == wanted
}

/// Makes a pool in which each worker steals from the others in order.
fn pool<const WORKERS: usize>() -> (Arc<Scheduler>, [WorkerQueues; WORKERS]) {
    let slots = (0..WORKERS).map(|_| Arc::new(ParkSlot::new(GenericParker::default())));
    let victims = |me| (0..WORKERS).filter(|&victim| victim != me).collect();
    let victims = (0..WORKERS).map(victims).collect();
    let barrier = Barrier::of_this_process();
    let (scheduler, workers) = Scheduler::new(slots.collect(), victims, false, barrier).unwrap();
    (scheduler, workers.try_into().unwrap())
}

fn seconds() -> Duration {
    let seconds = env::var("RUSTFIBER_TEST_SECONDS").map_or(60, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Runs `body`, which may hang if the property under test does not hold.
fn must_end(body: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended; // hangs up when the body returns or panics
        body();
    });
    assert_eq!(end.recv_timeout(seconds()), Err(RecvTimeoutError::Disconnected), "still running");
    thread.join().unwrap();
}

fn find(worker: &WorkerQueues) -> usize {
    match worker.find(|| false) {
        Find::Job(job) => number(job),
        Find::Interrupted | Find::InTime => unreachable!("nobody interrupts"),
    }
}

#[test]
fn joins_that_were_handed_over_come_first_and_spawns_newest_first() {
    let (_, [worker]) = pool();
    (1..=2).for_each(|job| worker.push_spawn(token(job)));
    let places = [3, 4].map(|job| worker.push_join(token(job)));
    assert_eq!(worker.next_near().map(number), Some(2), "an open join is the running fiber's");
    worker.hand_over_joins();
    let jobs: Vec<_> = std::iter::from_fn(|| worker.next().map(number)).collect();
    assert_eq!(jobs, [3, 4, 1]);
    for place in places {
        // SAFETY: the places come from this worker.
        assert_eq!(unsafe { worker.take_back(place) }, TakeBack::Stolen);
    }
}

#[test]
fn stealing_comes_before_injected_jobs() {
    let (scheduler, [worker, other]) = pool();
    scheduler.inject(token(1));
    other.push_spawn(token(2));
    other.hand_over();
    assert_eq!(worker.next(), None, "there is something to steal");
    assert_eq!(find(&worker), 2);
    assert_eq!(worker.next().map(number), Some(1));
    scheduler.inject(token(3));
    other.push_spawn(token(4));
    other.hand_over();
    assert_eq!(worker.next_near().map(number), Some(3), "whatever others have");
}

#[test]
fn injected_jobs_are_taken_in_their_order_half_of_the_queue_at_once() {
    let (scheduler, [worker, other]) = pool();
    (1..=8).for_each(|job| scheduler.inject(token(job)));
    assert_eq!(worker.next().map(number), Some(1));
    assert_eq!(other.next().map(number), Some(5), "the first worker has taken four");
    let jobs: Vec<_> = std::iter::from_fn(|| worker.next().map(number)).collect();
    assert_eq!(jobs, [2, 3, 4, 7, 8]);
    assert_eq!(other.next().map(number), Some(6));
    assert!(!worker.has_near() && !other.has_near());
}

#[test]
fn fair_picks_begin_in_turn_with_the_injector_the_oldest_own_job_and_a_steal() {
    let (scheduler, [worker, other]) = pool();
    for _ in 0..2 {
        scheduler.inject(token(1));
        (2..=5).for_each(|job| worker.push_spawn(token(job)));
        other.push_spawn(token(6));
        other.hand_over();
        let picks = [(); 3].map(|()| number(worker.next_fair().unwrap()));
        assert_eq!(picks, [1, 2, 6]);
        let place = worker.push_join(token(7));
        worker.hand_over_joins();
        let picks = [(); 4].map(|()| number(worker.next_fair().unwrap()));
        assert_eq!(picks, [7, 3, 5, 4], "where nothing is, the usual order");
        // SAFETY: the place comes from this worker.
        assert_eq!(unsafe { worker.take_back(place) }, TakeBack::Stolen);
        assert_eq!([worker.next_fair(), worker.next_fair()], [None, None]);
    }
}

#[test]
fn every_61st_pick_is_fair() {
    let (_, [worker]) = pool();
    let fair: Vec<_> = (1..=200).filter(|_| worker.is_fair_pick()).collect();
    assert_eq!(fair, [61, 122, 183]);
}

/// Everything is in a private range of an owner that does nothing, or in the injector.
#[test]
fn a_sweep_takes_by_force_and_loses_nothing() {
    must_end(|| {
        let (scheduler, [worker, other, third]) = pool();
        (1..=100).for_each(|job| other.push_spawn(token(job)));
        (101..=200).for_each(|job| third.push_spawn(token(job)));
        (201..=300).for_each(|job| scheduler.inject(token(job)));
        for wanted in [7, 160, 222] {
            assert_eq!(worker.take_anywhere(&is_number(wanted)).map(number), Some(wanted));
        }
        assert_eq!(worker.take_anywhere(&|_| false), None);
        let mut left: Vec<_> = std::iter::from_fn(|| worker.next().map(number)).collect();
        left.sort_unstable();
        let all = (1..=300).filter(|job| ![7, 160, 222].contains(job));
        assert!(left.into_iter().eq(all));
    });
}

/// A sweep takes what was there when it came; the pusher is faster than the sweep.
#[test]
fn a_sweep_ends_beside_a_worker_that_pushes_without_pause() {
    const BEFORE: usize = 100_000;
    const MOST: usize = 20_000_000;
    must_end(|| {
        let (_, [worker, other]) = pool();
        let (ready, wait) = mpsc::channel();
        let has_ended = AtomicBool::new(false);
        let push_without_pause = || {
            let other = other;
            (1..=BEFORE).for_each(|job| other.push_spawn(token(job)));
            ready.send(()).unwrap();
            let mut pushed = BEFORE;
            while pushed < MOST && !has_ended.load(Ordering::Relaxed) {
                pushed += 1;
                other.push_spawn(token(pushed));
            }
            pushed
        };
        thread::scope(|s| {
            let pusher = s.spawn(push_without_pause);
            wait.recv().unwrap();
            assert_eq!(worker.take_anywhere(&|_| false), None);
            has_ended.store(true, Ordering::Relaxed);
            let pushed = pusher.join().unwrap();
            assert!(pushed < MOST, "the sweep ended only when the pusher had");
        });
    });
}

/// A fiber that a job has made may suspend inside a join, and nobody hands that over.
#[test]
fn a_worker_that_looks_for_a_job_finds_a_join_that_was_left_open() {
    must_end(|| {
        let (_, [worker]) = pool();
        let place = worker.push_join(token(1));
        assert_eq!(find(&worker), 1);
        // SAFETY: the place comes from this worker.
        assert_eq!(unsafe { worker.take_back(place) }, TakeBack::Stolen);
    });
}

/// Lets one worker find a job while the other one sleeps, and has counted on it: in the midst of
/// the first one's search, when the second one is parked, `prepare` has it to itself. Returns what
/// the first one has found, and then, after `proceed`, the sleeper.
fn find_beside_a_sleeper(
    prepare: impl Fn(&WorkerQueues),
    proceed: impl FnOnce(&WorkerQueues),
) -> (usize, Option<usize>) {
    let (scheduler, [worker, sleeper]) = pool();
    let (stop, sleeper) = (AtomicBool::new(false), Cell::new(Some(sleeper)));
    let (found, wait) = mpsc::channel();
    let is_asleep = || format!("{:?}", scheduler.sleep()).contains("parked: 1, searchers: 1");
    thread::scope(|s| {
        let first = worker.find(|| {
            if let Some(sleeper) = sleeper.take() {
                let (found, stop) = (found.clone(), &stop);
                s.spawn(move || {
                    if let Find::Job(job) = sleeper.find(|| stop.load(Ordering::Relaxed)) {
                        found.send(number(job)).unwrap();
                    }
                });
                while !is_asleep() {
                    thread::yield_now();
                }
                prepare(&worker);
            }
            false
        });
        let Find::Job(first) = first else { unreachable!("nobody interrupts") };
        proceed(&worker);
        let second = wait.recv_timeout(seconds() / 4).ok();
        stop.store(true, Ordering::Relaxed);
        scheduler.sleep().wake_all();
        (number(first), second)
    })
}

/// Opens the worker's gate, which the sleeper has closed.
fn open_the_gate(worker: &WorkerQueues) {
    worker.push_spawn(token(9));
    assert_eq!(worker.next().map(number), Some(9));
}

#[test]
fn a_worker_that_finds_a_job_publishes_its_next_one() {
    let prepare = |worker: &WorkerQueues| {
        open_the_gate(worker);
        worker.push_spawn(token(1));
    };
    let found = find_beside_a_sleeper(prepare, |worker| worker.push_spawn(token(2)));
    assert_eq!(found, (1, Some(2)));
}

#[test]
fn a_worker_that_finds_one_of_two_private_jobs_wakes_another() {
    let prepare = |worker: &WorkerQueues| {
        open_the_gate(worker);
        (1..=2).for_each(|job| worker.push_spawn(token(job)));
    };
    assert_eq!(find_beside_a_sleeper(prepare, |_| ()), (2, Some(1)));
}

#[test]
fn a_worker_that_finds_one_of_two_injected_jobs_wakes_another() {
    let prepare = |worker: &WorkerQueues| {
        (1..=2).for_each(|job| worker.scheduler().inject(token(job)));
    };
    assert_eq!(find_beside_a_sleeper(prepare, |_| ()), (1, Some(2)));
}

/// Makes a worker find what comes between its search and its last look, when pushers count on it.
#[cfg(feature = "observe")]
fn find_in_the_last_look(
    push: impl FnOnce(&Scheduler, &WorkerQueues) + Send + 'static,
    expected: usize,
) {
    must_end(move || {
        let (scheduler, [mut worker, other]) = pool();
        let push = Cell::new(Some(push));
        worker.set_observer(move |observed| {
            if observed == deque_scheduler::Observed::Park
                && let Some(push) = push.take()
            {
                push(&scheduler, &other);
            }
        });
        assert_eq!(find(&worker), expected);
    });
}

#[test]
#[cfg(feature = "observe")]
fn the_last_look_sees_a_private_job() {
    let push = |_: &Scheduler, other: &WorkerQueues| {
        open_the_gate(other);
        other.push_spawn(token(1));
    };
    find_in_the_last_look(push, 1);
}

#[test]
#[cfg(feature = "observe")]
fn the_last_look_sees_an_injected_job() {
    find_in_the_last_look(|scheduler, _| scheduler.inject(token(1)), 1);
}
