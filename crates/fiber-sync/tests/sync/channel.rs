use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::blocker::{Blocker, BlockingWait, Outcome, Registration, Waiter, install};
use fiber_sync::channel::{bounded, unbounded};
use fiber_sync::{Closed, SendError, SendTimeoutError, TimeoutError, TryError, TrySendError};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn values_arrive_in_the_order_of_their_sending() {
    let count = if cfg!(rustfiber_tsan) { 100 } else { 5_000 };
    as_thread_and_fiber(|| {
        for (sender, receiver) in [bounded(1), bounded(7), unbounded()] {
            thread::scope(|s| {
                s.spawn(move || (0..count).for_each(|number| sender.send(number).unwrap()));
                assert!((&receiver).into_iter().eq(0..count));
                assert_eq!(receiver.recv(), Err(Closed));
            });
        }
    });
}

#[test]
fn a_full_channel_makes_senders_wait_in_line() {
    let (sender, receiver) = bounded(1);
    sender.try_send(0).unwrap();
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
    let mut first = Task::waiting(sender.send_async(1));
    let mut second = Task::waiting(sender.send_async(2));
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)), "nobody overtakes");
    assert_eq!((first.wake_count(), second.wake_count()), (1, 0));
    assert!(first.poll().unwrap().is_ok());
    assert_eq!(receiver.recv(), Ok(1));
    assert!(second.poll().unwrap().is_ok());
    assert_eq!((receiver.len(), sender.capacity()), (1, Some(1)));
    assert_eq!(receiver.recv(), Ok(2));
    assert!(sender.is_empty());
}

/// Runs `meanwhile`, which ends the wait that `wait` makes, when that is registered.
fn while_waiting<R>(wait: impl FnOnce() -> R, meanwhile: impl FnOnce() + 'static) -> R {
    thread_local! {
        static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }
    struct Registers;
    // SAFETY: the waiter stays until its wait is over, and nothing unwinds: a panic of a test's is
    // one of the process.
    unsafe impl Blocker for Registers {
        fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
            let waiter = Waiter::current_thread();
            // SAFETY: see above.
            let registration = unsafe { wait.register(&waiter) };
            assert_eq!(registration, Registration::Registered);
            let meanwhile = MEANWHILE.take().expect("it waits once");
            if catch_unwind(AssertUnwindSafe(meanwhile)).is_err() || waiter.outcome().is_none() {
                std::process::abort();
            }
            waiter.outcome()
        }
    }
    MEANWHILE.set(Some(Box::new(meanwhile)));
    let _installed = install(&Registers);
    wait()
}

#[test]
fn a_receiver_that_waits_alone_is_handed_its_value() {
    let (sender, receiver) = bounded(1);
    let other = sender.clone();
    let send = move || {
        other.send(1).unwrap();
        assert!(other.is_empty(), "it was not put down");
        assert_eq!(other.try_send(2), Err(TrySendError::Full(2)), "nor has it been taken");
    };
    assert_eq!(while_waiting(|| receiver.recv(), send), Ok(1));
    sender.try_send(3).unwrap();
    assert_eq!(receiver.recv(), Ok(3));
}

#[test]
fn values_of_any_layout_are_handed_over() {
    fn hand_over<T: Clone + PartialEq + fmt::Debug + 'static>(value: &T) {
        let (sender, receiver) = unbounded();
        let sent = value.clone();
        let send = move || {
            sender.send(sent).unwrap();
            assert!(sender.is_empty(), "it was not put down");
        };
        assert_eq!(while_waiting(|| receiver.recv(), send).as_ref(), Ok(value));
    }
    #[repr(align(256))]
    #[derive(Clone, Debug, PartialEq)]
    struct Wide(u8);
    let alive = Arc::new(());
    hand_over(&());
    hand_over(&Wide(7));
    hand_over(&[7_u8; 3]);
    hand_over(&[7_u64; 500]);
    hand_over(&Some(Arc::clone(&alive)));
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// The waker of a sender that is refused polls another, which has room, while a receiver waits.
#[test]
fn nothing_is_handed_over_after_a_refusal() {
    type Sent = Result<(), SendError<u8>>;
    type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;
    struct Polls(Mutex<Sending>, Mutex<Option<Poll<Sent>>>);
    impl Wake for Polls {
        fn wake(self: Arc<Self>) {
            let mut sending = self.0.lock().unwrap();
            let result = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            *self.1.lock().unwrap() = Some(result);
        }
    }
    let (sender, receiver) = bounded(1);
    let send = |value| -> Sending {
        let sender = sender.clone();
        Box::pin(async move { sender.send_async(value).await })
    };
    sender.send(0).unwrap();
    let (mut granted, mut refused) = (send(1), send(2));
    assert!(granted.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let polls = Arc::new(Polls(Mutex::new(granted), Mutex::new(None)));
    let waker = Waker::from(Arc::clone(&polls));
    assert!(refused.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(receiver.try_recv(), Ok(0));
    let other = sender.clone();
    assert_eq!(while_waiting(|| receiver.recv(), move || other.close()), Err(Closed));
    assert_eq!(polls.1.lock().unwrap().take(), Some(Poll::Ready(Err(SendError(1)))));
}

#[test]
fn what_was_sent_before_is_received_before_what_is_handed_over() {
    let (sender, receiver) = unbounded();
    let mut granted = Task::waiting(receiver.recv_async());
    sender.send(1).unwrap();
    let other = sender.clone();
    let received = while_waiting(|| receiver.recv_timeout(SOON), move || other.send(2).unwrap());
    assert_eq!((received, granted.poll()), (Ok(1), Some(Ok(2))));
}

#[test]
fn receivers_wait_in_line() {
    let (sender, receiver) = unbounded();
    let other = receiver.clone();
    let mut first = Task::waiting(receiver.recv_async());
    let mut second = Task::waiting(other.recv_async());
    assert_eq!(receiver.try_recv(), Err(TryError::WouldBlock));
    sender.send('a').unwrap();
    assert_eq!((first.wake_count(), second.wake_count()), (1, 0));
    assert_eq!(receiver.try_recv(), Err(TryError::WouldBlock), "nobody overtakes");
    sender.send('b').unwrap();
    assert_eq!((second.poll(), first.poll()), (Some(Ok('a')), Some(Ok('b'))));
    assert_eq!(sender.capacity(), None);
}

#[test]
fn a_future_that_is_dropped_loses_no_value_and_no_room() {
    let (sender, receiver) = bounded(1);
    // A receiver that was granted a value.
    let granted = Task::waiting(receiver.recv_async());
    sender.send(1).unwrap();
    let mut next = Task::waiting(receiver.recv_async());
    drop(granted);
    assert_eq!(next.poll(), Some(Ok(1)));
    // A sender that was granted room.
    sender.send(2).unwrap();
    let granted = Task::waiting(sender.send_async(3));
    let mut next = Task::waiting(sender.send_async(4));
    assert_eq!(receiver.recv(), Ok(2));
    drop(granted);
    assert!(next.poll().unwrap().is_ok());
    assert_eq!((receiver.recv(), receiver.len()), (Ok(4), 0));
    sender.try_send(5).unwrap();
}

#[test]
fn waits_end_in_time() {
    as_thread_and_fiber(|| {
        let (sender, receiver) = bounded(1);
        let begin = Instant::now();
        assert_eq!(receiver.recv_timeout(SOON), Err(TimeoutError::TimedOut));
        assert_eq!(receiver.recv_deadline(begin + 2 * SOON), Err(TimeoutError::TimedOut));
        assert!(begin.elapsed() >= 2 * SOON);
        sender.send_timeout(1, SOON).unwrap();
        assert_eq!(sender.send_timeout(2, SOON), Err(SendTimeoutError::TimedOut(2)));
        assert_eq!(sender.send_deadline(3, begin), Err(SendTimeoutError::TimedOut(3)));
        assert_eq!(receiver.recv_deadline(begin), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryError::WouldBlock));
    });
}

#[test]
fn what_was_sent_is_received_after_the_senders_are_gone() {
    for (sender, receiver) in [bounded(2), unbounded()] {
        let other = sender.clone();
        sender.send(1).unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        other.send(2).unwrap();
        drop(other);
        assert!(receiver.is_closed());
        let second = receiver.clone();
        assert_eq!((receiver.recv(), second.try_recv()), (Ok(1), Ok(2)));
        assert_eq!((receiver.recv(), second.try_recv()), (Err(Closed), Err(TryError::Closed)));
        assert_eq!(receiver.recv_timeout(SOON), Err(TimeoutError::Closed));
        assert_eq!(block_on(receiver.recv_async()), Err(Closed));
        assert_eq!(receiver.into_iter().next(), None);
    }
}

#[test]
fn nothing_is_sent_to_nobody() {
    let alive = Arc::new(());
    for (sender, receiver) in [bounded(1), unbounded()] {
        let other = receiver.clone();
        sender.send(Arc::clone(&alive)).unwrap();
        drop(receiver);
        assert!(!sender.is_closed());
        drop(other);
        assert_eq!(Arc::strong_count(&alive), 1, "what nobody receives is dropped");
        assert!(sender.is_closed());
        let value = Arc::clone(&alive);
        let SendError(value) = sender.send(value).unwrap_err();
        let value = sender.try_send(value).unwrap_err().into_inner();
        let value = sender.send_timeout(value, SOON).unwrap_err().into_inner();
        block_on(sender.send_async(value)).unwrap_err();
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

#[test]
fn a_close_ends_every_wait() {
    as_thread_and_fiber(|| {
        let (sender, receiver) = bounded::<u8>(1);
        let mut task = Task::waiting(receiver.recv_async());
        thread::scope(|s| {
            s.spawn(|| sender.close());
            assert_eq!(receiver.recv(), Err(Closed));
        });
        assert_eq!(task.poll(), Some(Err(Closed)));

        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        let mut task = Task::waiting(sender.send_async(2));
        thread::scope(|s| {
            s.spawn(|| receiver.close());
            assert_eq!(sender.send(3), Err(SendError(3)));
        });
        assert_eq!(task.poll(), Some(Err(SendError(2))));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(Closed)));
    });
}

#[test]
fn a_sender_that_was_granted_room_meets_the_close() {
    let (sender, receiver) = bounded(1);
    sender.send(1).unwrap();
    let mut granted = Task::waiting(sender.send_async(2));
    assert_eq!(receiver.recv(), Ok(1));
    receiver.close();
    assert_eq!(granted.poll(), Some(Err(SendError(2))));
    assert_eq!(receiver.recv(), Err(Closed));
}

#[test]
fn a_receiver_that_was_granted_a_value_may_find_it_taken_after_the_close() {
    let (sender, receiver) = unbounded();
    let mut granted = Task::waiting(receiver.recv_async());
    sender.send(1).unwrap();
    sender.close();
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(granted.poll(), Some(Err(Closed)));
}

#[test]
fn every_value_is_received_once_by_all_kinds() {
    let count = if cfg!(rustfiber_tsan) { 100 } else { 2_000 };
    let sum = AtomicUsize::new(0);
    let add = |number| _ = sum.fetch_add(number, SeqCst);
    let (sender, receiver) = bounded(3);
    thread::scope(|s| {
        for _ in 0..2 {
            let (sender, async_sender) = (sender.clone(), sender.clone());
            s.spawn(move || (1..=count).for_each(|number| sender.send(number).unwrap()));
            s.spawn(move || {
                block_on(async {
                    for number in 1..=count {
                        async_sender.send_async(number).await.unwrap();
                    }
                });
            });
        }
        drop(sender);
        s.spawn(|| receiver.iter().for_each(add));
        s.spawn(|| as_fiber(|| receiver.iter().for_each(add)));
        s.spawn(|| {
            block_on(async {
                while let Ok(number) = receiver.recv_async().await {
                    add(number);
                }
            });
        });
    });
    assert_eq!(sum.into_inner(), 4 * count * (count + 1) / 2);
}

#[test]
fn a_channel_has_room() {
    assert!(catch_unwind(AssertUnwindSafe(|| drop(bounded::<u8>(0)))).is_err());
}

#[test]
fn errors_and_sides_describe_themselves() {
    let (sender, receiver) = bounded(1);
    sender.send(1).unwrap();
    assert_eq!(format!("{:?}", sender.try_send(2)), "Err(TrySendError(the channel is full))");
    assert_eq!(format!("{sender:?}"), "Sender { len: 1, capacity: Some(1), closed: false, .. }");
    receiver.close();
    assert_eq!(format!("{}", sender.send(2).unwrap_err()), "the channel is closed");
    assert_eq!(format!("{receiver:?}"), "Receiver { len: 1, capacity: Some(1), closed: true, .. }");
    assert!(sender.same_channel(&sender.clone()) && !receiver.same_channel(&bounded(1).1));
}
