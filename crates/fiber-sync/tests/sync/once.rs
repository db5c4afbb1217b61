use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::{Lazy, OnceCell};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(5);
const FAR: Duration = Duration::from_secs(3600);

#[test]
fn a_value_is_made_once() {
    let rounds = if cfg!(rustfiber_tsan) { 20 } else { 300 };
    for _ in 0..rounds {
        let (cell, made) = (OnceCell::new(), AtomicUsize::new(0));
        let make = || {
            thread::yield_now();
            made.fetch_add(1, SeqCst) + 1
        };
        thread::scope(|s| {
            s.spawn(|| assert_eq!(cell.get_or_init(make), &1));
            s.spawn(|| as_fiber(|| assert_eq!(cell.get_or_init(make), &1)));
            s.spawn(|| assert_eq!(block_on(cell.get_or_init_async(|| async { make() })), &1));
        });
        assert_eq!(cell.into_inner(), Some(1));
    }
}

#[test]
fn who_fails_leaves_the_turn_to_the_next() {
    as_thread_and_fiber(|| {
        let cell = OnceCell::new();
        assert_eq!(cell.get_or_try_init(|| Err("no")), Err("no"));
        assert!(catch_unwind(AssertUnwindSafe(|| cell.get_or_init(|| panic!("no")))).is_err());
        let failed = block_on(cell.get_or_try_init_async(|| ready(Err("no"))));
        assert_eq!(failed, Err("no"));
        // Making; and waiting for the turn.
        let making = Task::waiting(cell.get_or_init_async(pending));
        let waiting = Task::waiting(cell.get_or_init_async(pending));
        let mut next = Task::waiting(cell.get_or_init_async(|| ready(5)));
        drop(waiting);
        assert!(next.poll().is_none());
        drop(making);
        assert_eq!(next.poll(), Some(&5));
        assert_eq!(cell.get_or_try_init(|| Err("no")), Ok(&5));
    });
}

#[test]
fn whoever_waits_gets_the_value_that_is_made() {
    as_thread_and_fiber(|| {
        let cell = OnceCell::new();
        let mut making = Task::new(cell.get_or_init_async(|| async {
            let mut polls = 0;
            std::future::poll_fn(|_| {
                polls += 1;
                if polls == 1 { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
            })
            .await;
            7
        }));
        assert!(making.poll().is_none());
        let mut waiting = Task::waiting(cell.get_or_init_async(|| ready(8)));
        assert_eq!(making.poll(), Some(&7));
        assert_eq!(waiting.poll(), Some(&7));
        assert_eq!(cell.get_or_init(|| 9), &7);
    });
}

#[test]
fn who_waits_for_others_gets_what_they_make() {
    let rounds = if cfg!(rustfiber_tsan) { 20 } else { 300 };
    for _ in 0..rounds {
        let cell = OnceCell::new();
        thread::scope(|s| {
            s.spawn(|| assert_eq!(cell.wait(), &1));
            s.spawn(|| as_fiber(|| assert_eq!(cell.wait_timeout(FAR), Some(&1))));
            s.spawn(|| assert_eq!(block_on(cell.wait_async()), &1));
            assert_eq!(cell.get_or_try_init(|| Err(())), Err(()));
            assert_eq!(cell.get_or_init(|| 1), &1);
        });
    }
}

/// Neither does the turn go to who only waits, nor does it wait behind them.
#[test]
fn who_waits_for_others_does_not_hold_them_up() {
    as_thread_and_fiber(|| {
        let cell = OnceCell::new();
        let mut waiting = Task::waiting(cell.wait_async());
        assert_eq!(cell.get_or_try_init(|| Err("no")), Err("no"));
        assert!(waiting.poll().is_none() && waiting.wake_count() == 0);
        let making = Task::waiting(cell.get_or_init_async(pending));
        drop(making);
        assert!(waiting.poll().is_none() && waiting.wake_count() == 0);
        assert_eq!(cell.set(1), Ok(()));
        assert_eq!((waiting.wake_count(), waiting.poll()), (1, Some(&1)));
        assert_eq!((cell.wait(), cell.wait_timeout(SOON)), (&1, Some(&1)));
        assert_eq!(block_on(cell.wait_async()), &1);
    });
}

#[test]
fn who_waits_for_others_may_give_up() {
    as_thread_and_fiber(|| {
        let cell = OnceCell::<u8>::new();
        let start = Instant::now();
        assert_eq!(cell.wait_timeout(SOON), None);
        assert!(start.elapsed() >= SOON);
        assert_eq!(cell.wait_deadline(start), None);
        assert_eq!(cell.get_or_init(|| 1), &1);
        assert_eq!((cell.wait_timeout(SOON), cell.wait_deadline(start)), (Some(&1), Some(&1)));
    });
}

#[test]
fn a_cell_is_set_once() {
    let mut cell = OnceCell::new();
    assert_eq!((cell.get(), cell.set(1), cell.set(2)), (None, Ok(()), Err(2)));
    *cell.get_mut().unwrap() += 1;
    assert_eq!(cell.get(), Some(&2));
    let cell = OnceCell::from(3);
    assert_eq!((cell.set(4), cell.get_or_init(|| 5)), (Err(4), &3));
}

#[test]
fn a_lazy_value_is_made_when_it_is_used() {
    static LAZY: Lazy<AtomicUsize> = Lazy::new(AtomicUsize::default);
    assert!(Lazy::get(&LAZY).is_none());
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| LAZY.fetch_add(1, SeqCst));
            s.spawn(|| block_on(Lazy::force_async(&LAZY)).fetch_add(1, SeqCst));
        }
    });
    assert_eq!(Lazy::get(&LAZY).unwrap().load(SeqCst), 6);
    assert_eq!(*Lazy::<u8>::default(), 0);
}

#[test]
fn a_lazy_value_whose_making_panicked_is_refused() {
    let lazy: Lazy<u8> = Lazy::new(|| panic!("no"));
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
    }
}

#[test]
fn debug_shows_the_value_if_there_is_one() {
    let cell = OnceCell::new();
    assert_eq!(format!("{cell:?}"), "OnceCell(<empty>)");
    cell.set(1).unwrap();
    assert_eq!(format!("{cell:?}"), "OnceCell(1)");
    assert_eq!(format!("{:?}", Lazy::<u8>::default()), "Lazy(OnceCell(<empty>))");
}
