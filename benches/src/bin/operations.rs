//! `operations NAME COUNT`: does one operation `COUNT` times on one worker, for whoever counts
//! instructions from outside, and prints the allocations that it took.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::future::{poll_fn, ready};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};

use rustfiber::sync::{AutoResetEvent, channel};
use rustfiber::{Counter, Event, Runtime, join, scope, spawn, spawn_future, yield_now};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Jobs that a scope holds at once, so that queues and pools stay as they are.
const BATCH: usize = 100;

/// An operation's name, and what does it so many times.
type Operation = (&'static str, fn(usize));

const OPERATIONS: &[Operation] = &[
    ("join", |count| {
        let mut sum = 0;
        for number in 0..count {
            let (a, b) = join(|| black_box(number), || black_box(1));
            sum += a + b;
        }
        assert_eq!(sum, count * (count - 1) / 2 + count);
    }),
    ("scope-spawn", |count| {
        let sum = AtomicU64::new(0);
        for _ in 0..count / BATCH {
            scope(|s| {
                for _ in 0..BATCH {
                    s.spawn(|| _ = sum.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        assert_eq!(sum.into_inner(), count as u64);
    }),
    ("spawn-join", |count| {
        let sum: usize = (0..count).map(|_| spawn(|| 1).join().expect("no panic")).sum();
        assert_eq!(sum, count);
    }),
    ("event", |count| {
        let (ping, pong) = (Event::new(), Event::new());
        join(
            || {
                (0..count / 2).for_each(|_| {
                    ping.set();
                    pong.wait()
                })
            },
            || {
                (0..count / 2).for_each(|_| {
                    ping.wait();
                    pong.set()
                })
            },
        );
    }),
    ("sync-event", |count| {
        let (ping, pong) = (AutoResetEvent::new(false), AutoResetEvent::new(false));
        join(
            || {
                (0..count / 2).for_each(|_| {
                    ping.set();
                    pong.wait()
                })
            },
            || {
                (0..count / 2).for_each(|_| {
                    ping.wait();
                    pong.set()
                })
            },
        );
    }),
    // A value sent to a fiber that waits for it: a suspension, a wake and a resumption.
    ("channel", |count| {
        // With the memory of a value, which is not the operation's, as the channel itself is not.
        let warm = || {
            let (sender, receiver) = channel::unbounded();
            sender.send(0).expect("it is received");
            assert_eq!(receiver.recv(), Ok(0));
            ALLOCATIONS.fetch_sub(2, Ordering::Relaxed);
            (sender, receiver)
        };
        let ((ping, pinged), (pong, ponged)) = (warm(), warm());
        join(
            move || {
                for number in 0..count / 2 {
                    ping.send(number).expect("it is received");
                    assert_eq!(ponged.recv(), Ok(number));
                }
            },
            move || {
                pinged.iter().for_each(|number| pong.send(number).expect("it is received"));
            },
        );
    }),
    ("future-join", |count| {
        let sum: usize = (0..count).map(|_| spawn_future(ready(1)).join().expect("no panic")).sum();
        assert_eq!(sum, count);
    }),
    // Two futures that wake each other: a wake, and the poll that follows.
    ("future-wake", |count| {
        let wakers = Arc::new([OnceLock::<Waker>::new(), OnceLock::new()]);
        // Not the operation's.
        ALLOCATIONS.fetch_sub(1, Ordering::Relaxed);
        let [one, other] = [0, 1].map(|index| {
            let (wakers, mut polls) = (Arc::clone(&wakers), 0);
            spawn_future(poll_fn(move |context| {
                if wakers[index].get().is_none() {
                    wakers[index].set(context.waker().clone()).expect("this alone sets it");
                    return Poll::Pending;
                }
                polls += 1;
                wakers[1 - index].get().expect("both have been polled").wake_by_ref();
                if polls < count / 2 { Poll::Pending } else { Poll::Ready(polls) }
            }))
        });
        while wakers.iter().any(|waker| waker.get().is_none()) {
            yield_now();
        }
        wakers[0].get().expect("it has been polled").wake_by_ref();
        drop(wakers);
        let polls = [one, other].map(|handle| handle.join().expect("no panic"));
        assert_eq!(polls.iter().sum::<usize>(), count);
    }),
    ("yield", |count| (0..count).for_each(|_| yield_now())),
    // One suspension, one wake and one resumption.
    ("wait-wake", |count| {
        let turns: Vec<[Counter; 2]> =
            (0..count / 2).map(|_| [Counter::new(1), Counter::new(1)]).collect();
        // What made the counters is not the operation's.
        ALLOCATIONS.fetch_sub(1, Ordering::Relaxed);
        join(
            || {
                for [ping, pong] in &turns {
                    ping.done();
                    pong.wait();
                }
            },
            || {
                for [ping, pong] in &turns {
                    ping.wait();
                    pong.done();
                }
            },
        );
    }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(count)) = (words.next(), words.next()) else {
        OPERATIONS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let count: usize = count.parse()?;
    let operation = OPERATIONS.iter().find(|(known, _)| *known == name);
    let (_, operation) = operation.ok_or_else(|| format!("there is no operation {name}"))?;
    let runtime = Runtime::builder().workers(1).build()?;
    let allocations = runtime.run(|| {
        operation(BATCH * 2); // warm
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        operation(count);
        ALLOCATIONS.load(Ordering::Relaxed) - before
    });
    println!("{allocations}");
    Ok(())
}
