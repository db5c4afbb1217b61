//! Fibers, threads, tokio's tasks and smol's tasks in one line, for `STRESS_SECONDS`, in ways and
//! with cancellations that are drawn from `STRESS_SEED`.
//!
//! Not under ThreadSanitizer: it does not know fences, on which the executors' queues rely.
//! `fiber-sync`'s own stress test is run there.
#![cfg(not(rustfiber_tsan))]

mod support;

use std::env;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustfiber::sync::{Mutex, Policy, Semaphore, channel};
use rustfiber::yield_now;
use test_support::seed;

use support::{must_end, runtime_with};

/// So many of each kind at once.
const OF_EACH_KIND: usize = 3;
const KINDS: usize = 4;
const ALL: usize = KINDS * OF_EACH_KIND;

/// The whole time is for the optimised tests, of which there are fewer.
const SECONDS: u64 = if cfg!(debug_assertions) { 2 } else { 10 };

/// One round is no longer, so that a hang shows in any of them.
const ROUND: Duration = Duration::from_secs(10);

/// Runs rounds that end at the time that they are told.
fn in_rounds(round: impl Fn(Instant)) {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let end = Instant::now() + Duration::from_secs(number("STRESS_SECONDS").unwrap_or(SECONDS));
    while Instant::now() < end {
        round(end.min(Instant::now() + ROUND));
    }
}

/// What waits: it knows its number and its dice, and when to stop.
struct Participant {
    index: usize,
    random: Rng,
    end: Instant,
    /// One is to be had, however late the participant begins: who starves hangs.
    has_had_a_turn: bool,
}

impl Participant {
    fn goes_on(&self) -> bool {
        !self.has_had_a_turn || Instant::now() < self.end
    }

    fn moment(&mut self) -> Duration {
        Duration::from_micros(self.random.u64(..60))
    }
}

/// Runs `block` as fibers and as threads, and `task` as tasks of both executors, all at once.
fn on_all_kinds<F: Future<Output = ()> + Send + 'static>(
    end: Instant,
    block: impl Fn(Participant) + Send + Sync + Clone + 'static,
    task: impl Fn(Participant) -> F + Send + Sync + 'static,
) {
    must_end(move || {
        let seed = seed();
        let participant = move |index| {
            let random = Rng::with_seed(seed + index as u64);
            Participant { index, random, end, has_had_a_turn: false }
        };
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let smol = smol::Executor::new();
        let runtime = runtime_with(2);
        thread::scope(|s| {
            let mut handles = Vec::new();
            for index in (0..ALL).step_by(KINDS) {
                s.spawn({
                    let block = block.clone();
                    move || block(participant(index))
                });
                let block = block.clone();
                handles.push((
                    runtime.spawn(move || block(participant(index + 1))),
                    tokio.spawn(task(participant(index + 2))),
                    smol.spawn(task(participant(index + 3))),
                ));
            }
            smol::block_on(smol.run(async {
                for (fiber, tokio_task, smol_task) in handles {
                    smol_task.await;
                    tokio_task.await.unwrap();
                    fiber.await.unwrap();
                }
            }));
        });
    });
}

/// Polls a future once. Returns whether it has to wait, which it begins then.
async fn begins_to_wait<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    let mut future = future;
    std::future::poll_fn(|context: &mut Context<'_>| Poll::Ready(future.as_mut().poll(context)))
        .await
}

fn counters() -> Arc<[AtomicUsize; ALL]> {
    Arc::new([const { AtomicUsize::new(0) }; ALL])
}

#[test]
fn a_semaphore_is_shared_by_all_kinds() {
    in_rounds(|end| semaphore_round(Semaphore::new(PERMITS), 2, end));
}

/// Whoever goes first; but at the end of a round nobody waits for what is there.
#[test]
fn an_unfair_semaphore_is_shared_by_all_kinds() {
    in_rounds(|end| {
        let half = Instant::now() + (end - Instant::now()) / 2;
        semaphore_round(Semaphore::unfair(PERMITS), 1, half);
        semaphore_round(Semaphore::unfair(PERMITS), 2, end);
    });
}

const PERMITS: usize = 3;

/// Each participant takes up to `largest` of the permits.
fn semaphore_round<P: Policy + 'static>(semaphore: Semaphore<P>, largest: usize, end: Instant) {
    let semaphore = Arc::new(semaphore);
    let (held, turns) = (Arc::new(AtomicUsize::new(0)), counters());
    let hold = {
        let (held, turns) = (Arc::clone(&held), Arc::clone(&turns));
        move |participant: &mut Participant, count| {
            participant.has_had_a_turn = true;
            let now = held.fetch_add(count, SeqCst) + count;
            assert!(now <= PERMITS, "{now} permits are held");
            turns[participant.index].fetch_add(1, SeqCst);
            held.fetch_sub(count, SeqCst);
        }
    };
    let (shared, hold_blocking) = (Arc::clone(&semaphore), hold.clone());
    let block = move |mut participant: Participant| {
        while participant.goes_on() {
            let count = participant.random.usize(1..=largest);
            let permits = match participant.random.u8(..4) {
                0 => shared.try_acquire_many(count).ok(),
                1 => shared.acquire_many_timeout(count, participant.moment()).ok(),
                _ => Some(shared.acquire_many(count).unwrap()),
            };
            if permits.is_some() {
                hold_blocking(&mut participant, count);
            }
            if participant.random.bool() {
                yield_now(); // with the permits
            }
        }
    };
    let shared = Arc::clone(&semaphore);
    let task = move |mut participant: Participant| {
        let (semaphore, hold) = (Arc::clone(&shared), hold.clone());
        async move {
            while participant.goes_on() {
                let count = participant.random.usize(1..=largest);
                let mut acquire = pin!(semaphore.acquire_many_async(count));
                let permits = match begins_to_wait(acquire.as_mut()).await {
                    Poll::Ready(permits) => permits.unwrap(),
                    // Dropped in line, or with what it was granted.
                    Poll::Pending if participant.random.u8(..4) == 0 => continue,
                    Poll::Pending => acquire.await.unwrap(),
                };
                hold(&mut participant, count);
                smol::future::yield_now().await;
                drop(permits);
            }
        }
    };
    on_all_kinds(end, block, task);
    assert_eq!(semaphore.available_permits(), PERMITS);
    println!("turns: {turns:?}");
}

/// Who has begun to wait is overtaken by nobody: of each other participant it sees one turn.
#[test]
fn a_mutex_is_handed_to_all_kinds_in_order() {
    in_rounds(mutex_round);
}

fn mutex_round(end: Instant) {
    let (mutex, turns) = (Arc::new(Mutex::new(0)), counters());
    let grants = Arc::new(AtomicUsize::new(0));
    let hold = {
        let (turns, grants) = (Arc::clone(&turns), Arc::clone(&grants));
        move |participant: &mut Participant, value: &mut usize| {
            participant.has_had_a_turn = true;
            let before = *value;
            grants.fetch_add(1, SeqCst);
            turns[participant.index].fetch_add(1, SeqCst);
            *value = before + 1;
        }
    };
    let (shared, hold_blocking) = (Arc::clone(&mutex), hold.clone());
    let block = move |mut participant: Participant| {
        while participant.goes_on() {
            let guard = match participant.random.u8(..4) {
                0 => shared.try_lock(),
                1 => shared.lock_timeout(participant.moment()),
                _ => Some(shared.lock()),
            };
            if let Some(mut guard) = guard {
                hold_blocking(&mut participant, &mut guard);
                yield_now();
            }
        }
    };
    let shared = Arc::clone(&mutex);
    let longest_line = Arc::new(AtomicUsize::new(0));
    let longest = Arc::clone(&longest_line);
    let task = move |mut participant: Participant| {
        let (mutex, hold, grants) = (Arc::clone(&shared), hold.clone(), Arc::clone(&grants));
        let longest = Arc::clone(&longest);
        async move {
            while participant.goes_on() {
                let mut lock = pin!(mutex.lock_async());
                let mut guard = match begins_to_wait(lock.as_mut()).await {
                    Poll::Ready(guard) => guard,
                    Poll::Pending if participant.random.u8(..4) == 0 => continue,
                    Poll::Pending => {
                        let before = grants.load(SeqCst);
                        let guard = lock.await;
                        let passed = grants.load(SeqCst) - before;
                        assert!(passed < ALL, "{passed} turns of {} others", ALL - 1);
                        longest.fetch_max(passed, SeqCst);
                        guard
                    }
                };
                hold(&mut participant, &mut guard);
                smol::future::yield_now().await;
            }
        }
    };
    on_all_kinds(end, block, task);
    println!("turns: {turns:?}, the longest line: {longest_line:?}");
    let counted: usize = turns.iter().map(|turns| turns.load(SeqCst)).sum();
    assert_eq!(*mutex.try_lock().expect("nobody holds it"), counted);
}

/// Every other participant of a kind sends, the others receive.
#[test]
fn a_channel_connects_all_kinds() {
    in_rounds(channel_round);
}

fn channel_round(end: Instant) {
    let (sender, receiver) = channel::bounded::<(usize, usize)>(2);
    let (sent, received) = (counters(), counters());
    let values = Arc::new(StdMutex::new((Some(sender), receiver.clone())));
    let senders_left = Arc::new(AtomicUsize::new(ALL));
    let seen = {
        let received = Arc::clone(&received);
        move |last: &mut [Option<usize>; ALL], (from, number): (usize, usize)| {
            assert!(last[from] < Some(number), "values of one sender come in order");
            last[from] = Some(number);
            received[from].fetch_add(1, SeqCst);
        }
    };
    let sends = |index: usize| (index / KINDS).is_multiple_of(2);
    // The last that ends as a sender closes the channel: it owns the last one.
    let take_part = {
        let (values, senders_left) = (Arc::clone(&values), Arc::clone(&senders_left));
        move || {
            let mut values = values.lock().unwrap();
            let sender = values.0.clone();
            if senders_left.fetch_sub(1, SeqCst) == 1 {
                values.0 = None;
            }
            (sender.expect("it is there until all have one"), values.1.clone())
        }
    };
    let (begin, count, see) = (take_part.clone(), Arc::clone(&sent), seen.clone());
    let block = move |mut participant: Participant| {
        let (sender, receiver) = begin();
        if sends(participant.index) {
            let mut number = 0;
            while participant.goes_on() {
                let value = (participant.index, number);
                let is_sent = match participant.random.u8(..4) {
                    0 => sender.try_send(value).is_ok(),
                    1 => sender.send_timeout(value, participant.moment()).is_ok(),
                    _ => sender.send(value).is_ok(),
                };
                participant.has_had_a_turn |= is_sent;
                count[participant.index].fetch_add(usize::from(is_sent), SeqCst);
                number += 1;
            }
            return;
        }
        drop(sender);
        let mut last = [None; ALL];
        loop {
            if participant.random.bool() {
                match receiver.recv_timeout(participant.moment()) {
                    Ok(value) => see(&mut last, value),
                    Err(_) => yield_now(),
                }
            } else {
                match receiver.recv() {
                    Ok(value) => see(&mut last, value),
                    Err(_) => return,
                }
            }
        }
    };
    let (begin, count, see) = (take_part, Arc::clone(&sent), seen);
    let task = move |mut participant: Participant| {
        let (begin, count, see) = (begin.clone(), Arc::clone(&count), see.clone());
        async move {
            let (sender, receiver) = begin();
            if sends(participant.index) {
                let mut number = 0;
                while participant.goes_on() {
                    let mut send = pin!(sender.send_async((participant.index, number)));
                    number += 1;
                    match begins_to_wait(send.as_mut()).await {
                        Poll::Ready(result) => result.unwrap(),
                        Poll::Pending if participant.random.u8(..4) == 0 => continue,
                        Poll::Pending => send.await.unwrap(),
                    }
                    participant.has_had_a_turn = true;
                    count[participant.index].fetch_add(1, SeqCst);
                }
                return;
            }
            drop(sender);
            let mut last = [None; ALL];
            loop {
                let mut receive = pin!(receiver.recv_async());
                let value = match begins_to_wait(receive.as_mut()).await {
                    Poll::Ready(value) => value,
                    Poll::Pending if participant.random.u8(..4) == 0 => {
                        smol::future::yield_now().await;
                        continue;
                    }
                    Poll::Pending => receive.await,
                };
                match value {
                    Ok(value) => see(&mut last, value),
                    Err(_) => return,
                }
            }
        }
    };
    on_all_kinds(end, block, task);
    for (index, (sent, received)) in sent.iter().zip(&*received).enumerate() {
        assert_eq!(sent.load(SeqCst), received.load(SeqCst), "of participant {index}");
    }
    assert!(receiver.is_empty() && receiver.is_closed());
}

/// A thousand tasks of tokio's, and as many fibers, pass one permit around.
#[test]
fn a_thousand_tasks_share_one_permit() {
    const TASKS: usize = 1_000;
    const TURNS: usize = if cfg!(debug_assertions) { 2 } else { 20 };
    must_end(|| {
        let (semaphore, turns) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicUsize::new(0)));
        let is_held = Arc::new(AtomicBool::new(false));
        let hold = {
            let turns = Arc::clone(&turns);
            move || {
                assert!(!is_held.swap(true, SeqCst), "two hold one permit");
                turns.fetch_add(1, SeqCst);
                is_held.store(false, SeqCst);
            }
        };
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let runtime = runtime_with(2);
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (semaphore, hold) = (Arc::clone(&semaphore), hold.clone());
                tokio.spawn(async move {
                    for _ in 0..TURNS {
                        let permit = semaphore.acquire_async().await.unwrap();
                        hold();
                        smol::future::yield_now().await;
                        drop(permit);
                    }
                })
            })
            .collect();
        let fibers: Vec<_> = (0..TASKS)
            .map(|_| {
                let (semaphore, hold) = (Arc::clone(&semaphore), hold.clone());
                runtime.spawn(move || {
                    for _ in 0..TURNS {
                        let permit = semaphore.acquire().unwrap();
                        hold();
                        yield_now();
                        drop(permit);
                    }
                })
            })
            .collect();
        fibers.into_iter().for_each(|fiber| fiber.join().unwrap());
        tasks.into_iter().for_each(|task| tokio.block_on(task).unwrap());
        assert_eq!(turns.load(SeqCst), 2 * TASKS * TURNS);
        assert_eq!(semaphore.available_permits(), 1);
    });
}
