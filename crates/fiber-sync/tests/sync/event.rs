use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::{AutoResetEvent, ManualResetEvent};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_manual_event_lets_everybody_go() {
    let event = ManualResetEvent::new(false);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| event.wait());
            s.spawn(|| as_fiber(|| event.wait()));
            s.spawn(|| block_on(event.wait_async()));
        }
        event.set();
    });
    assert!(event.is_set());
    event.wait();
    assert!(event.wait_timeout(Duration::ZERO));
}

#[test]
fn a_manual_event_that_is_reset_at_once_lets_those_go_who_wait() {
    let event = ManualResetEvent::new(true);
    event.reset();
    let mut before = Task::waiting(event.wait_async());
    event.set();
    event.set();
    event.reset();
    let mut after = Task::waiting(event.wait_async());
    assert!(before.poll().is_some() && after.poll().is_none());
    event.set();
    assert!(after.poll().is_some());
}

#[test]
fn a_set_in_the_instant_of_the_wait_is_not_missed() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 2_000 };
    as_thread_and_fiber(|| {
        let event = ManualResetEvent::new(false);
        for round in 0..rounds {
            thread::scope(|s| {
                s.spawn(|| event.set());
                (0..round % 30).for_each(|_| std::hint::spin_loop());
                event.wait();
            });
            event.reset();
        }
    });
}

#[test]
fn waits_for_events_end_in_time() {
    as_thread_and_fiber(|| {
        let (manual, auto) = (ManualResetEvent::new(false), AutoResetEvent::new(false));
        let begin = Instant::now();
        assert!(!manual.wait_timeout(SOON) && !auto.wait_timeout(SOON));
        let deadline = begin + 3 * SOON;
        assert!(!manual.wait_deadline(deadline) && !auto.wait_deadline(deadline));
        assert!(Instant::now() >= deadline);
        manual.set();
        auto.set();
        assert!(manual.wait_deadline(begin) && auto.wait_deadline(begin));
        assert!(manual.wait_deadline(begin) && !auto.wait_deadline(begin));
    });
}

#[test]
fn an_auto_event_lets_one_go() {
    let event = AutoResetEvent::new(false);
    let mut first = Task::waiting(event.wait_async());
    let mut second = Task::waiting(event.wait_async());
    event.set();
    assert!(!event.try_wait());
    assert_eq!((first.wake_count(), second.wake_count()), (1, 0));
    assert!(first.poll().is_some() && second.poll().is_none());
    event.set();
    assert!(second.poll().is_some());
    // Not counted.
    event.set();
    event.set();
    assert!(event.try_wait() && !event.try_wait());
    assert!(AutoResetEvent::new(true).try_wait());
}

#[test]
fn a_future_that_is_dropped_gives_its_event_to_the_next() {
    let event = AutoResetEvent::new(false);
    let (waits, taken) = (Task::waiting(event.wait_async()), Task::waiting(event.wait_async()));
    let mut next = Task::waiting(event.wait_async());
    drop(waits);
    event.set();
    drop(taken);
    assert!(next.poll().is_some());
    let taken = Task::waiting(event.wait_async());
    event.set();
    drop(taken);
    assert!(event.try_wait() && !event.try_wait());
}

#[test]
fn an_auto_event_plays_ping_pong() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 1_000 };
    as_thread_and_fiber(|| {
        let (ping, pong) = (AutoResetEvent::new(false), AutoResetEvent::new(false));
        thread::scope(|s| {
            s.spawn(|| {
                block_on(async {
                    for _ in 0..rounds {
                        ping.wait_async().await;
                        pong.set();
                    }
                });
            });
            for _ in 0..rounds {
                ping.set();
                pong.wait();
            }
        });
    });
}

#[test]
fn debug_shows_whether_events_are_set() {
    let event = ManualResetEvent::new(true);
    assert_eq!(format!("{event:?}"), "ManualResetEvent { is_set: true, .. }");
    let event = AutoResetEvent::new(false);
    assert_eq!(format!("{event:?}"), "AutoResetEvent { is_set: false, .. }");
}
