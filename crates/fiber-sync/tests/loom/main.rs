//! Model checks of what the primitives add to the wait queue: their own words, slots and flags.
#![cfg(loom)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use fiber_sync::{
    Barrier, Closed, Condvar, ManualResetEvent, Mutex, OnceCell, RwLock, Semaphore, Unfair,
    WaitGroup, channel, oneshot,
};
use loom::cell::UnsafeCell;
use loom::thread;
use test_support::{block_on, model};

/// A cell that one side writes and the other reads; loom reports a race.
#[derive(Default)]
struct Data(UnsafeCell<usize>);
// SAFETY: loom checks the accesses.
unsafe impl Sync for Data {}
// SAFETY: as above.
unsafe impl Send for Data {}

impl Data {
    fn write(&self, new: usize) {
        self.0.with_mut(|value| {
            // SAFETY: loom reports a race.
            unsafe { *value = new }
        });
    }

    fn read(&self) -> usize {
        self.0.with(|value| {
            // SAFETY: loom reports a race.
            unsafe { *value }
        })
    }
}

/// Runs `f` on another thread, beside `here`, and returns what both return.
fn beside<T: Send + Sync + 'static, R: 'static>(
    shared: &Arc<T>,
    f: impl FnOnce(&T) -> R + Send + 'static,
    here: impl FnOnce(&T),
) -> R {
    let other = Arc::clone(shared);
    let thread = thread::spawn(move || f(&other));
    here(shared);
    thread.join().unwrap()
}

#[test]
fn a_set_event_is_seen_with_what_came_before() {
    for as_task in [false, true] {
        model(4, move || {
            let shared = Arc::new((ManualResetEvent::new(false), Data::default()));
            let set = |(event, data): &(ManualResetEvent, Data)| {
                data.write(1);
                event.set();
            };
            beside(&shared, set, |(event, data)| {
                if as_task {
                    block_on(event.wait_async())
                } else {
                    event.wait()
                }
                assert_eq!(data.read(), 1);
            });
        });
    }
}

#[test]
fn an_event_that_is_reset_at_once_lets_go_who_waited() {
    model(4, || {
        let event = Arc::new(ManualResetEvent::new(false));
        let pulse = |event: &ManualResetEvent| {
            event.set();
            event.reset();
            // For a waiter that comes only now.
            event.set();
        };
        beside(&event, pulse, ManualResetEvent::wait);
    });
}

#[test]
fn the_last_done_lets_go_who_waits_and_is_seen() {
    for at_most in [0, 1] {
        model(3, move || {
            let shared = Arc::new((WaitGroup::new(2), Data::default()));
            let done = |(group, data): &(WaitGroup, Data)| {
                data.write(1);
                group.done();
                group.done();
            };
            beside(&shared, done, |(group, data)| {
                group.wait_at_most(at_most);
                assert_eq!(data.read(), 1);
            });
        });
    }
}

#[test]
fn a_group_that_grows_is_waited_for() {
    model(4, || {
        let group = Arc::new(WaitGroup::new(1));
        let grow = |group: &WaitGroup| {
            group.add(1);
            group.done();
            group.done();
        };
        beside(&group, grow, |group| block_on(group.wait_async()));
        assert_eq!(group.count(), 0);
    });
}

#[test]
fn a_barrier_passes_on_what_both_did() {
    model(4, || {
        let shared = Arc::new((Barrier::new(2), [Data::default(), Data::default()]));
        let arrive = |mine: usize| {
            move |(barrier, data): &(Barrier, [Data; 2])| {
                data[mine].write(1);
                let leads = barrier.wait().is_leader();
                assert_eq!(data[1 - mine].read(), 1);
                leads
            }
        };
        let mut leads = false;
        let other = beside(&shared, arrive(0), |shared| leads = arrive(1)(shared));
        assert!(leads != other);
    });
}

/// Who gives up in the moment of the last arrival has come, or the other goes on waiting: for a
/// third, that comes later.
#[test]
fn a_barrier_counts_who_gave_up_or_not() {
    model(4, || {
        let barrier = Arc::new(Barrier::new(2));
        let thread = beside(&barrier, |barrier| barrier.wait_deadline(Instant::now()), |_| ());
        assert!(thread.is_none(), "nobody else came");
        let mut passed = false;
        let gave_up = beside(
            &barrier,
            |barrier| barrier.wait_deadline(Instant::now()),
            |barrier| passed = barrier.wait_deadline(Instant::now()).is_some(),
        );
        assert_eq!(gave_up.is_some(), passed);
    });
}

#[test]
fn a_value_is_made_once_and_seen_whole() {
    model(3, || {
        let cell = Arc::new(OnceCell::<Data>::new());
        let get = |made: usize| {
            move |cell: &OnceCell<Data>| {
                let make = || {
                    let data = Data::default();
                    data.write(made);
                    data
                };
                cell.get_or_init(make).read()
            }
        };
        let mut value = 0;
        let other = beside(&cell, get(1), |cell| value = get(2)(cell));
        assert!(value == other && value != 0);
    });
}

#[test]
fn who_fails_to_make_a_value_leaves_the_turn() {
    model(4, || {
        let cell = Arc::new(OnceCell::<usize>::new());
        let fail = |cell: &OnceCell<usize>| cell.get_or_try_init(|| Err(())).copied();
        let mut value = None;
        let failed = beside(&cell, fail, |cell| value = Some(*cell.get_or_init(|| 1)));
        assert!(value == Some(1) && matches!(failed, Err(()) | Ok(1)));
    });
}

#[test]
fn who_waits_for_a_value_sees_it_whole() {
    for as_task in [false, true] {
        model(4, move || {
            let cell = Arc::new(OnceCell::<Data>::new());
            let make = |cell: &OnceCell<Data>| {
                assert!(cell.get_or_try_init(|| Err(())).is_err());
                let data = Data::default();
                data.write(1);
                assert!(cell.set(data).is_ok());
            };
            beside(&cell, make, |cell| {
                let data = if as_task { block_on(cell.wait_async()) } else { cell.wait() };
                assert_eq!(data.read(), 1);
            });
        });
    }
}

#[test]
fn a_value_is_received_or_the_channel_closed() {
    for closes_first in [false, true] {
        model(4, move || {
            let (sender, receiver) = channel::bounded::<Box<Data>>(1);
            // Not here: an unpark that comes late would meet the join, which loom mistakes for it.
            let thread = thread::spawn(move || {
                assert_eq!(receiver.recv().is_ok_and(|data| data.read() == 1), !closes_first);
                assert!(receiver.recv().is_err());
            });
            if !closes_first {
                let data = Box::new(Data::default());
                data.write(1);
                sender.send(data).unwrap();
            }
            drop(sender);
            thread.join().unwrap();
        });
    }
}

#[test]
fn room_in_a_channel_is_handed_on() {
    model(3, || {
        let (sender, receiver) = channel::bounded::<usize>(1);
        sender.try_send(0).unwrap();
        let thread = thread::spawn(move || {
            sender.send(1).unwrap();
            block_on(sender.send_async(2)).unwrap();
        });
        for number in 0..3 {
            assert_eq!(receiver.recv(), Ok(number));
        }
        thread.join().unwrap();
    });
}

#[test]
fn what_was_sent_to_nobody_comes_back_or_is_dropped() {
    model(4, || {
        let (sender, receiver) = channel::unbounded::<Arc<()>>();
        let value = Arc::new(());
        let sent = Arc::clone(&value);
        let thread = thread::spawn(move || drop(receiver));
        let result = sender.send(sent);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1 + usize::from(result.is_err()));
    });
}

/// A sender that is refused may have claimed a receiver: whose future is then dropped by the waker
/// of another, which came later, and learns of the close from this sender.
#[test]
fn a_waker_may_drop_the_receiver_that_was_claimed() {
    type Future = Pin<Box<dyn std::future::Future<Output = Result<usize, Closed>> + Send>>;
    #[derive(Default)]
    struct Drops {
        future: std::sync::Mutex<Option<Future>>,
        has_dropped: AtomicBool,
    }
    impl Drops {
        fn is_waiting(&self) -> bool {
            self.future.lock().unwrap().is_some()
        }
    }
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            let future = self.future.lock().unwrap().take();
            drop(future);
            self.has_dropped.store(true, Relaxed);
        }
    }
    model(3, || {
        let (sender, receiver) = channel::unbounded::<usize>();
        let receive = |receiver: channel::Receiver<usize>| -> Future {
            Box::pin(async move { receiver.recv_async().await })
        };
        let (mut first, drops) = (receive(receiver.clone()), Arc::new(Drops::default()));
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        *drops.future.lock().unwrap() = Some(first);
        let other = sender.clone();
        let thread = thread::spawn(move || _ = other.send(1));
        let (mut second, waker) = (receive(receiver), Waker::from(Arc::clone(&drops)));
        let _value = second.as_mut().poll(&mut Context::from_waker(&waker));
        sender.close();
        thread.join().unwrap();
        // A sender suppresses what panics in a waker, as the model does that goes on for ever.
        assert!(drops.is_waiting() || drops.has_dropped.load(Relaxed));
    });
}

#[test]
fn a_oneshot_delivers_or_gives_back() {
    model(4, || {
        let (sender, mut receiver) = oneshot::channel::<Box<Data>>();
        let thread = thread::spawn(move || {
            let data = Box::new(Data::default());
            data.write(1);
            sender.send(data).is_ok()
        });
        receiver.close();
        let received = receiver.recv().is_ok_and(|data| data.read() == 1);
        assert_eq!(thread.join().unwrap(), received);
    });
}

#[test]
fn a_oneshot_wakes_its_receiver_with_the_value() {
    model(4, || {
        let (sender, mut receiver) = oneshot::channel::<Box<Data>>();
        let thread = thread::spawn(move || block_on(receiver.recv_async()).unwrap().read());
        let data = Box::new(Data::default());
        data.write(1);
        sender.send(data).unwrap();
        assert_eq!(thread.join().unwrap(), 1);
    });
}

#[test]
fn a_writer_and_a_reader_meet() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Data::default()));
        let write = |lock: &RwLock<Data>| {
            let guard = lock.write();
            guard.write(1);
            let guard = fiber_sync::RwLockWriteGuard::downgrade(guard);
            guard.read()
        };
        let written = beside(&lock, write, |lock| {
            let first = lock.read();
            assert!(first.read() <= 1);
        });
        assert_eq!((written, lock.read().read()), (1, 1));
    });
}

#[test]
fn a_change_under_the_mutex_is_not_missed() {
    for as_task in [false, true] {
        model(3, move || {
            let shared = Arc::new((Mutex::new(false), Condvar::new(), Data::default()));
            let change = |(mutex, changed, data): &(Mutex<bool>, Condvar, Data)| {
                data.write(1);
                *mutex.lock() = true;
                changed.notify_one();
            };
            beside(&shared, change, |(mutex, changed, data)| {
                let guard = mutex.lock();
                let guard = match as_task {
                    true => block_on(changed.wait_while_async(guard, |is_so| !*is_so)),
                    false => changed.wait_while(guard, |is_so| !*is_so),
                };
                assert!(*guard && data.read() == 1);
            });
        });
    }
}

#[test]
fn unfair_permits_add_up_for_one_who_wants_two() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::unfair(0));
        let release = |semaphore: &Semaphore<_>| {
            semaphore.add_permits(1);
            semaphore.add_permits(1);
        };
        beside(&semaphore, release, |semaphore| {
            semaphore.acquire_many(2).unwrap().forget();
        });
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn an_unfair_permit_is_not_lost() {
    for as_task in [false, true] {
        model(3, move || {
            let shared = Arc::new((Semaphore::unfair(0), Data::default()));
            let release = |(semaphore, data): &(Semaphore<_>, Data)| {
                data.write(1);
                semaphore.add_permits(1);
            };
            beside(&shared, release, |(semaphore, data)| {
                take(semaphore, as_task);
                assert_eq!(data.read(), 1);
            });
            assert_eq!(shared.0.available_permits(), 0);
        });
    }
}

/// Takes a permit for good.
fn take(semaphore: &Semaphore<Unfair>, as_task: bool) {
    let permit = if as_task { block_on(semaphore.acquire_async()) } else { semaphore.acquire() };
    permit.unwrap().forget();
}

#[test]
fn two_unfair_permits_serve_two() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::unfair(0));
        let takers = [(); 2].map(|()| {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || take(&semaphore, false))
        });
        semaphore.add_permits(1);
        semaphore.add_permits(1);
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn who_is_overtaken_is_woken_again() {
    for as_task in [false, true] {
        model(3, move || {
            let shared = Arc::new((Semaphore::unfair(1), Data::default()));
            let overtaking = |(semaphore, data): &(Semaphore<_>, Data)| {
                for _ in 0..2 {
                    if let Ok(_permit) = semaphore.try_acquire() {
                        data.write(1);
                    }
                }
            };
            beside(&shared, overtaking, |(semaphore, data)| {
                take(semaphore, as_task);
                data.write(2);
            });
            assert_eq!(shared.0.available_permits(), 0);
        });
    }
}

#[test]
fn a_wake_of_one_who_wants_two_goes_on_to_one_who_wants_one() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::unfair(0));
        let other = Arc::clone(&semaphore);
        let large = thread::spawn(move || other.acquire_many(2).unwrap().forget());
        beside(
            &semaphore,
            |semaphore| take(semaphore, false),
            |semaphore| {
                semaphore.add_permits(1);
            },
        );
        semaphore.add_permits(2);
        large.join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn a_task_that_gives_up_an_unfair_semaphore_takes_no_wake_along() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::unfair(0));
        let other = Arc::clone(&semaphore);
        let taker = thread::spawn(move || take(&other, false));
        let release = |semaphore: &Semaphore<_>| semaphore.add_permits(1);
        beside(&semaphore, release, |semaphore| {
            let mut wait = Box::pin(semaphore.acquire_async());
            let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            // Gives back what it has got.
            drop((wait, polled));
        });
        taker.join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
    });
}
