//! What every fiber is doing: recorded by its worker, read by whoever asks for a dump. And which
//! futures wait.

use std::fmt;
use std::ops::Range;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use fiber_sync::blocker::Primitive;

use crate::clock::{instant_of, ns_of};
use crate::latch::Wait;

/// A place in the user's source.
pub(crate) type Site = &'static Location<'static>;

/// What all fibers of a runtime were doing when it was asked, and which futures were waiting: see
/// [`Runtime::dump`](crate::Runtime::dump). Printed, it has one line for each fiber, and one for
/// the waiting futures of each place where some were spawned.
///
/// Each was in the state shown at some moment during the call; while the runtime works, these
/// are different moments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// The fibers that have a job, and idle ones, by worker.
    pub fibers: Vec<FiberDump>,
    /// The futures of [`spawn_future`](crate::spawn_future()) that wait for a wake, by where they
    /// were spawned. One that is being polled is the job of a fiber; one that was woken and has not
    /// been polled yet is a job that waits for a worker, and not in the dump.
    pub futures: Vec<FutureDump>,
}

/// A future that waits for a wake.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FutureDump {
    /// Where it was spawned: the call of `spawn_future`.
    pub spawned_at: &'static Location<'static>,
}

/// What one fiber was doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FiberDump {
    /// The index of the fiber's home worker.
    pub worker: usize,
    /// What it was doing.
    pub state: FiberState,
    /// Where its job was submitted: the call of `spawn`, `join` or `run`. None for an idle fiber.
    pub spawned_at: Option<&'static Location<'static>>,
    /// The call in which it waits. None for a fiber that does not wait.
    pub waits_at: Option<&'static Location<'static>>,
    /// When it gives up waiting, or wakes up. None: never.
    pub deadline: Option<Instant>,
    /// If it waits for a [`Mutex`](crate::sync::Mutex) that a fiber of this runtime has locked, by
    /// a blocking form or by trying: that fiber's index in [`Dump::fibers`].
    pub held_by: Option<usize>,
}

impl Dump {
    /// Returns the deadlocks among fibers and mutexes, as indices into [`Dump::fibers`]: each fiber
    /// waits for a mutex that the next one has locked, and the last for one that the first has.
    ///
    /// A guard that was sent to another job counts as the fiber's that locked; that job may still
    /// end what is shown here. Waits of threads and tasks are not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustfiber::Runtime::new()?;
    /// assert!(runtime.dump().deadlocks().is_empty());
    /// # Ok::<(), rustfiber::BuildError>(())
    /// ```
    #[must_use]
    pub fn deadlocks(&self) -> Vec<Vec<usize>> {
        let starts = 0..self.fibers.len();
        // Each cycle once: from its lowest index.
        starts.filter_map(|start| self.cycle_from(start)).collect()
    }

    /// Returns the cycle of which `start` is the lowest index, if there is one.
    fn cycle_from(&self, start: usize) -> Option<Vec<usize>> {
        let mut cycle = vec![start];
        loop {
            let holder = self.fibers[cycle[cycle.len() - 1]].held_by?;
            if holder == start {
                return Some(cycle);
            }
            if holder < start || cycle.contains(&holder) {
                return None;
            }
            cycle.push(holder);
        }
    }
}

/// What a fiber does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FiberState {
    /// It has no job: it looks for one, or is kept for the next one.
    Idle,
    /// It runs its job.
    Running,
    /// It could run, but its worker does something else.
    Ready,
    /// It waits for something.
    Waiting(WaitKind),
}

/// What a fiber waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum WaitKind {
    /// The half of a [`join`](crate::join()) that another worker runs.
    Join,
    /// The jobs of a [`scope`](crate::scope()).
    Scope,
    /// A [`Counter`](crate::Counter) that is not zero.
    Counter,
    /// The job of a [`JoinHandle`](crate::JoinHandle).
    JoinHandle,
    /// A job that it runs on another runtime.
    Run,
    /// The end of another runtime.
    RuntimeEnd,
    /// An [`Event`](crate::Event), an [`AutoResetEvent`](crate::sync::AutoResetEvent) or a
    /// [`ManualResetEvent`](crate::sync::ManualResetEvent) that is not set.
    Event,
    /// A [`Semaphore`](crate::sync::Semaphore) that has too few permits.
    Semaphore,
    /// A [`Mutex`](crate::sync::Mutex) that is locked.
    Mutex,
    /// An [`RwLock`](crate::sync::RwLock) that is locked.
    RwLock,
    /// A [`Condvar`](crate::sync::Condvar).
    Condvar,
    /// The others at a [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// A [`WaitGroup`](crate::sync::WaitGroup).
    WaitGroup,
    /// The value of a [`OnceCell`](crate::sync::OnceCell) or [`Lazy`](crate::sync::Lazy).
    OnceCell,
    /// A [`channel`](crate::sync::channel) that is full or empty.
    Channel,
    /// A [`oneshot`](crate::sync::oneshot) channel.
    Oneshot,
    /// A future, in [`block_on`](crate::block_on).
    Future,
    /// A call of [`blocking`](crate::blocking()).
    Blocking,
    /// A moment, in [`sleep`](crate::sleep) or [`sleep_until`](crate::sleep_until).
    Sleep,
    /// Something else of [`sync`](crate::sync).
    Other,
}

impl WaitKind {
    /// Every kind, in the order of their declaration.
    const ALL: [WaitKind; 20] = [
        WaitKind::Join,
        WaitKind::Scope,
        WaitKind::Counter,
        WaitKind::JoinHandle,
        WaitKind::Run,
        WaitKind::RuntimeEnd,
        WaitKind::Event,
        WaitKind::Semaphore,
        WaitKind::Mutex,
        WaitKind::RwLock,
        WaitKind::Condvar,
        WaitKind::Barrier,
        WaitKind::WaitGroup,
        WaitKind::OnceCell,
        WaitKind::Channel,
        WaitKind::Oneshot,
        WaitKind::Future,
        WaitKind::Blocking,
        WaitKind::Sleep,
        WaitKind::Other,
    ];

    /// Returns the kind of a wait of `fiber-sync`.
    #[inline]
    pub(crate) fn of_sync(what: Primitive) -> WaitKind {
        match what {
            Primitive::AutoResetEvent | Primitive::ManualResetEvent => WaitKind::Event,
            Primitive::Semaphore => WaitKind::Semaphore,
            Primitive::Mutex => WaitKind::Mutex,
            Primitive::RwLock => WaitKind::RwLock,
            Primitive::Condvar => WaitKind::Condvar,
            Primitive::Barrier => WaitKind::Barrier,
            Primitive::WaitGroup => WaitKind::WaitGroup,
            Primitive::OnceCell => WaitKind::OnceCell,
            Primitive::ChannelSender | Primitive::ChannelReceiver => WaitKind::Channel,
            Primitive::OneshotSender | Primitive::OneshotReceiver => WaitKind::Oneshot,
            Primitive::BlockOn => WaitKind::Future,
            Primitive::Sleep => WaitKind::Sleep,
            _ => WaitKind::Other,
        }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fibers.is_empty() {
            f.write_str("no fibers")?;
        }
        for (index, fiber) in self.fibers.iter().enumerate() {
            if index != 0 {
                writeln!(f)?;
            }
            fiber.fmt(f)?;
        }
        for futures in self.futures.chunk_by(|one, other| one.spawned_at == other.spawned_at) {
            match futures {
                [future] => write!(f, "\n{future}")?,
                _ => {
                    let (count, site) = (futures.len(), futures[0].spawned_at);
                    write!(f, "\n{count} futures from {site} wait for a wake")?;
                }
            }
        }
        for cycle in self.deadlocks() {
            write!(f, "\ndeadlock: each waits for a mutex that the next has locked")?;
            for index in cycle {
                write!(f, "\n  {}", self.fibers[index])?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FiberDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}: ", self.worker)?;
        match self.spawned_at {
            Some(site) => write!(f, "job from {site} {}", self.state)?,
            None => return write!(f, "fiber {}", self.state),
        }
        if let Some(site) = self.waits_at {
            write!(f, " at {site}")?;
        }
        match self.deadline {
            Some(deadline) => {
                write!(f, ", for {:?} more", deadline.saturating_duration_since(Instant::now()))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for FutureDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "future from {} waits for a wake", self.spawned_at)
    }
}

impl fmt::Display for FiberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FiberState::Idle => f.write_str("is idle"),
            FiberState::Running => f.write_str("runs"),
            FiberState::Ready => f.write_str("is ready"),
            FiberState::Waiting(kind) => write!(f, "waits for {kind}"),
        }
    }
}

impl fmt::Display for WaitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitKind::Join => "the other half of a join",
            WaitKind::Scope => "the jobs of a scope",
            WaitKind::Counter => "a counter",
            WaitKind::JoinHandle => "a spawned job",
            WaitKind::Run => "a job on another runtime",
            WaitKind::RuntimeEnd => "the end of another runtime",
            WaitKind::Event => "an event",
            WaitKind::Semaphore => "permits of a semaphore",
            WaitKind::Mutex => "a mutex",
            WaitKind::RwLock => "a read-write lock",
            WaitKind::Condvar => "a condition variable",
            WaitKind::Barrier => "others at a barrier",
            WaitKind::WaitGroup => "a wait group",
            WaitKind::OnceCell => "a value that is being made",
            WaitKind::Channel => "a channel",
            WaitKind::Oneshot => "a oneshot channel",
            WaitKind::Future => "a future",
            WaitKind::Blocking => "a call that blocks a helper thread",
            WaitKind::Sleep => "a moment",
            WaitKind::Other => "something of `sync`",
        })
    }
}

const UNUSED: u8 = 0;
const IDLE: u8 = 1;
const RUNNING: u8 = 2;
const READY: u8 = 3;
const WAITING: u8 = 4; // plus a `WaitKind`

/// What a dump reads of one fiber. Written by its home worker, except that a waker sets it ready.
///
/// ORDERING: all Relaxed. A dump shows each word as it was at some moment; nothing follows from it.
pub(crate) struct Activity {
    state: AtomicU8,
    spawned_at: AtomicPtr<Location<'static>>,
    waits_at: AtomicPtr<Location<'static>>,
    /// As [`ns_of`] says; zero: there is none.
    deadline_ns: AtomicU64,
    stack_lowest: AtomicUsize,
    stack_bytes: AtomicUsize,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Activity {
            state: AtomicU8::new(UNUSED),
            spawned_at: AtomicPtr::new(ptr::null_mut()),
            waits_at: AtomicPtr::new(ptr::null_mut()),
            deadline_ns: AtomicU64::new(0),
            stack_lowest: AtomicUsize::new(0),
            stack_bytes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set_unused(&self) {
        self.state.store(UNUSED, Ordering::Relaxed);
    }

    pub(crate) fn set_idle(&self) {
        self.state.store(IDLE, Ordering::Relaxed);
    }

    pub(crate) fn set_running(&self) {
        self.state.store(RUNNING, Ordering::Relaxed);
    }

    pub(crate) fn set_ready(&self) {
        self.state.store(READY, Ordering::Relaxed);
    }

    pub(crate) fn set_waiting(&self, wait: &Wait) {
        let code = WAITING + wait.kind() as u8;
        self.waits_at.store(ptr::from_ref(wait.site).cast_mut(), Ordering::Relaxed);
        self.state.store(code, Ordering::Relaxed);
    }

    /// Sets where the fiber's stack is.
    pub(crate) fn set_stack(&self, lowest: usize, bytes: usize) {
        self.stack_lowest.store(lowest, Ordering::Relaxed);
        self.stack_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns the addresses of the fiber's stack.
    pub(crate) fn stack(&self) -> Range<usize> {
        let lowest = self.stack_lowest.load(Ordering::Relaxed);
        lowest..lowest + self.stack_bytes.load(Ordering::Relaxed)
    }

    /// Sets when the present wait ends at the latest.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.deadline_ns.store(deadline.map_or(0, ns_of), Ordering::Relaxed);
    }

    /// Sets where the fiber's job was submitted, and returns where the one before was.
    pub(crate) fn replace_site(&self, site: Option<Site>) -> Option<Site> {
        let before = read(&self.spawned_at);
        let site = site.map_or(ptr::null(), ptr::from_ref);
        self.spawned_at.store(site.cast_mut(), Ordering::Relaxed);
        before
    }

    /// Returns what the fiber does; nothing for a record that no fiber uses.
    pub(crate) fn dump(&self, worker: usize) -> Option<FiberDump> {
        let spawned_at = read(&self.spawned_at);
        let state = match self.state.load(Ordering::Relaxed) {
            UNUSED => return None,
            IDLE => FiberState::Idle,
            RUNNING if spawned_at.is_none() => FiberState::Idle, // its loop looks for a job
            RUNNING => FiberState::Running,
            READY => FiberState::Ready,
            code => FiberState::Waiting(WaitKind::ALL[usize::from(code - WAITING)]),
        };
        let waits = matches!(state, FiberState::Waiting(_));
        Some(FiberDump {
            worker,
            state,
            spawned_at,
            waits_at: read(&self.waits_at).filter(|_| waits),
            deadline: instant_of(self.deadline_ns.load(Ordering::Relaxed)).filter(|_| waits),
            held_by: None,
        })
    }
}

fn read(site: &AtomicPtr<Location<'static>>) -> Option<Site> {
    // SAFETY: null, or stored from a `Site`, which lives for ever and is never written.
    unsafe { site.load(Ordering::Relaxed).as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_number() {
        for (index, kind) in WaitKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
        assert_eq!(WaitKind::ALL.len(), WaitKind::Other as usize + 1);
    }
}
