use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::oneshot::channel;
use fiber_sync::{Closed, SendError, TimeoutError, TryError};

use crate::common::{Task, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_value_is_received_once() {
    as_thread_and_fiber(|| {
        let (sender, mut receiver) = channel();
        thread::scope(|s| {
            s.spawn(move || sender.send(1).unwrap());
            assert_eq!(receiver.recv(), Ok(1));
        });
        assert_eq!((receiver.recv(), receiver.try_recv()), (Err(Closed), Err(TryError::Closed)));
    });
}

#[test]
fn a_task_is_woken_by_the_value() {
    let (sender, mut receiver) = channel();
    let mut task = Task::waiting(receiver.recv_async());
    sender.send("value").unwrap();
    assert_eq!((task.wake_count(), task.poll()), (1, Some(Ok("value"))));
    drop(task);
    assert_eq!(receiver.recv(), Err(Closed));
}

#[test]
fn a_future_that_is_dropped_loses_no_value() {
    let (sender, mut receiver) = channel();
    drop(Task::waiting(receiver.recv_async()));
    let woken = Task::waiting(receiver.recv_async());
    sender.send(1).unwrap();
    drop(woken);
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn a_sender_that_goes_closes() {
    as_thread_and_fiber(|| {
        let (sender, mut receiver) = channel::<u8>();
        thread::scope(|s| {
            s.spawn(move || drop(sender));
            assert_eq!(receiver.recv(), Err(Closed));
        });
        assert_eq!(receiver.recv_timeout(SOON), Err(TimeoutError::Closed));
        assert_eq!(block_on(receiver.recv_async()), Err(Closed));
    });
}

#[test]
fn a_receiver_that_goes_is_noticed() {
    as_thread_and_fiber(|| {
        let (sender, receiver) = channel::<Arc<()>>();
        let mut task = Task::waiting(sender.closed_async());
        thread::scope(|s| {
            s.spawn(move || drop(receiver));
            sender.closed();
        });
        assert!(task.poll().is_some() && sender.is_closed());
        drop(task);
        let value = Arc::new(());
        let SendError(refused) = sender.send(Arc::clone(&value)).unwrap_err();
        assert!(Arc::ptr_eq(&refused, &value));
    });
}

#[test]
fn what_nobody_receives_is_dropped() {
    let value = Arc::new(());
    let (sender, receiver) = channel();
    sender.send(Arc::clone(&value)).unwrap();
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_receiver_that_closes_still_gets_what_was_sent() {
    let (sender, mut receiver) = channel();
    sender.send(1).unwrap();
    receiver.close();
    assert_eq!(receiver.recv(), Ok(1));
    let (sender, mut receiver) = channel();
    receiver.close();
    assert_eq!(sender.send(1), Err(SendError(1)));
    assert_eq!(receiver.recv(), Err(Closed));
}

#[test]
fn a_wait_ends_in_time() {
    as_thread_and_fiber(|| {
        let (sender, mut receiver) = channel();
        let begin = Instant::now();
        assert_eq!(receiver.recv_timeout(SOON), Err(TimeoutError::TimedOut));
        assert_eq!(receiver.recv_deadline(begin + 2 * SOON), Err(TimeoutError::TimedOut));
        assert!(begin.elapsed() >= 2 * SOON);
        assert_eq!(receiver.try_recv(), Err(TryError::WouldBlock));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_deadline(begin), Ok(1));
    });
}

#[test]
fn debug_shows_the_state() {
    let (sender, mut receiver) = channel::<u8>();
    receiver.close();
    assert_eq!(format!("{sender:?}"), "Sender { closed: true, .. }");
    assert_eq!(format!("{receiver:?}"), "Receiver { settled: false, .. }");
}
