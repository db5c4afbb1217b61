use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::Barrier;

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn nobody_goes_before_all_have_come() {
    let rounds = if cfg!(rustfiber_tsan) { 50 } else { 1_000 };
    let (barrier, arrivals) = (Barrier::new(3), AtomicUsize::new(0));
    let leaders = AtomicUsize::new(0);
    let arrive = |round| {
        let before = arrivals.fetch_add(1, SeqCst);
        assert!((3 * round..3 * round + 3).contains(&before));
    };
    let leave = |round, is_leader| {
        assert!(arrivals.load(SeqCst) >= 3 * (round + 1));
        leaders.fetch_add(usize::from(is_leader), SeqCst);
    };
    let by_blocking = || {
        for round in 0..rounds {
            arrive(round);
            leave(round, barrier.wait().is_leader());
        }
    };
    thread::scope(|s| {
        s.spawn(by_blocking);
        s.spawn(|| as_fiber(by_blocking));
        s.spawn(|| {
            block_on(async {
                for round in 0..rounds {
                    arrive(round);
                    leave(round, barrier.wait_async().await.is_leader());
                }
            });
        });
    });
    assert_eq!(leaders.into_inner(), rounds);
}

#[test]
fn a_barrier_for_one_is_open() {
    for barrier in [Barrier::new(0), Barrier::new(1)] {
        assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
        assert!(block_on(barrier.wait_async()).is_leader());
    }
}

#[test]
fn who_gives_up_has_not_come() {
    as_thread_and_fiber(|| {
        let barrier = Barrier::new(2);
        let begin = Instant::now();
        assert_eq!(barrier.wait_timeout(SOON), None);
        assert_eq!(barrier.wait_deadline(begin + 2 * SOON), None);
        assert!(begin.elapsed() >= 2 * SOON);
        drop(Task::waiting(barrier.wait_async()));
        let mut first = Task::waiting(barrier.wait_async());
        assert!(barrier.wait_deadline(begin).unwrap().is_leader());
        assert!(!first.poll().unwrap().is_leader());
    });
}

#[test]
fn who_is_dropped_after_the_opening_stays_counted() {
    let barrier = Barrier::new(2);
    let first = Task::waiting(barrier.wait_async());
    assert!(barrier.wait().is_leader());
    drop(first);
    let mut next = Task::waiting(barrier.wait_async());
    assert!(barrier.wait().is_leader());
    assert!(next.poll().is_some());
}

#[test]
fn a_timeout_in_the_instant_of_the_opening_is_one_or_the_other() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 1_000 };
    as_thread_and_fiber(|| {
        let barrier = Barrier::new(2);
        for round in 0..rounds {
            let other = thread::scope(|s| {
                let other = s.spawn(|| barrier.wait_timeout(Duration::from_micros(round % 40)));
                let mine = barrier.wait_timeout(Duration::from_micros(40 - round % 40));
                (mine, other.join().unwrap())
            });
            match other {
                (Some(one), Some(other)) => assert!(one.is_leader() != other.is_leader()),
                (None, None) => (),
                other => panic!("one alone has gone on: {other:?}"),
            }
        }
    });
}

#[test]
fn debug_shows_who_has_come() {
    let barrier = Barrier::new(3);
    let _first = Task::waiting(barrier.wait_async());
    assert_eq!(format!("{barrier:?}"), "Barrier { count: 3, arrived: 1, .. }");
}
