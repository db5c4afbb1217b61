//! Channels are queues; a cell is made once.

use std::collections::VecDeque;
use std::sync::Arc;

use fiber_sync::{OnceCell, TimeoutError, TryError, TrySendError, channel, oneshot};
use shuttle::rand::{Rng, thread_rng};

use crate::check;
use crate::history::{History, Model};
use crate::kinds::{self, Kind, at_once, block_on, poll_once};

/// A queue with room for so many values.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Queue {
    values: VecDeque<usize>,
    capacity: usize,
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    /// There was no room, or the sender gave up.
    No,
    Closed,
}

#[derive(Debug)]
enum Operation {
    Send(usize, Sent),
    /// An error is that nothing was there, or that the receiver gave up.
    Receive(Result<usize, Nothing>),
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nothing {
    Yet,
    Ever,
}

impl Model for Queue {
    type Operation = Operation;

    fn begin(&mut self, _: usize, _: &Operation) {}

    fn end(&mut self, _: usize, operation: &Operation, is_alone: bool) -> bool {
        match *operation {
            Operation::Send(value, Sent::Yes) => {
                self.values.push_back(value);
                !self.is_closed && self.values.len() <= self.capacity
            }
            Operation::Send(_, Sent::No) => !is_alone || self.values.len() == self.capacity,
            Operation::Send(_, Sent::Closed) => self.is_closed,
            Operation::Receive(Ok(value)) => self.values.pop_front() == Some(value),
            Operation::Receive(Err(Nothing::Yet)) => !is_alone || self.values.is_empty(),
            Operation::Receive(Err(Nothing::Ever)) => self.is_closed && self.values.is_empty(),
            Operation::Close => {
                self.is_closed = true;
                true
            }
        }
    }
}

fn send(sender: &channel::Sender<usize>, kind: Kind, value: usize) -> (Operation, ()) {
    let sent = match (thread_rng().gen_range(0..4), kind) {
        (0, _) => match sender.try_send(value) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(_)) => Sent::No,
            Err(TrySendError::Closed(_)) => Sent::Closed,
        },
        (1, Kind::Task) => match poll_once(sender.send_async(value)) {
            Some(Ok(())) => Sent::Yes,
            Some(Err(_)) => Sent::Closed,
            None => Sent::No,
        },
        (1, _) => match sender.send_deadline(value, at_once()) {
            Ok(()) => Sent::Yes,
            Err(fiber_sync::SendTimeoutError::TimedOut(_)) => Sent::No,
            Err(fiber_sync::SendTimeoutError::Closed(_)) => Sent::Closed,
        },
        (_, Kind::Task) => block_on(sender.send_async(value)).map_or(Sent::Closed, |()| Sent::Yes),
        _ => sender.send(value).map_or(Sent::Closed, |()| Sent::Yes),
    };
    (Operation::Send(value, sent), ())
}

fn receive(receiver: &channel::Receiver<usize>, kind: Kind) -> (Operation, ()) {
    let received = match (thread_rng().gen_range(0..4), kind) {
        (0, _) => receiver.try_recv().map_err(|error| match error {
            TryError::WouldBlock => Nothing::Yet,
            TryError::Closed => Nothing::Ever,
        }),
        (1, Kind::Task) => match poll_once(receiver.recv_async()) {
            Some(received) => received.map_err(|_| Nothing::Ever),
            None => Err(Nothing::Yet),
        },
        (1, _) => receiver.recv_deadline(at_once()).map_err(|error| match error {
            TimeoutError::TimedOut => Nothing::Yet,
            TimeoutError::Closed => Nothing::Ever,
        }),
        (_, Kind::Task) => block_on(receiver.recv_async()).map_err(|_| Nothing::Ever),
        _ => receiver.recv().map_err(|_| Nothing::Ever),
    };
    (Operation::Receive(received), ())
}

/// Two send, two receive, and one closes.
fn a_channel_is_a_queue(capacity: Option<usize>) {
    check(4_000, move || {
        let (sender, receiver) = match capacity {
            Some(capacity) => channel::bounded(capacity),
            None => channel::unbounded(),
        };
        let history = Arc::new(History::new());
        let recorded = Arc::clone(&history);
        kinds::run(5, move |index, kind| {
            if index == 4 {
                return recorded.record(|| (Operation::Close, sender.close()));
            }
            for round in 0..2 {
                match index {
                    0 | 3 => recorded.record(|| send(&sender, kind, 10 * index + round)),
                    _ => recorded.record(|| receive(&receiver, kind)),
                }
                assert!(capacity.is_none_or(|capacity| receiver.len() <= capacity));
            }
        });
        let capacity = capacity.unwrap_or(usize::MAX);
        let empty = Queue { values: VecDeque::new(), capacity, is_closed: false };
        Arc::into_inner(history).unwrap().must_be_explained_by(empty);
    });
}

#[test]
fn a_channel_for_one_value_is_a_queue() {
    a_channel_is_a_queue(Some(1));
}

#[test]
fn an_unbounded_channel_is_a_queue() {
    a_channel_is_a_queue(None);
}

/// The receiver gives up once, or not at all; the sender sends or goes.
#[test]
fn a_oneshot_delivers_or_closes() {
    check(2_000, || {
        let (sender, receiver) = oneshot::channel();
        let sides =
            Arc::new((std::sync::Mutex::new(Some(sender)), std::sync::Mutex::new(Some(receiver))));
        kinds::run(3, move |index, kind| match index {
            0 => {
                let sender = sides.0.lock().unwrap().take().unwrap();
                if thread_rng().gen_bool(0.7) {
                    sender.send(7).unwrap();
                }
            }
            2 => (),
            _ => {
                let mut receiver = sides.1.lock().unwrap().take().unwrap();
                if receiver.recv_deadline(at_once()) == Err(TimeoutError::TimedOut) {
                    let received = match kind {
                        Kind::Task => block_on(receiver.recv_async()),
                        _ => receiver.recv(),
                    };
                    assert!(received.is_err() || received == Ok(7));
                }
                assert!(receiver.try_recv() == Err(TryError::Closed));
            }
        });
    });
}

/// Makers fail, are dropped, or succeed; the value is made once, and all get it, also who waits for
/// others to make it.
#[test]
fn a_cell_is_made_once() {
    check(4_000, || {
        let cell = Arc::new(OnceCell::new());
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        kinds::run(5, move |index, kind| {
            use std::sync::atomic::Ordering::Relaxed;
            if index == 4 {
                assert!(cell.wait_deadline(at_once()).is_none_or(|value| *value == 0));
                return assert_eq!(cell.wait(), &0);
            }
            let make = || {
                shuttle::thread::yield_now();
                (thread_rng().gen_bool(0.5) || index == 3)
                    .then(|| made.fetch_add(1, Relaxed))
                    .ok_or(())
            };
            let value = match kind {
                Kind::Task => block_on(async {
                    poll_once(cell.get_or_try_init_async(std::future::pending::<Result<_, ()>>));
                    cell.get_or_try_init_async(|| async { make() }).await
                }),
                _ => cell.get_or_try_init(make),
            };
            assert!(matches!(value, Ok(0) | Err(())), "{value:?}");
            if index == 3 {
                assert_eq!(made.load(Relaxed), 1);
                assert_eq!(cell.get(), Some(&0));
            }
        });
    });
}
