use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::WaitGroup;

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn waiters_go_on_at_zero() {
    let group = WaitGroup::new(1);
    thread::scope(|s| {
        s.spawn(|| group.wait());
        s.spawn(|| as_fiber(|| group.wait()));
        s.spawn(|| block_on(group.wait_async()));
        for _ in 0..3 {
            let ticket = group.ticket();
            s.spawn(move || drop(ticket));
        }
        group.done();
    });
    assert_eq!(group.count(), 0);
    group.wait();
}

#[test]
fn waiters_go_on_at_the_count_that_they_wait_for() {
    let group = WaitGroup::default();
    group.add(4);
    let mut zero = Task::waiting(group.wait_async());
    let mut two = Task::waiting(group.wait_at_most_async(2));
    let mut three = Task::waiting(group.wait_at_most_async(3));
    group.done();
    assert!(three.poll().is_some() && two.poll().is_none() && zero.poll().is_none());
    group.done();
    assert!(two.poll().is_some() && zero.poll().is_none());
    group.wait_at_most(2);
    group.done();
    group.done();
    assert!(zero.poll().is_some());
}

#[test]
fn a_done_in_the_instant_of_the_wait_is_not_missed() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 2_000 };
    as_thread_and_fiber(|| {
        for round in 0..rounds {
            let group = WaitGroup::new(3);
            thread::scope(|s| {
                s.spawn(|| (0..3).for_each(|_| group.done()));
                (0..round % 30).for_each(|_| std::hint::spin_loop());
                group.wait_at_most(round % 3);
            });
            assert_eq!(group.count(), 0);
        }
    });
}

#[test]
fn a_wait_for_a_group_ends_in_time() {
    as_thread_and_fiber(|| {
        let group = WaitGroup::new(2);
        let begin = Instant::now();
        assert!(!group.wait_timeout(SOON) && !group.wait_at_most_timeout(1, SOON));
        let deadline = begin + 3 * SOON;
        assert!(!group.wait_deadline(deadline) && !group.wait_at_most_deadline(1, deadline));
        assert!(Instant::now() >= deadline);
        group.done();
        assert!(group.wait_at_most_deadline(1, begin) && !group.wait_deadline(begin));
        group.done();
        assert!(group.wait_deadline(begin) && group.wait_timeout(SOON));
    });
}

#[test]
fn a_ticket_is_done_when_its_owner_panics() {
    let group = WaitGroup::new(0);
    let ticket = group.ticket();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ticket = ticket;
        panic!("with a ticket");
    }));
    assert!(panicked.is_err());
    assert_eq!(group.count(), 0);
}

#[test]
fn counts_have_their_limits() {
    let group = WaitGroup::new(WaitGroup::MAX_COUNT);
    assert!(catch_unwind(AssertUnwindSafe(|| group.add(1))).is_err());
    assert_eq!(group.count(), WaitGroup::MAX_COUNT);
    group.wait_at_most(WaitGroup::MAX_COUNT);
    let group = WaitGroup::new(0);
    assert!(catch_unwind(AssertUnwindSafe(|| group.done())).is_err());
    assert_eq!(group.count(), 0);
    group.wait();
}

#[test]
fn debug_shows_the_count() {
    let group = WaitGroup::new(1);
    assert_eq!(format!("{group:?}"), "WaitGroup { count: 1, .. }");
    let ticket = group.ticket();
    assert_eq!(format!("{ticket:?}"), "Ticket { group: WaitGroup { count: 2, .. } }");
}
