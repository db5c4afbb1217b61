//! The rejected design with a lock: a `parking_lot::Mutex<VecDeque<Waker>>`, and a slot in front of
//! it for the case of a single waiter.
//!
//! One word says where the truth is:
//!
//! | `word` | means | who changes it |
//! |---|---|---|
//! | `COUNT`, n | nobody waits; so many permits | whoever takes or gives one |
//! | `SINGLE`, ticket | that one waits, alone; its waker is in the slot | whoever claims the slot |
//! | `BUSY` | somebody has the slot, for a few instructions | that one |
//! | `MANY` | the queue has all who wait | whoever has locked the queue |
//!
//! A waiter knows itself by a ticket. It waits as long as its ticket is in the slot or the queue;
//! whoever takes the ticket out has given it a permit.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use crossbeam_utils::Backoff;
use parking_lot::{Mutex, MutexGuard};

use super::TaskSemaphore;

/// A semaphore with a lock and a single-waiter fast path.
pub struct Hybrid {
    /// A [`Word`].
    word: AtomicUsize,
    /// Belongs to whoever has made the word `BUSY`, or has locked the queue and seen `MANY`.
    slot: UnsafeCell<Slot>,
    /// Who waits, oldest first, so in order of their tickets.
    queue: Mutex<VecDeque<(Ticket, Waker)>>,
}

// SAFETY: the word says who has the slot, and what is in it is `Send`.
unsafe impl Sync for Hybrid {}

type Ticket = usize;

#[derive(Default)]
struct Slot {
    /// Of the single waiter.
    waker: Option<Waker>,
    next_ticket: Ticket,
}

/// One reading of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Count(usize),
    Single(Ticket),
    Busy,
    Many,
}

const TAG_BITS: u32 = 2;

impl Word {
    fn of(bits: usize) -> Word {
        match bits & ((1 << TAG_BITS) - 1) {
            0 => Word::Count(bits >> TAG_BITS),
            1 => Word::Single(bits >> TAG_BITS),
            2 => Word::Busy,
            _ => Word::Many,
        }
    }

    fn bits(self) -> usize {
        match self {
            Word::Count(count) => count << TAG_BITS,
            Word::Single(ticket) => ticket << TAG_BITS | 1,
            Word::Busy => 2,
            Word::Many => 3,
        }
    }
}

/// The right to the slot, by `BUSY`. Ends with a word that says what is there now.
#[must_use = "the slot is busy until `finish`"]
struct Busy<'a>(&'a Hybrid);

impl Busy<'_> {
    fn slot(&mut self) -> &mut Slot {
        // SAFETY: `BUSY` was set by whoever made this, and nobody else enters until `finish`.
        unsafe { &mut *self.0.slot.get() }
    }

    fn finish(self, word: Word) {
        // ORDERING: Release, pairs with the Acquire of every load: passes on the slot, and what a
        // releaser did.
        self.0.word.store(word.bits(), Ordering::Release);
    }
}

type Queue<'a> = MutexGuard<'a, VecDeque<(Ticket, Waker)>>;

impl Hybrid {
    fn load(&self) -> Word {
        // ORDERING: Acquire, pairs with the Release of whoever stored: receives the slot, and what
        // a releaser did.
        Word::of(self.word.load(Ordering::Acquire))
    }

    fn replace(&self, old: Word, new: Word) -> bool {
        // ORDERING: AcqRel; as `load`, and passes on what a releaser did.
        let replaced =
            self.word.compare_exchange(old.bits(), new.bits(), Ordering::AcqRel, Ordering::Relaxed);
        replaced.is_ok()
    }

    /// Takes the slot, if the word is still `old`.
    fn claim(&self, old: Word) -> Option<Busy<'_>> {
        self.replace(old, Word::Busy).then_some(Busy(self))
    }

    /// Locks the queue, if it still has all who wait.
    fn lock(&self) -> Option<Queue<'_>> {
        let queue = self.queue.lock();
        (self.load() == Word::Many).then_some(queue)
    }

    /// Has `f` look again while somebody else has the slot, or something has changed meanwhile.
    fn until_settled<R>(&self, mut f: impl FnMut(Word) -> Option<R>) -> R {
        let backoff = Backoff::new();
        loop {
            match self.load() {
                // PROGRESS: whoever has the slot leaves it after a few instructions.
                Word::Busy => backoff.snooze(),
                word => {
                    if let Some(result) = f(word) {
                        return result;
                    }
                }
            }
        }
    }

    fn try_take(&self) -> bool {
        self.until_settled(|word| match word {
            Word::Count(count @ 1..) => self.replace(word, Word::Count(count - 1)).then_some(true),
            _ => Some(false),
        })
    }

    /// Gets in line, unless there is a permit.
    fn enter(&self, waker: &Waker) -> Option<Ticket> {
        // It is code of others: not while the slot is busy.
        let mut waker = Some(waker.clone());
        self.until_settled(|word| match word {
            Word::Count(count @ 1..) => self.replace(word, Word::Count(count - 1)).then_some(None),
            Word::Count(_) => self.claim(word).map(|mut busy| {
                let ticket = busy.slot().next_ticket();
                busy.slot().waker = waker.take();
                busy.finish(Word::Single(ticket));
                Some(ticket)
            }),
            Word::Single(first) => self.claim(word).map(|mut busy| {
                let ticket = busy.slot().next_ticket();
                let firsts = busy.slot().waker.take();
                let mut queue = self.queue.lock();
                queue.extend(firsts.map(|waker| (first, waker)));
                queue.extend(waker.take().map(|waker| (ticket, waker)));
                busy.finish(Word::Many);
                Some(ticket)
            }),
            Word::Many => self.lock().map(|mut queue| {
                // SAFETY: the queue is locked and has all who wait, so the slot is this caller's.
                let ticket = unsafe { &mut *self.slot.get() }.next_ticket();
                queue.extend(waker.take().map(|waker| (ticket, waker)));
                Some(ticket)
            }),
            Word::Busy => unreachable!("`until_settled` waits for that"),
        })
    }

    /// Tells whether the ticket has been given its permit; if not, wakes `waker` when it is.
    fn look(&self, ticket: Ticket, waker: &Waker) -> bool {
        let mut new = Some(waker.clone());
        let mut replace = |known: &mut Waker| {
            if !known.will_wake(waker) {
                new = new.take().map(|new| std::mem::replace(known, new));
            }
        };
        self.until_settled(|word| match word {
            Word::Single(waiting) if waiting == ticket => self.claim(word).map(|mut busy| {
                busy.slot().waker.as_mut().into_iter().for_each(&mut replace);
                busy.finish(word);
                false
            }),
            Word::Many => self.lock().map(|mut queue| {
                let place = place(&queue, ticket);
                place.into_iter().for_each(|place| replace(&mut queue[place].1));
                place.is_none()
            }),
            _ => Some(true),
        })
    }

    /// Takes a ticket out of the line. Returns false if it has been given a permit.
    fn leave(&self, ticket: Ticket) -> bool {
        let removed = self.until_settled(|word| match word {
            Word::Single(waiting) if waiting == ticket => self.claim(word).map(|mut busy| {
                let waker = busy.slot().waker.take();
                busy.finish(Word::Count(0));
                waker
            }),
            Word::Many => self.lock().map(|mut queue| {
                let place = place(&queue, ticket)?;
                let entry = queue.remove(place);
                self.settle(&queue);
                entry.map(|(_, waker)| waker)
            }),
            _ => Some(None),
        });
        removed.is_some()
    }

    fn release(&self) {
        let waker = self.until_settled(|word| match word {
            Word::Count(count) => self.replace(word, Word::Count(count + 1)).then_some(None),
            Word::Single(_) => self.claim(word).map(|mut busy| {
                let waker = busy.slot().waker.take();
                busy.finish(Word::Count(0));
                waker
            }),
            Word::Many => self.lock().map(|mut queue| {
                let entry = queue.pop_front();
                self.settle(&queue);
                entry.map(|(_, waker)| waker)
            }),
            Word::Busy => unreachable!("`until_settled` waits for that"),
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The caller has taken somebody out of the locked queue: the last one ends it.
    fn settle(&self, queue: &Queue<'_>) {
        if queue.is_empty() {
            // ORDERING: Release, as `Busy::finish`.
            self.word.store(Word::Count(0).bits(), Ordering::Release);
        }
    }
}

impl Slot {
    fn next_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }
}

fn place(queue: &Queue<'_>, ticket: Ticket) -> Option<usize> {
    queue.binary_search_by_key(&ticket, |(waiting, _)| *waiting).ok()
}

impl TaskSemaphore for Hybrid {
    const NAME: &'static str = "hybrid";

    type Permit<'a> = Permit<'a>;

    type Acquired<'a> = Permit<'a>;

    fn with_permits(permits: usize) -> Self {
        Hybrid {
            word: AtomicUsize::new(Word::Count(permits).bits()),
            slot: UnsafeCell::default(),
            queue: Mutex::default(),
        }
    }

    fn acquire(&self) -> impl Future<Output = Permit<'_>> + Send {
        Acquire { semaphore: self, ticket: None }
    }

    fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_take().then(|| Permit(self))
    }
}

impl fmt::Debug for Hybrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hybrid").finish_non_exhaustive()
    }
}

/// A permit of a [`Hybrid`].
#[derive(Debug)]
pub struct Permit<'a>(&'a Hybrid);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Acquire<'a> {
    semaphore: &'a Hybrid,
    /// While it waits.
    ticket: Option<Ticket>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit<'a>> {
        let semaphore = self.semaphore;
        match self.ticket {
            Some(ticket) if !semaphore.look(ticket, context.waker()) => return Poll::Pending,
            Some(_) => self.ticket = None,
            None if semaphore.try_take() => (),
            None => {
                self.ticket = semaphore.enter(context.waker());
                if self.ticket.is_some() {
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Permit(semaphore))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket
            && !self.semaphore.leave(ticket)
        {
            self.semaphore.release();
        }
    }
}
