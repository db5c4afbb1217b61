//! The futures of a runtime that have not ended, so that a dump can name those that wait.
//!
//! A future that waits for a wake is in no queue and on no fiber; only wakers lead to it. So each
//! lies in a list of its runtime, doubly linked through its header, from its making to its end.
//! Whoever makes it links it, and has the runtime meanwhile; its runner, a worker of that runtime,
//! unlinks it before the outcome is passed on and the future may be freed. Wakers and handles,
//! which may outlive the runtime, never come here.
//!
//! There are several lists, each under a lock of its own, and a future's address tells which is
//! its: workers that make and end futures seldom meet. No code of the user's runs under a lock.

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;
use deque_scheduler::TaskState;
use parking_lot::Mutex;

use crate::dump::{FutureDump, Site};
use crate::job::JobHeader;
use crate::spawn::SpawnHeader;

/// What every future of [`spawn_future`](crate::spawn_future()) begins with, whatever its type is.
#[repr(C)] // the spawned job's header comes first
pub(crate) struct TaskHeader {
    pub(crate) spawned: SpawnHeader,
    pub(crate) state: TaskState,
    links: Links,
}

/// Read and written under the lock of the future's list only.
#[derive(Clone, Copy)]
struct Links {
    previous: Option<NonNull<TaskHeader>>,
    next: Option<NonNull<TaskHeader>>,
}

impl TaskHeader {
    pub(crate) fn new(header: JobHeader) -> Self {
        TaskHeader {
            spawned: SpawnHeader::new(header),
            state: TaskState::scheduled(),
            links: Links { previous: None, next: None },
        }
    }
}

/// The unfinished futures of a runtime.
pub(crate) struct Unfinished {
    /// As many as a power of two.
    lists: Box<[CachePadded<Mutex<List>>]>,
}

/// Lists for each worker.
const LISTS_PER_WORKER: usize = 4;

/// The bits of an address in which neighbouring blocks do not differ.
const BLOCK_BITS: u32 = 7;

impl Unfinished {
    pub(crate) fn new(workers: usize) -> Self {
        let count = (workers * LISTS_PER_WORKER).next_power_of_two();
        Unfinished { lists: (0..count).map(|_| CachePadded::default()).collect() }
    }

    /// # Safety
    ///
    /// The future is in no list, and stays until it has been unlinked. Nobody makes a reference to
    /// the whole of it, or to its links.
    pub(crate) unsafe fn link(&self, task: NonNull<TaskHeader>) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.list_of(task).lock().push(task) };
    }

    /// # Safety
    ///
    /// The future was linked here, and has not been unlinked.
    pub(crate) unsafe fn unlink(&self, task: NonNull<TaskHeader>) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.list_of(task).lock().remove(task) };
    }

    fn list_of(&self, task: NonNull<TaskHeader>) -> &Mutex<List> {
        &self.lists[(task.addr().get() >> BLOCK_BITS) & (self.lists.len() - 1)]
    }

    /// Returns those that wait for a wake, by where they were spawned.
    pub(crate) fn dump(&self) -> Vec<FutureDump> {
        let mut waiting = Vec::new();
        for list in &self.lists {
            list.lock().for_each_waiting(|spawned_at| waiting.push(FutureDump { spawned_at }));
        }
        waiting.sort_by_key(|future| future.spawned_at);
        waiting
    }
}

#[derive(Default)]
struct List {
    first: Option<NonNull<TaskHeader>>,
}

// SAFETY: what the list uses of its futures, states and sites, is `Sync`; the links are its own.
unsafe impl Send for List {}

impl List {
    /// # Safety
    ///
    /// As for [`Unfinished::link`].
    unsafe fn push(&mut self, task: NonNull<TaskHeader>) {
        let links = Links { previous: None, next: self.first };
        // SAFETY: the future is there, and its links are this list's.
        unsafe { (*task.as_ptr()).links = links };
        if let Some(next) = self.first {
            // SAFETY: as above, for a future in the list.
            unsafe { (*next.as_ptr()).links.previous = Some(task) };
        }
        self.first = Some(task);
    }

    /// # Safety
    ///
    /// The future is in this list.
    unsafe fn remove(&mut self, task: NonNull<TaskHeader>) {
        // SAFETY: the future is there, and its links are this list's.
        let Links { previous, next } = unsafe { (*task.as_ptr()).links };
        match previous {
            // SAFETY: as above, for a future in the list.
            Some(previous) => unsafe { (*previous.as_ptr()).links.next = next },
            None => self.first = next,
        }
        if let Some(next) = next {
            // SAFETY: as above.
            unsafe { (*next.as_ptr()).links.previous = previous };
        }
    }

    /// Calls `f` with where each future that waits for a wake was spawned.
    fn for_each_waiting(&self, mut f: impl FnMut(Site)) {
        let mut place = self.first;
        while let Some(task) = place {
            // SAFETY: a future in the list is there; others use its state, too.
            if unsafe { &(*task.as_ptr()).state }.is_idle() {
                // SAFETY: as above; nobody writes the site.
                f(unsafe { &(*task.as_ptr()).spawned.header }.site());
            }
            // SAFETY: as above, and the links are this list's.
            place = unsafe { (*task.as_ptr()).links.next };
        }
    }
}
